"""Migrations under a running application: readers and writers with warm statement caches, while DDL changes the table.

Invariant: nobody sees an error, what was acknowledged is stored once, and each read has the rows that were there before
anything began. Oracle: the log of the callers against the table.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import psycopg
from sqlalchemy import BigInteger, Enum, MetaData, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, Session, mapped_column

from hermetic import Base, Shape
from survival.cluster import Cluster, until
from survival.figure import Figure, Row, others
from survival.history import History, Reckoning, reckon
from survival.place import Place
from survival.ways import HERMETIC, AsyncHermetic, AsyncWay, Hermetic, Kind, SyncWay, noted

FIRST = 20
POOL = 4
TASKS = 4
THREADS = 4
WARM = 60
"""Reads between two steps, after which the connections have prepared their statements again."""


class ParcelState(enum.Enum):
    WAITING = "waiting"
    SENT = "sent"


class Parcel(Base):
    """What the migrations change."""

    __tablename__ = "parcel"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    weight: Mapped[int]
    state: Mapped[ParcelState] = mapped_column(
        Enum(ParcelState, name="parcel_state", values_callable=lambda kind: [each.value for each in kind])
    )


class ParcelCard(Shape[Parcel]):
    id: int
    weight: int
    state: ParcelState


CARDS = select(Parcel).where(Parcel.id <= FIRST).order_by(Parcel.id)
VALUES = select(Parcel.id, Parcel.weight, Parcel.state).where(Parcel.id <= FIRST, Parcel.state == ParcelState.WAITING)
STAR = text("SELECT * FROM parcel WHERE id <= :last").bindparams(last=FIRST)

STEPS: dict[str, tuple[str, ...]] = {
    "add column": ("ALTER TABLE parcel ADD COLUMN note text",),
    "widen type": ("ALTER TABLE parcel ALTER COLUMN weight TYPE bigint",),
    "index concurrently": ("CREATE INDEX CONCURRENTLY ix_parcel_weight ON parcel (weight)",),
    "recreate enum": (
        "ALTER TYPE parcel_state RENAME TO parcel_state_before",
        "CREATE TYPE parcel_state AS ENUM ('waiting', 'sent')",
        "ALTER TABLE parcel ALTER COLUMN state TYPE parcel_state USING state::text::parcel_state",
        "DROP TYPE parcel_state_before",
    ),
    "drop column": ("ALTER TABLE parcel DROP COLUMN note",),
    "narrow type": ("ALTER TABLE parcel ALTER COLUMN weight TYPE integer",),
    "drop index concurrently": ("DROP INDEX CONCURRENTLY ix_parcel_weight",),
}


@dataclass
class Deployed:
    """What the callers met.

    Attributes:
        reckoning: the writers against the table.
        steps: of DDL that were done.
        reads: that were answered.
        short: reads that lacked rows.
        errors: that callers got, by their first words.
    """

    reckoning: Reckoning
    steps: int
    reads: int
    short: int
    errors: Counter[str]


@dataclass
class _Callers:
    """What all callers share."""

    history: History = field(default_factory=History)
    errors: Counter[str] = field(default_factory=Counter)
    reads: int = 0
    short: int = 0
    is_over: threading.Event = field(default_factory=threading.Event)
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(FIRST + 1))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def number(self) -> int:
        with self._lock:
            return next(self.numbers)

    def read(self, rows: list[Any]) -> None:
        with self._lock:
            self.reads += 1
            self.short += len(rows) != FIRST

    def failed(self, error: Exception) -> None:
        with self._lock:
            self.errors[str(error).partition("\n")[0][:70]] += 1


def _read(session: Session, statement: Any) -> list[Any]:
    return list(session.execute(statement))


async def _read_async(session: AsyncSession, statement: Any) -> list[Any]:
    return list(await session.execute(statement))


def _write(session: Session, number: int) -> None:
    session.execute(_heavier(number))
    session.execute(_new(number))


async def _write_async(session: AsyncSession, number: int) -> None:
    await session.execute(_heavier(number))
    await session.execute(_new(number))


def _heavier(number: int) -> Any:
    return update(Parcel).where(Parcel.id == 1 + number % FIRST).values(weight=Parcel.weight + 1)


def _new(number: int) -> Any:
    return insert(Parcel).values(id=number, weight=number, state=ParcelState.SENT)


def _reads(way: SyncWay) -> list[Callable[[], list[Any]]]:
    if isinstance(way, Hermetic):
        db = way.db
        return [lambda: db.all(ParcelCard, CARDS), lambda: db.all(VALUES), lambda: way.run(_read, STAR)]
    return [lambda: way.run(_read, CARDS), lambda: way.run(_read, VALUES), lambda: way.run(_read, STAR)]


def _reads_async(way: AsyncWay) -> list[Callable[[], Any]]:
    if isinstance(way, AsyncHermetic):
        db = way.db
        return [lambda: db.all(ParcelCard, CARDS), lambda: db.all(VALUES), lambda: way.run(_read_async, STAR)]
    run = way.run
    return [lambda: run(_read_async, CARDS), lambda: run(_read_async, VALUES), lambda: run(_read_async, STAR)]


def _work(way: SyncWay, callers: _Callers) -> None:
    while not callers.is_over.is_set():
        for call in _reads(way):
            try:
                callers.read(call())
            except Exception as error:  # whatever it is, the caller got it
                callers.failed(error)
        number = callers.number()
        with noted(callers.history, str(number)):
            way.run(_write, number)


async def _work_async(way: AsyncWay, callers: _Callers) -> None:
    while not callers.is_over.is_set():
        for call in _reads_async(way):
            try:
                callers.read(await call())
            except Exception as error:  # whatever it is, the caller got it
                callers.failed(error)
        number = callers.number()
        with noted(callers.history, str(number)):
            await way.run(_write_async, number)


def _migrate(cluster: Cluster, database: str, callers: _Callers, rounds: int) -> int:
    """Do the steps as a careful team does, with a short wait for locks, and again; return how many there were."""
    steps = 0
    url = cluster.server.url.rpartition("/")[0] + f"/{database}"
    try:
        with psycopg.connect(url, autocommit=True, application_name="administrator") as connection:
            connection.execute("SET lock_timeout = '500ms'")
            for statements in (each for _ in range(rounds) for each in STEPS.values()):
                enough = callers.reads + callers.errors.total() + WARM
                until(lambda enough=enough: callers.reads + callers.errors.total() > enough, 30, "nobody reads")  # type: ignore[misc]
                while not _is_done(connection, statements):
                    pass
                steps += 1
            enough = callers.reads + callers.errors.total() + WARM
            until(lambda: callers.reads + callers.errors.total() > enough, 30, "nobody reads")
    finally:
        callers.is_over.set()
    return steps


def _is_done(connection: psycopg.Connection[Any], statements: tuple[str, ...]) -> bool:
    try:
        if len(statements) == 1:
            connection.execute(statements[0].encode())
        else:
            with connection.transaction():
                for each in statements:
                    connection.execute(each.encode())
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
        return False
    return True


def deploy(cluster: Cluster, kind: Kind, driver: str, rounds: int) -> Deployed:
    """Let tasks on a driver, or threads on `sync psycopg`, read and write while a table is migrated."""
    database = cluster.new_database()
    opened = kind.sync(cluster.url(database), 1)
    opened.create(_alone())
    with opened.engine.begin() as connection:
        everything = [{"id": each, "weight": each, "state": ParcelState.WAITING} for each in range(1, FIRST + 1)]
        connection.execute(insert(Parcel), everything)
    opened.close()
    callers = _Callers()
    steps = (_with_threads if driver == "sync psycopg" else _with_tasks)(
        cluster, kind, database, driver, callers, rounds
    )
    stored = [str(each) for (each,) in cluster.sql("SELECT id FROM parcel WHERE id > %s", FIRST, database=database)]
    errors = callers.errors + callers.history.reasons
    return Deployed(reckon(callers.history, stored), steps, callers.reads, callers.short, errors)


def _alone() -> MetaData:
    """Return the table without those of other models on the same base."""
    alone = MetaData()
    Base.metadata.tables[Parcel.__tablename__].to_metadata(alone)
    return alone


def _with_threads(cluster: Cluster, kind: Kind, database: str, driver: str, callers: _Callers, rounds: int) -> int:
    way = kind.sync(cluster.url(database), POOL)
    try:
        with ThreadPoolExecutor(THREADS) as threads:
            for _ in range(THREADS):
                threads.submit(_work, way, callers)
            return _migrate(cluster, database, callers, rounds)
    finally:
        way.close()


def _with_tasks(cluster: Cluster, kind: Kind, database: str, driver: str, callers: _Callers, rounds: int) -> int:
    async def run() -> int:
        way = kind.asynchronous(cluster.url(database, driver), POOL)
        try:
            migration = asyncio.to_thread(_migrate, cluster, database, callers, rounds)
            steps, *_ = await asyncio.gather(migration, *(_work_async(way, callers) for _ in range(TASKS)))
            return int(steps)
        finally:
            await way.close()

    return asyncio.run(run())


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    for kind in (HERMETIC, *others()):
        drivers = ("asyncpg", "psycopg", "sync psycopg")
        for driver in drivers if kind is HERMETIC else drivers[:2]:
            found = deploy(place.cluster, kind, driver, (15 if is_long else 1) if kind is HERMETIC else 1)
            told = f"{found.steps} steps, {found.reads:,} reads, {found.reckoning.acked:,} writes, "
            told += f"{found.errors.total()} errors seen by callers, {found.reckoning.wrong} lost or twice"
            is_kept = found.errors.total() + found.short + found.reckoning.wrong + found.reckoning.unknown == 0
            yield Row(f"{kind.name}, {driver}", told, is_kept, kind is not HERMETIC)


FIGURE = Figure(
    "deploy",
    "callers see nothing of a migration",
    "columns are added and dropped, a type is changed, an enum made anew and an index built and dropped, while callers "
    "with warm statement caches read and write",
    _rows,
)
