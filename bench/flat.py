"""Flat rows of ten columns: one by its key, and ten thousand."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench import ours, rivals
from bench.graph import DRIVERS
from bench.measure import Timings, Way, interleaved, settled
from bench.report import Bar, Section, at_least, at_most
from bench.rivals.bare import POOLED
from bench.rivals.orm import ENTITIES, GET
from hermetic import AsyncDatabase


@dataclass(frozen=True, slots=True)
class Flat:
    """A workload that has one size."""

    work: str
    title: str
    size: int
    ours: str
    orm: str
    of_bare: float | None

    @asynccontextmanager
    async def opened(self, url: str, driver: str) -> AsyncGenerator[list[Way]]:
        async with (
            AsyncDatabase(url.replace("postgresql:", f"postgresql+{driver}:")) as db,
            rivals.opened(self.work, url, driver) as ways,
        ):
            yield [*getattr(ours, self.work)(db), *ways]

    async def measure(self, url: str, rounds: int) -> list[Section]:
        return [await self._measured(url, driver, rounds) for driver in DRIVERS]

    async def _measured(self, url: str, driver: str, rounds: int) -> Section:
        async with self.opened(url, driver) as ways, settled():
            timings = await interleaved(ways, self.size, rounds=rounds)
        rows = [
            (
                way.name,
                f"{timings.ms(way.name):.3f}",
                f"{timings.ratio(way.name, self.ours):.2f}x",
                f"{timings.cpu_ms(way.name):.3f}",
            )
            for way in ways
        ]
        text = f"The third column is the time as a multiple of `{self.ours}`."
        header = ("way", "ms", "multiple", "client CPU ms")
        return Section(f"{self.title}, {driver}", text, header, rows, self._bars(driver, timings))

    def _bars(self, driver: str, timings: Timings) -> list[Bar]:
        bars = [at_least(f"{self.title}, {driver}: faster than {self.orm}", [timings.ratio(self.orm, self.ours)], [3])]
        if self.of_bare is not None and POOLED in timings.wall:
            of_bare = timings.ratio(self.ours, POOLED)
            bars.append(at_most(f"{self.title}, {driver}: of the bare driver + Struct", [of_bare], [self.of_bare]))
        return bars


BY_KEY = Flat("get", "One flat row of 10 columns by its key", 7, ours.GET, GET, None)
MANY = Flat("flat", "10,000 flat rows of 10 columns", 10_000, ours.BEST, ENTITIES, 1.3)
