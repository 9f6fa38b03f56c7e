"""A server that is restarted under a warm pool and many callers, also while the clock of the machine is set.

Invariant: every use case is answered, and what was acknowledged is stored once. Oracle: the log of the callers against
the table; the connections that the proxy was asked for; the instants of the answers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from sqlalchemy import Column, MetaData, Table, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from hermetic import Retry
from survival.cluster import Cluster, until
from survival.figure import Figure, Row, others
from survival.history import History, Reckoning, reckon
from survival.place import Place
from survival.ways import AsyncHermetic, AsyncWay, Hermetic, Kind, SyncWay, noted

POOL = 20
TASKS = 200
THREADS = 40
HOUR = 3600

METADATA = MetaData()
CALL = Table("call", METADATA, Column("name", Text, nullable=False))
LAST = select(CALL.c.name).limit(1)


class WithDefaults(Hermetic):
    """`Database.run` with the budget that it has by default."""

    retry = Retry()


class AsyncWithDefaults(AsyncHermetic):
    """The async twin of `WithDefaults`."""

    retry = Retry()


OURS = Kind("hermetic", WithDefaults, AsyncWithDefaults)


@dataclass(frozen=True, slots=True)
class Restarted:
    """What the callers met.

    Attributes:
        restarts: of the server.
        reckoning: the use cases against the table.
        reads: outside a unit that were answered, and `unread` that ended in an error.
        away: seconds that the server was away, at most.
        silent: seconds from the server being back to the first answer, at most.
        full: seconds from there until the callers were answered as fast as before, at most.
        connects: asked for in the first second of a fault, at most.
        lent: connections that the pool still lends.
    """

    restarts: int
    reckoning: Reckoning
    reads: int
    unread: int
    away: float
    silent: float
    full: float
    connects: int
    lent: int


@dataclass
class _Calls:
    """What all callers share."""

    history: History = field(default_factory=History)
    reads: list[bool] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)


def _call(session: Session, name: str) -> None:
    session.execute(insert(CALL).values(name=name))


async def _call_async(session: AsyncSession, name: str) -> None:
    await session.execute(insert(CALL).values(name=name))


def _look(session: Session) -> Any:
    return session.scalar(LAST)


async def _look_async(session: AsyncSession) -> Any:
    return await session.scalar(LAST)


def _work(way: SyncWay, calls: _Calls, who: int) -> None:
    number = 0
    while not calls.is_over.is_set():
        name, number = f"{who}/{number}", number + 1
        with noted(calls.history, name):
            way.run(_call, name)
        try:
            _ = way.db.all(LAST) if isinstance(way, Hermetic) else way.run(_look)
            calls.reads.append(True)
        except Exception:  # whatever it is, the caller got it
            calls.reads.append(False)


async def _work_async(way: AsyncWay, calls: _Calls, who: int) -> None:
    number = 0
    while not calls.is_over.is_set():
        name, number = f"{who}/{number}", number + 1
        with noted(calls.history, name):
            await way.run(_call_async, name)
        try:
            _ = await (way.db.all(LAST) if isinstance(way, AsyncHermetic) else way.run(_look_async))
            calls.reads.append(True)
        except Exception:  # whatever it is, the caller got it
            calls.reads.append(False)


@dataclass
class _Storm:
    """The restarts of one run, and what was seen of them."""

    cluster: Cluster
    calls: _Calls
    faults: tuple[str, ...]
    away: float = 0.0
    silent: float = 0.0
    full: float = 0.0
    connects: int = 0

    def run(self) -> None:
        done: dict[str, Callable[[], None]] = {
            "fast": self.cluster.server.restart,
            "immediate": self.cluster.bounce,
            "kill -9": self.cluster.crash,
        }
        now = time.time
        try:
            for fault in self.faults:
                self._wait_for(time.monotonic(), 100)
                with ExitStack() as clock:
                    step = {"clock + 1 h": HOUR, "clock - 1 h": -HOUR}.get(fault, 0)
                    if step:
                        clock.enter_context(patch("time.time", lambda step=step: now() + step))
                    self._watch(done.get(fault, self.cluster.server.restart))
        finally:
            self.calls.is_over.set()

    def _watch(self, do: Callable[[], None]) -> None:
        times, begun = self.calls.history.times, time.monotonic()
        before = sum(begun - 1 < each for each in times)
        do()
        ready = time.monotonic()
        self.away = max(self.away, ready - begun)
        self._wait_for(ready, max(before, 50))
        after = [each for each in times if each > ready]
        self.silent = max(self.silent, after[0] - ready)
        # the first instant from which on half a second has as many answers as the half seconds before the fault
        pace = max(1, int(0.4 * before))
        as_fast = (a - ready for a, b in zip(after, after[pace:], strict=False) if b - a <= 0.5)
        self.full = max(self.full, next(as_fast, float("inf")))
        asked = sum(begun <= each < begun + 1 for each in self.cluster.proxy.asked)
        self.connects = max(self.connects, asked)

    def _wait_for(self, since: float, count: int) -> None:
        """Wait until so many calls were answered; those that fail count, or the control would wait for ever."""
        told = len(self.calls.history.told)
        until(
            lambda: (
                sum(each > since for each in self.calls.history.times) >= count
                or (len(self.calls.history.told) - told > 50 * count and time.monotonic() - since > 2)
            ),
            30,
            "callers are not answered",
        )


def restart(cluster: Cluster, kind: Kind, driver: str, faults: tuple[str, ...]) -> Restarted:
    """Let tasks on a driver, or threads on `sync psycopg`, call while the server is restarted."""
    database = cluster.new_database()
    opened = kind.sync(cluster.url(database), 1)
    opened.create(METADATA)
    opened.close()
    calls = _Calls()
    storm = _Storm(cluster, calls, faults)
    lent = (
        _with_threads(storm, kind, database) if driver == "sync psycopg" else _with_tasks(storm, kind, database, driver)
    )
    cluster.wait_quiet(database)
    stored = [name for (name,) in cluster.sql("SELECT name FROM call", database=database)]
    answered = sum(calls.reads)
    return Restarted(
        len(faults),
        reckon(calls.history, stored),
        answered,
        len(calls.reads) - answered,
        storm.away,
        storm.silent,
        storm.full,
        storm.connects,
        lent,
    )


def _with_threads(storm: _Storm, kind: Kind, database: str) -> int:
    way = kind.sync(storm.cluster.url(database), POOL)
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            working = [threads.submit(_work, way, storm.calls, who) for who in range(THREADS)]
            storm.run()
        for each in working:
            each.result()
        return int(way.engine.pool.checkedout())  # type: ignore[attr-defined]
    finally:
        way.close()


def _with_tasks(storm: _Storm, kind: Kind, database: str, driver: str) -> int:
    async def run() -> int:
        way = kind.asynchronous(storm.cluster.url(database, driver), POOL)
        try:
            async with asyncio.TaskGroup() as group:
                for who in range(TASKS):
                    group.create_task(_work_async(way, storm.calls, who))
                await asyncio.to_thread(storm.run)
            return int(way.engine.sync_engine.pool.checkedout())  # type: ignore[attr-defined]
        finally:
            await way.close()

    return asyncio.run(run())


ALL = ("fast", "immediate", "kill -9", "clock + 1 h", "clock - 1 h")


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    ways = [(OURS, "asyncpg"), (OURS, "psycopg"), (OURS, "sync psycopg"), *((kind, "asyncpg") for kind in others())]
    for kind, driver in ways:
        short = ALL if driver == "asyncpg" and kind is OURS else ("kill -9",)
        found = restart(place.cluster, kind, driver, (3 if kind is OURS else 1) * ALL if is_long else short)
        reckoning = found.reckoning
        told = f"{found.restarts} restarts, away for {found.away:.1f} s at most, {reckoning.acked:,} use cases answered"
        told += f", {reckoning.failed} failed, {reckoning.unknown} not known, {reckoning.wrong} lost or twice; first "
        told += f"answer {found.silent:.2f} s and full pace {found.full:.2f} s after the server is back, "
        told += (
            f"{found.connects} connects in the first second at most; reads outside a unit: {found.reads:,} answered, "
        )
        told += f"{found.unread} failed"
        is_kept = reckoning.failed + reckoning.unknown + reckoning.wrong + found.lent == 0
        yield Row(f"{kind.name}, {driver}", told, is_kept, kind is not OURS)


FIGURE = Figure(
    "restarts",
    "a restart of the server costs no use case, and the pool is back at once",
    "a fast and an immediate shutdown, a kill -9, and a fast one while the clock is set by an hour, there and back, "
    "under 200 tasks, or 40 threads, on 20 warm connections",
    _rows,
)
