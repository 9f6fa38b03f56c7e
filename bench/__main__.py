"""`python3 dev.py bench`: measure, print the report, and with `--write` keep it in bench/RESULTS.md."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import check, flat, graph, latency, report, rivals, route, strategies, stream, unit
from bench.measure import Way
from bench.shop import CUSTOMERS, PROFILES, fill
from hermetic import AsyncDatabase
from hermetic.testing import start

WORKLOADS: dict[str, Any] = {
    "graph": graph,
    "strategies": strategies,
    "get": flat.BY_KEY,
    "flat": flat.MANY,
    "route": route,
    "latency": latency,
    "stream": stream,
    "unit": unit,
}
PROFILED = {
    "graph": graph.SIZES,
    "strategies": graph.SIZES,
    "get": (flat.BY_KEY.size,),
    "flat": (flat.MANY.size,),
    "latency": (latency.SCREEN,),
    "unit": (unit.KEY,),
}


def main() -> int:
    options = _arguments().parse_args()
    missing = rivals.missing()
    for reason in missing:
        print("left out:", reason)
    chosen = {name: WORKLOADS[name] for name in options.only}
    with start() as server:
        server.create_database("bench")
        url = server.url_for("bench").replace("+psycopg", "")
        few = (check.ROOTS, check.PROFILES, check.EVENTS)
        many = (CUSTOMERS, PROFILES, stream.ROWS if "stream" in chosen else 0)
        asyncio.run(_fill(server.url_for("bench", "asyncpg"), *(few if options.check else many)))
        if options.check:
            wrong = asyncio.run(check.differences(url, chosen))
            for way in wrong:
                print("other data than hermetic's:", way)
            return 1 if wrong else 0
        if options.profile:
            asyncio.run(_profile(url, {name: chosen[name] for name in chosen if name in PROFILED}))
            return 0
        sections: list[report.Section] = []
        for name, workload in chosen.items():
            print("measuring", name, flush=True)
            sections += asyncio.run(workload.measure(url, options.rounds))
    command = f"python3 dev.py bench --write --rounds {options.rounds}"
    if chosen.keys() != WORKLOADS.keys():
        command += f" --only {','.join(chosen)}"
    page = report.page(sections, missing, command, options.rounds)
    print(page)
    if options.write:
        (Path(__file__).parent / "RESULTS.md").write_text(page)
    return 0


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dev.py bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="interleaved rounds (9)")
    parser.add_argument("--only", type=_names, default=list(WORKLOADS), help="of " + ",".join(WORKLOADS))
    parser.add_argument("--write", action="store_true", help="keep the report in bench/RESULTS.md")
    parser.add_argument("--check", action="store_true", help="compare the data of all ways, on few rows, instead")
    parser.add_argument("--profile", action="store_true", help="show where the time of hermetic's ways goes instead")
    return parser


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := set(names) - set(WORKLOADS):
        raise argparse.ArgumentTypeError(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    return names


async def _fill(url: str, roots: int, profiles: int, events: int) -> None:
    async with AsyncDatabase(url) as db:
        await fill(db, roots=roots, profiles=profiles, events=events)


async def _profile(url: str, workloads: Mapping[str, Any]) -> None:
    for name, workload in workloads.items():
        for driver in graph.DRIVERS:
            async with workload.opened(url, driver) as ways:
                for way in ways:
                    if way.name.startswith("hermetic"):
                        for size in PROFILED[name]:
                            print(f"\n{name}, {driver}, {size:,}: {way.name}")
                            await _profile_way(way, size)


async def _profile_way(way: Way, size: int, seconds: float = 1.0) -> None:
    await way.run(size)
    profile, begun, calls = cProfile.Profile(), time.perf_counter(), 0
    profile.enable()
    while time.perf_counter() - begun < seconds:
        await way.run(size)
        calls += 1
    profile.disable()
    print(f"{calls} calls")
    pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    sys.exit(main())
