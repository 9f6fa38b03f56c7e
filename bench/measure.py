"""Time several ways of doing one thing, turn by turn, so that a drifting machine hits all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Way:
    """One way to do a piece of work.

    Attributes:
        name: as the tables show it.
        run: does the work at a size (roots, rows, or a key) and returns what its user would hold.
        plain: turns that into plain data in which all ways agree; never timed.
        most: the largest size at which this way is measured.
    """

    name: str
    run: Callable[[int], Awaitable[Any]]
    plain: Callable[[Any], Any]
    most: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of one call, wall and CPU of this process, for each way and round."""

    wall: dict[str, list[float]]
    cpu: dict[str, list[float]]

    def ms(self, name: str) -> float:
        """Return the median milliseconds of one call."""
        return statistics.median(self.wall[name]) * 1e3

    def cpu_ms(self, name: str) -> float:
        """Return the median milliseconds of CPU that this process spent on one call."""
        return statistics.median(self.cpu[name]) * 1e3

    def ratio(self, name: str, to: str) -> float:
        """Return the median, over the rounds, of the wall time of `name` divided by that of `to` in the same round."""
        return _ratio(self.wall[name], self.wall[to])

    def cpu_ratio(self, name: str, to: str) -> float:
        """Return the same for the CPU time of this process."""
        return _ratio(self.cpu[name], self.cpu[to])


async def interleaved(ways: Sequence[Way], size: int, *, rounds: int, seconds: float = 0.05) -> Timings:
    """Time each way for about `seconds` in every round; each round begins with another way."""
    repeats = {way.name: max(1, int(seconds / await _warmed(way, size, seconds))) for way in ways}
    timings = Timings({way.name: [] for way in ways}, {way.name: [] for way in ways})
    for number in range(rounds):
        start = number % len(ways)
        for way in (*ways[start:], *ways[:start]):
            gc.collect()
            count = repeats[way.name]
            if count > 1:
                await way.run(size)  # the first call after a pause may check its connection
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(count):
                await way.run(size)
            timings.wall[way.name].append((time.perf_counter() - wall) / count)
            timings.cpu[way.name].append((time.process_time() - cpu) / count)
    return timings


@asynccontextmanager
async def settled() -> AsyncGenerator[None]:
    """Take what is loaded now out of the garbage collector's sight: the packages of one rival slow no other way."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


async def _warmed(way: Way, size: int, seconds: float) -> float:
    """Call until drivers and server have prepared the statement, or time is up; return the seconds of the last call."""
    begun, took = time.perf_counter(), 1.0
    for _ in range(12):
        called = time.perf_counter()
        await way.run(size)
        took = time.perf_counter() - called
        if time.perf_counter() - begun > 6 * seconds:
            break
    return max(took, 1e-6)


def _ratio(mine: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(mine, theirs, strict=True))
