"""The graph read by each strategy: the one that the rule chooses must be near the best, at every size."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from bench import ours
from bench.graph import DRIVERS, SIZES
from bench.measure import Timings, Way, interleaved, settled
from bench.report import Section, at_most
from bench.shop import CustomerCard, customers
from hermetic import AsyncDatabase

NEAR = 1.25


@asynccontextmanager
async def opened(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    async with AsyncDatabase(url.replace("postgresql:", f"postgresql+{driver}:")) as db:
        yield ours.strategies(db)


async def measure(url: str, rounds: int) -> list[Section]:
    return [await _measured(url, driver, rounds) for driver in DRIVERS]


async def _measured(url: str, driver: str, rounds: int) -> Section:
    db = AsyncDatabase(url.replace("postgresql:", f"postgresql+{driver}:"))
    chosen = {size: f"{ours.STRATEGY} {db.plan(CustomerCard, customers(size)).strategy}" for size in SIZES}
    found: dict[int, Timings] = {}
    async with opened(url, driver) as ways, settled():
        for size in SIZES:
            found[size] = await interleaved(ways, size, rounds=rounds)
    rows = [(way.name, *(_cell(way.name, chosen[size], found[size]) for size in SIZES)) for way in ways]
    of_best = [_of_best(chosen[size], found[size]) for size in SIZES]
    sizes = " / ".join(map(str, SIZES))
    return Section(
        f"The strategies of a graph read, {driver}",
        "Milliseconds, and behind them the time as a multiple of the strategy that the rule chooses, in bold.",
        ("strategy", *(f"{size:,} roots" if size > 1 else "1 root" for size in SIZES)),
        rows,
        [at_most(f"graph, {driver}, {sizes} roots: the chosen strategy, of the best", of_best, [NEAR] * len(SIZES))],
    )


def _of_best(chosen: str, timings: Timings) -> float:
    """Return the time of the chosen strategy as a multiple of the best one's."""
    return max(timings.ratio(chosen, other) for other in timings.wall)


def _cell(name: str, chosen: str, timings: Timings) -> str:
    cell = f"{timings.ms(name):.2f} ({timings.ratio(name, chosen):.2f}x)"
    return f"**{cell}**" if name == chosen else cell
