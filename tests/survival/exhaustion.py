"""A pool that is full: everybody who waits in vain is told who holds it, and it serves again at once.

Invariant: each caller is told within the timeout and with all holders by name, nothing is lent afterwards, and whoever
would wait for itself is told at once. Oracle: the monotonic clock, the places in the errors, and the pool.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import create_engine, literal, select
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from hermetic import AsyncDatabase, Database, Pool, PoolExhausted
from survival.cluster import Cluster
from survival.figure import Figure, Row
from survival.place import Place

SIZE = 4
CALLERS = 40
TIMEOUT = 1.0
LATE = 1.0
"""Seconds that a caller may be told late, on a busy machine."""

ONE = select(literal(1))


@dataclass(frozen=True, slots=True)
class Full:
    """What the callers met.

    Attributes:
        told: callers who were told that the pool is full.
        named: those of them to whom all holders were named, with the line where each is.
        slowest: seconds until the last one was told.
        nested: seconds until one was told who held the only connection itself.
        served: callers who were served once the holders were gone.
        recovered: seconds until they were.
        lent: connections that the pool still lends.
    """

    told: int
    named: int
    slowest: float
    nested: float
    served: int
    recovered: float
    lent: int


class _Ours:
    """`Database`."""

    def __init__(self, url: str, size: int) -> None:
        self._db = Database(url, pool=Pool.server(size=size, overflow=0, timeout=TIMEOUT))
        self.engine = self._db.engine
        self.close = self._db.close

    @contextmanager
    def held(self) -> Iterator[None]:
        with self._db.begin() as uow:
            uow.one(ONE)
            yield

    def ask(self) -> Any:
        return self._db.one(ONE)


class _Plain:
    """An engine of SQLAlchemy."""

    def __init__(self, url: str, size: int) -> None:
        self.engine = create_engine(url, pool_size=size, max_overflow=0, pool_timeout=TIMEOUT)
        self.close = self.engine.dispose

    @contextmanager
    def held(self) -> Iterator[None]:
        with self.engine.connect() as connection:
            connection.execute(ONE)
            yield

    def ask(self) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(ONE)


class _OursAsync:
    """`AsyncDatabase`."""

    def __init__(self, url: str, size: int) -> None:
        self._db = AsyncDatabase(url, pool=Pool.server(size=size, overflow=0, timeout=TIMEOUT))
        self.engine = self._db.engine.sync_engine
        self.close = self._db.close

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        async with self._db.begin() as uow:
            await uow.one(ONE)
            yield

    async def ask(self) -> Any:
        return await self._db.one(ONE)


class _PlainAsync:
    """An async engine of SQLAlchemy."""

    def __init__(self, url: str, size: int) -> None:
        engine = create_async_engine(url, pool_size=size, max_overflow=0, pool_timeout=TIMEOUT)
        self._engine, self.engine, self.close = engine, engine.sync_engine, engine.dispose

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        async with self._engine.connect() as connection:
            await connection.execute(ONE)
            yield

    async def ask(self) -> Any:
        async with self._engine.connect() as connection:
            return await connection.scalar(ONE)


def _is_named(error: BaseException) -> bool:
    places = [holder.place for holder in error.holders] if isinstance(error, PoolExhausted) else []
    return len(places) == SIZE and all("exhaustion.py" in place for place in places)


def exhaust(make: Callable[[str, int], _Ours | _Plain], url: str) -> Full:
    """Let threads ask a pool whose connections other threads hold."""
    way, over, ready = make(url, SIZE), threading.Event(), threading.Barrier(SIZE + 1)
    errors: list[BaseException] = []
    served: list[Any] = []

    def hold(held: Callable[[], AbstractContextManager[None]]) -> None:
        with held():
            ready.wait()
            over.wait()

    def ask() -> None:
        try:
            served.append(way.ask())
        except PoolTimeout as error:
            errors.append(error)

    holders = [threading.Thread(target=hold, args=(way.held,)) for _ in range(SIZE)]
    _started(holders)
    ready.wait()
    slowest = _joined([threading.Thread(target=ask) for _ in range(CALLERS)])
    told, named = len(errors), sum(map(_is_named, errors))
    served.clear()
    over.set()
    for holder in holders:
        holder.join()
    recovered = _joined([threading.Thread(target=ask) for _ in range(CALLERS)])
    lent = way.engine.pool.checkedout()  # type: ignore[attr-defined]
    way.close()
    alone = make(url, 1)
    with alone.held():
        begun = time.monotonic()
        try:
            alone.ask()
        except PoolTimeout:
            nested = time.monotonic() - begun
    lent += alone.engine.pool.checkedout()  # type: ignore[attr-defined]
    alone.close()
    return Full(told, named, slowest, nested, len(served), recovered, lent)


def _started(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()


def _joined(threads: list[threading.Thread]) -> float:
    begun = time.monotonic()
    _started(threads)
    for thread in threads:
        thread.join()
    return time.monotonic() - begun


async def exhaust_async(make: Callable[[str, int], _OursAsync | _PlainAsync], url: str) -> Full:
    """Let tasks ask a pool whose connections other tasks hold."""
    way, over, ready = make(url, SIZE), asyncio.Event(), asyncio.Barrier(SIZE + 1)

    async def hold(held: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        async with held():
            await ready.wait()
            await over.wait()

    async def all_ask() -> tuple[list[Any], float]:
        begun = time.monotonic()
        found = await asyncio.gather(*(way.ask() for _ in range(CALLERS)), return_exceptions=True)
        return found, time.monotonic() - begun

    holders = [asyncio.create_task(hold(way.held)) for _ in range(SIZE)]
    await ready.wait()
    answers, slowest = await all_ask()
    over.set()
    await asyncio.gather(*holders)
    served, recovered = await all_ask()
    lent = way.engine.pool.checkedout()  # type: ignore[attr-defined]
    await way.close()
    alone = make(url, 1)
    async with alone.held():
        begun = time.monotonic()
        try:
            await alone.ask()
        except PoolTimeout:
            nested = time.monotonic() - begun
    lent += alone.engine.pool.checkedout()  # type: ignore[attr-defined]
    await alone.close()
    told = [each for each in answers if isinstance(each, PoolTimeout)]
    return Full(len(told), sum(map(_is_named, told)), slowest, nested, served.count(1), recovered, lent)


def _measured(cluster: Cluster) -> Iterator[tuple[str, Full]]:
    database = cluster.new_database()
    yield "hermetic, sync psycopg", exhaust(_Ours, cluster.url(database))
    for driver in ("asyncpg", "psycopg"):
        yield f"hermetic, {driver}", asyncio.run(exhaust_async(_OursAsync, cluster.url(database, driver)))
    yield "SQLAlchemy, sync psycopg", exhaust(_Plain, cluster.url(database))
    yield "SQLAlchemy, asyncpg", asyncio.run(exhaust_async(_PlainAsync, cluster.url(database, "asyncpg")))


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    for name, found in _measured(place.cluster):
        told = f"{found.told} of {CALLERS} told within {found.slowest:.2f} s, {found.named} of them who holds it; "
        told += f"afterwards {found.served} served in {found.recovered:.2f} s, {found.lent} connections left out; "
        told += f"who waits for itself is told after {found.nested:.2f} s"
        is_told = found.told == found.named == found.served == CALLERS and found.slowest < TIMEOUT + LATE
        is_kept = is_told and found.recovered < LATE and found.nested < LATE and found.lent == 0
        yield Row(name, told, is_kept, not name.startswith("hermetic"))


FIGURE = Figure(
    "exhaustion",
    "a full pool tells everybody within its timeout who holds it, and serves again at once",
    f"{CALLERS} callers ask a pool of {SIZE} connections that {SIZE} others hold, with a timeout of {TIMEOUT:g} s; "
    "and one asks a pool of 1 whose connection it holds",
    _rows,
)
