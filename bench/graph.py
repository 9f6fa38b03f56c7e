"""A three-level graph at 1, 20, 200 and 2,000 roots, and the CPU that this process spends on the largest."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from bench import ours, rivals
from bench.measure import Timings, Way, interleaved, settled
from bench.report import Bar, Section, at_least, at_most, times
from bench.rivals.bare import HELD, POOLED
from bench.rivals.orm import SELECTIN
from hermetic import AsyncDatabase

SIZES = (1, 20, 200, 2000)
FASTER = (6, 5, 8, 10)
DRIVERS = ("asyncpg", "psycopg")


@asynccontextmanager
async def opened(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    async with (
        AsyncDatabase(url.replace("postgresql:", f"postgresql+{driver}:")) as db,
        rivals.opened("graph", url, driver) as ways,
    ):
        yield [*ours.graph(db), *ways]


async def measure(url: str, rounds: int) -> list[Section]:
    return [await _measured(url, driver, rounds) for driver in DRIVERS]


async def _measured(url: str, driver: str, rounds: int) -> Section:
    async with opened(url, driver) as ways, settled():
        found = {
            size: await interleaved([way for way in ways if way.most >= size], size, rounds=rounds) for size in SIZES
        }
    largest = found[SIZES[-1]]
    rows = [_row(way.name, found, largest) for way in ways]
    return Section(
        f"Graph read, {driver}",
        "Customers with 10 orders each, 3 items an order, the product of each item. A cell is milliseconds and, behind "
        f"them, the time as a multiple of `{ours.BEST}`; the last column is the CPU time of this process at "
        f"{SIZES[-1]:,} roots.",
        ("way", *(f"{size:,} roots" if size > 1 else "1 root" for size in SIZES), "client CPU"),
        rows,
        _bars(driver, found),
    )


def _row(name: str, found: dict[int, Timings], largest: Timings) -> Sequence[str]:
    cells = [
        f"{timings.ms(name):.2f} ({timings.ratio(name, ours.BEST):.2f}x)" if name in timings.wall else "—"
        for timings in found.values()
    ]
    cpu = f"{largest.cpu_ms(name):.1f} ({largest.cpu_ratio(name, ours.BEST):.1f}x)" if name in largest.cpu else "—"
    return (name, *cells, cpu)


def _bars(driver: str, found: dict[int, Timings]) -> list[Bar]:
    few, largest = list(SIZES[:2]), found[SIZES[-1]]
    bars = []
    if POOLED in largest.wall:
        for way, limit in ours.GRAPH_LIMITS.items():
            ratios = [found[size].ratio(way, POOLED) for size in few]
            bars.append(
                at_most(
                    f"graph, {driver}, 1 / 20 roots: {way}, of the same SQL on the pooled driver", ratios, [limit] * 2
                )
            )
    faster = [timings.ratio(SELECTIN, ours.BEST) for timings in found.values()]
    cpu = largest.cpu_ratio(SELECTIN, ours.BEST)
    bare = [timings.ratio(SELECTIN, HELD) for timings in found.values() if HELD in timings.wall]
    obstacle = (
        "the server. A held connection of the bare driver that decodes the same statement with msgspec is "
        f"{times(bare)} faster than selectinload; most of its time is the statement's own, and no other way to write "
        "the statement took less."
    )
    sizes = " / ".join(map(str, SIZES))
    return [
        *bars,
        at_least(f"graph, {driver}, {sizes} roots: faster than selectinload", faster, FASTER, obstacle if bare else ""),
        at_least(f"client CPU of it at {SIZES[-1]:,} roots, {driver}: less than selectinload's", [cpu], [20]),
    ]
