"""One screen of nested data over a network of one millisecond: how many round trips, and how long."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from bench import graph, ours
from bench.graph import DRIVERS
from bench.measure import Way, interleaved, settled
from bench.proxy import Proxy, slow_proxy
from bench.report import Bar, Section
from bench.rivals.orm import SELECTIN
from hermetic import AsyncDatabase

SCREEN = 20  # customers
DELAY = 0.001


@asynccontextmanager
async def opened(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    async with (
        AsyncDatabase(url.replace("postgresql:", f"postgresql+{driver}:")) as db,
        graph.opened(url, driver) as ways,
    ):
        yield [*ways, *ours.graph_in_unit(db)]


async def measure(url: str, rounds: int) -> list[Section]:
    return [await _measured(url, driver, rounds) for driver in DRIVERS]


async def _measured(url: str, driver: str, rounds: int) -> Section:
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    with slow_proxy(parts.hostname, parts.port, DELAY) as proxy:
        slowed = url.replace(f":{parts.port}/", f":{proxy.port}/")
        async with opened(slowed, driver) as ways, settled():
            timings = await interleaved(ways, SCREEN, rounds=rounds)
            counts = {way.name: await _trips(way, proxy) for way in ways}
    rows = [
        (way.name, f"{counts[way.name]:g}", f"{timings.ms(way.name):.2f}", f"{timings.ratio(way.name, ours.BEST):.2f}x")
        for way in ways
    ]
    return Section(
        f"One screen of nested data with 1 ms added per round trip, {driver}",
        f"The graph of {SCREEN} customers through a proxy. The last column is the time as a multiple of `{ours.BEST}`.",
        ("way", "round trips", "ms", "multiple"),
        rows,
        _bars(driver, counts),
    )


async def _trips(way: Way, proxy: Proxy, calls: int = 10) -> float:
    """Return the round trips of one call, of connections that are open and statements that are prepared."""
    await way.run(SCREEN)  # the first call after a pause may check its connection
    before = proxy.trips
    for _ in range(calls):
        await way.run(SCREEN)
    return (proxy.trips - before) / calls


def _bars(driver: str, counts: dict[str, float]) -> list[Bar]:
    bars = []
    for name, count in counts.items():
        if name.startswith("hermetic"):
            most = 3 if name == ours.IN_UNIT else 1
            measured = f"{count:g} (selectinload: {counts[SELECTIN]:g})"
            bars.append(Bar(f"round trips of one screen, {driver}: {name}", f"≤ {most}", measured, count <= most))
    return bars
