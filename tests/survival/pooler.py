"""Many workers behind PgBouncer in transaction mode, which lends the sessions of the server from one to the next.

Invariant: every transaction is answered, and no worker sees what another one has set. Oracle: each worker asks for
numbers and sets a tenant that are its own; the table, read past the pooler, against the log of the callers; and what
the sessions of the server hold when all are done.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

from sqlalchemy import Column, MetaData, Table, Text, false, func, insert, literal, select, text, true
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from hermetic import AsyncDatabase, AsyncUnitOfWork, Pool, StateRefused
from survival.bouncer import PROGRAM, bouncer
from survival.cluster import Cluster
from survival.figure import Figure, Row
from survival.history import History, Reckoning, reckon
from survival.place import Place
from survival.ways import AsyncUse

WORKERS = 20
SERVERS = 2

METADATA = MetaData()
VISIT = Table("visit", METADATA, Column("name", Text, nullable=False))
TENANT = select(func.coalesce(func.current_setting("survival.tenant", true()), ""))
HELD = """
SELECT (SELECT count(*) FROM pg_prepared_statements) + (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')
     + (SELECT count(*) FROM pg_class WHERE relpersistence = 't')
     + CASE WHEN coalesce(current_setting('survival.tenant', true), '') = '' THEN 0 ELSE 1 END
"""


@dataclass(frozen=True, slots=True)
class Lent:
    """What the workers met.

    Attributes:
        reads: that gave the number they asked for.
        wrong: reads that gave another one.
        foreign: reads that saw the tenant of another worker.
        refused: statements that would have left a setting behind, and were not sent.
        held: what the sessions of the server hold afterwards: statements, locks, tables, settings.
        reckoning: the callers of transactions against the table.
        reasons: what failed beside.
    """

    reads: int
    wrong: int
    foreign: int
    refused: int
    held: int
    reckoning: Reckoning
    reasons: Counter[str]


class Way(Protocol):
    """One of the ways to work behind a pooler."""

    def __init__(self, url: str) -> None: ...

    async def read(self, statement: Any) -> Any: ...

    async def run(self, use: AsyncUse, *arguments: Any) -> Any: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


class Ours:
    """`AsyncDatabase` with the preset for it."""

    def __init__(self, url: str) -> None:
        self.db = AsyncDatabase(url, pool=Pool.pgbouncer_transaction(size=WORKERS))

    async def read(self, statement: Any) -> Any:
        return await self.db.one(statement)

    async def run(self, use: AsyncUse, *arguments: Any) -> Any:
        async def used(uow: AsyncUnitOfWork) -> Any:
            return await use(uow.session, *arguments)

        return await self.db.run(used)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.db.close()


class Plain:
    """An engine of SQLAlchemy as it comes."""

    def __init__(self, url: str) -> None:
        self.engine = create_async_engine(url, pool_size=WORKERS)

    async def read(self, statement: Any) -> Any:
        async with self.engine.connect() as connection:
            return await connection.scalar(statement)

    async def run(self, use: AsyncUse, *arguments: Any) -> Any:
        async with AsyncSession(self.engine) as session, session.begin():
            return await use(session, *arguments)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.engine.dispose()


class _Work:
    """The workers of one run, and what they met."""

    def __init__(self, way: Way) -> None:
        self.way = way
        self.history = History()
        self.reads: Counter[str] = Counter()

    async def work(self, worker: int, turns: int) -> None:
        for number in range(worker * turns, (worker + 1) * turns):
            await self._read(select(literal(number)), number)
            await self._read(TENANT, "")
            self.history.invoke(str(number))
            try:
                tenant = await self.way.run(_visit, str(worker), str(number))
                self.history.tell(str(number), "ok")
                self.reads["foreign"] += tenant != str(worker)
            except Exception as error:  # whatever it is, the caller gets it
                self.history.tell(str(number), "fail", type(getattr(error, "orig", error)).__name__)
            if number % turns == 0:
                await self._leave(worker)

    async def _read(self, statement: Any, expected: Any) -> None:
        try:
            found = await self.way.read(statement)
        except Exception as error:
            self.history.reasons[f"read: {type(getattr(error, 'orig', error)).__name__}"] += 1
        else:
            wrong = "wrong" if expected != "" else "foreign"
            self.reads["right" if found == expected else wrong] += 1

    async def _leave(self, worker: int) -> None:
        try:
            await self.way.run(_set_for_ever, str(worker))
        except StateRefused:
            self.reads["refused"] += 1
        except Exception as error:
            self.history.reasons[f"setting: {type(getattr(error, 'orig', error)).__name__}"] += 1


async def _visit(session: AsyncSession, tenant: str, name: str) -> str:
    await session.execute(select(func.set_config("survival.tenant", tenant, true())))
    await session.execute(insert(VISIT).values(name=name))
    return str(await session.scalar(TENANT))


async def _set_for_ever(session: AsyncSession, tenant: str) -> None:
    await session.execute(select(func.set_config("survival.tenant", tenant, false())))


def lend(cluster: Cluster, make: Callable[[str], Way], driver: str, turns: int) -> Lent:
    """Let the workers take turns behind a pooler."""
    database = cluster.new_database()
    cluster.sql("CREATE TABLE visit (name text NOT NULL)", database=database)

    async def run(url: str) -> _Work:
        async with make(url) as way:
            work = _Work(way)
            await asyncio.gather(*(work.work(worker, turns) for worker in range(WORKERS)))
            return work

    direct = cluster.url(database, driver, port=cluster.server.port)
    with bouncer(direct, servers=SERVERS) as url:
        work = asyncio.run(run(url))
        held = _held(url, driver)
    stored = [name for (name,) in cluster.sql("SELECT name FROM visit", database=database)]
    met = work.reads
    return Lent(
        met["right"],
        met["wrong"],
        met["foreign"],
        met["refused"],
        held,
        reckon(work.history, stored),
        work.history.reasons,
    )


def _held(url: str, driver: str) -> int:
    """Return what is left on the sessions of the server; the pooler goes round among them."""

    async def ask() -> int:
        async with Ours(url) as way:
            return sum([await way.read(select(text(f"({HELD})"))) for _ in range(2 * SERVERS)])

    return asyncio.run(ask())


def is_there() -> bool:
    """Return whether PgBouncer is installed."""
    return PROGRAM is not None


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    if not is_there():
        return
    ways: list[tuple[str, Callable[[str], Way], str]] = [
        ("hermetic", Ours, "asyncpg"),
        ("hermetic", Ours, "psycopg"),
        ("SQLAlchemy", Plain, "asyncpg"),
        ("SQLAlchemy", Plain, "psycopg"),
    ]
    for name, make, driver in ways:
        found = lend(place.cluster, make, driver, 400 if is_long else 10)
        failed = found.reckoning.failed + found.reasons.total()
        told = (
            f"{found.reads} reads, {found.reckoning.acked:,} transactions, {failed} failures, {found.wrong} wrong rows"
        )
        told += (
            f", {found.foreign} saw what another worker had set, {found.refused} settings refused, {found.held} left"
        )
        is_kept = failed + found.wrong + found.foreign + found.held + found.reckoning.wrong == 0
        yield Row(f"{name}, {driver}", told, is_kept, name != "hermetic")


FIGURE = Figure(
    "pgbouncer",
    "behind a pooler in transaction mode nothing fails, and nobody sees what another client has set",
    "20 workers share 2 sessions of PgBouncer, read and write, and each tries once to leave a setting behind",
    _rows,
)
