"""A million rows read one after the other: how much memory the process grows by. Each way in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from bench import ours
from bench.graph import DRIVERS
from bench.measure import Way
from bench.report import Bar, Section
from bench.stream_reader import READERS, read

ROWS = 1_000_000
MOST_MIB = 64


@asynccontextmanager
async def opened(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    def way(name: str) -> Way:
        async def run(rows: int) -> tuple[int, int]:
            return await read(name, url.replace("postgresql:", f"postgresql+{driver}:"), rows)

        return Way(name, run, list)

    yield [way(name) for name in READERS]


async def measure(url: str, rounds: int) -> list[Section]:
    """Run each way once: memory is no matter of luck, and the time is told but not compared."""
    return [await _measured(url, driver) for driver in DRIVERS]


async def _measured(url: str, driver: str) -> Section:
    found = {name: await _in_a_process(name, url.replace("postgresql:", f"postgresql+{driver}:")) for name in READERS}
    rows = [(name, f"{each['growth_mib']:.1f}", f"{each['seconds']:.1f}") for name, each in found.items()]
    bars = [
        Bar(
            f"streaming {ROWS:,} rows, {driver}: {name}",
            f"< {MOST_MIB} MiB",
            f"{found[name]['growth_mib']:.1f} MiB",
            found[name]["growth_mib"] < MOST_MIB,
        )
        for name in ours.STREAMS
    ]
    return Section(
        f"Streaming {ROWS:,} rows, {driver}",
        "Growth of the resident memory at its peak, over a process that has read a thousand rows; one run each.",
        ("way", "MiB", "seconds"),
        rows,
        bars,
    )


async def _in_a_process(name: str, url: str) -> dict[str, Any]:
    pipe = asyncio.subprocess.PIPE
    reader = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.stream_reader", stdin=pipe, stdout=pipe)
    answer, _ = await reader.communicate(json.dumps({"name": name, "url": url, "rows": ROWS}).encode())
    if reader.returncode:
        raise RuntimeError(f"{name} ended with {reader.returncode}")
    return dict(json.loads(answer))
