"""Tasks that are cancelled at random points while the work goes on: reads, streams, `run()`, attempts.

Invariant: whoever is cancelled hears whether it was committed, nobody gets an answer or a setting of somebody else, and
nothing is left behind. Oracle: each question has a number of its own and is answered with it, each borrower asks what
the session holds, the table against the log of the callers, and the sessions of the server.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Integer, literal, literal_column, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Mapped, mapped_column

from hermetic import AsyncDatabase, AsyncUnitOfWork, Base, Committed, Pool, Shape, UniqueViolation
from survival.cluster import Cluster, until
from survival.figure import Figure, Row
from survival.mariadb import MariaDB
from survival.place import Place

TASKS = 32
SIZE = 8
BLOCKS = 8
_ROWS = 100
_FIRST = 10_000


class CancelledEntry(Base):
    __tablename__ = "cancelled_entry"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    block: Mapped[int] = mapped_column(Integer, index=True)


class EntryLine(Shape[CancelledEntry]):
    id: int
    block: int


STATE = {
    "postgresql": literal_column("coalesce(current_setting('survival.tenant', true), '')"),
    "mariadb": literal_column("if(@@wait_timeout = 12345, 'left', '')"),
}
LEAVING = {
    "postgresql": (
        "SELECT set_config('survival.tenant', 'left', false)",
        "SELECT pg_advisory_lock_shared(7)",
        "CREATE TEMPORARY TABLE remains (id int)",
    ),
    "mariadb": ("SET SESSION wait_timeout = 12345", "CREATE TEMPORARY TABLE remains (id int)"),
}
HELD = """
SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory') +
(SELECT count(*) FROM pg_class WHERE relpersistence = 't')
"""


@dataclass(slots=True)
class Met:
    """What the callers met.

    Attributes:
        calls: that were begun.
        cancelled: that were cancelled, and heard of it.
        swallowed: that were cancelled, and returned as if they had not been.
        foreign: answers to the question of somebody else.
        state: borrowers that saw what somebody else had left in the session.
        acked: ids of writes that returned.
        told: ids of writes that were cancelled and told that they are committed.
        bare: ids of writes that were cancelled and told nothing of the kind.
        reasons: what else was raised.
        complaints: of the event loop.
    """

    calls: int = 0
    cancelled: int = 0
    swallowed: int = 0
    foreign: int = 0
    state: int = 0
    acked: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)
    bare: set[int] = field(default_factory=set)
    reasons: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)

    def answer(self, *, is_right: bool) -> None:
        self.foreign += not is_right


@dataclass(frozen=True, slots=True)
class Left:
    """What is left when all calls are over.

    Attributes:
        met: by the callers.
        seconds: that it took.
        out: connections that the pool still lends.
        busy: sessions of the server in a transaction, and locks and temporary tables.
        sessions: of the server, after the pool was closed.
        stored: ids in the table, each as often as it is there.
    """

    met: Met
    seconds: float
    out: int
    busy: int
    sessions: int
    stored: Counter[int]

    @property
    def untold(self) -> int:
        """How many callers were cancelled with their row stored, and do not know."""
        return len(self.met.bare & self.stored.keys())

    @property
    def wrong(self) -> int:
        """How many callers were told of a commit that is not there, or was done twice."""
        believed = self.met.acked | self.met.told
        return len(believed - self.stored.keys()) + sum(1 for times in self.stored.values() if times > 1)

    @property
    def faults(self) -> int:
        met = self.met
        callers = self.untold + self.wrong + met.swallowed + met.foreign + met.state + met.reasons.total()
        return callers + self.out + self.busy + self.sessions + len(met.complaints)


class Way(Protocol):
    """One of the ways to do the work; what is written has the number as its id."""

    engine: AsyncEngine

    def __init__(self, url: str, met: Met) -> None: ...

    async def read(self, number: int) -> None: ...

    async def get(self, number: int) -> None: ...

    async def stream(self, number: int) -> None: ...

    async def write(self, number: int) -> None: ...

    async def attempt(self, number: int) -> None: ...

    async def close(self) -> None: ...


READS = ("read", "get", "stream")
WRITES = ("write", "attempt", "leave")


class Ours:
    """`AsyncDatabase`."""

    def __init__(self, url: str, met: Met) -> None:
        self.db = AsyncDatabase(url, pool=Pool.server(size=SIZE, overflow=0, timeout=60))
        self.engine = self.db.engine
        self._met = met
        self._question = _question(self.engine)

    async def read(self, number: int) -> None:
        _check(self._met, number, await self.db.one(self._question(number)))

    async def get(self, number: int) -> None:
        found = await self.db.get(EntryLine, number % _ROWS + 1)
        self._met.answer(is_right=found is not None and found.id == number % _ROWS + 1)

    async def stream(self, number: int) -> None:
        block, half = number % BLOCKS, number % 7
        async with aclosing(self.db.stream(EntryLine, _block(block))) as lines:
            async for line in lines:
                self._met.answer(is_right=line.block == block)
                if not half:
                    break
                half -= 1

    async def write(self, number: int) -> None:
        await self.db.run(self._write, number)

    async def leave(self, number: int) -> None:
        await self.db.run(self._write, number, LEAVING[self.engine.dialect.name])

    async def _write(self, uow: AsyncUnitOfWork, number: int, leaving: tuple[str, ...] = ()) -> None:
        _check(self._met, number, await uow.one(self._question(number)))
        uow.add(CancelledEntry(id=number, block=number % BLOCKS))
        await uow.flush()
        for each in leaving:
            await uow.session.execute(text(each))

    async def attempt(self, number: int) -> None:
        async with self.db.begin() as uow:
            uow.add(CancelledEntry(id=number, block=number % BLOCKS))
            await uow.flush()
            async with uow.attempt(UniqueViolation) as attempt:
                uow.add(CancelledEntry(id=1, block=1))
            assert attempt.failure is not None
            _check(self._met, number, await uow.one(self._question(number)))

    async def close(self) -> None:
        await self.db.close()


class Plain:
    """Engine and sessions of SQLAlchemy; they leave nothing in their session, which nobody would clean."""

    def __init__(self, url: str, met: Met) -> None:
        self.engine = create_async_engine(url, pool_size=SIZE, max_overflow=0, pool_timeout=60)
        self._met = met
        self._question = _question(self.engine)

    async def read(self, number: int) -> None:
        async with self.engine.connect() as connection:
            _check(self._met, number, (await connection.execute(self._question(number))).one())

    async def get(self, number: int) -> None:
        async with AsyncSession(self.engine) as session:
            found = await session.get(CancelledEntry, number % _ROWS + 1)
            self._met.answer(is_right=found is not None)

    async def stream(self, number: int) -> None:
        block = number % BLOCKS
        async with AsyncSession(self.engine) as session:
            async for line in await session.stream_scalars(_block(block)):
                self._met.answer(is_right=line.block == block)
                break

    async def write(self, number: int) -> None:
        async with AsyncSession(self.engine) as session, session.begin():
            _check(self._met, number, (await session.execute(self._question(number))).one())
            session.add(CancelledEntry(id=number, block=number % BLOCKS))

    leave = write

    async def attempt(self, number: int) -> None:
        async with AsyncSession(self.engine) as session, session.begin():
            session.add(CancelledEntry(id=number, block=number % BLOCKS))
            await session.flush()
            try:
                async with session.begin_nested():
                    session.add(CancelledEntry(id=1, block=1))
            except IntegrityError:
                pass

    async def close(self) -> None:
        await self.engine.dispose()


def _question(engine: AsyncEngine) -> Callable[[int], Any]:
    state = STATE[engine.dialect.name]
    return lambda number: select(literal(number), state)


def _check(met: Met, number: int, row: Any) -> None:
    met.answer(is_right=row[0] == number)
    met.state += row[1] != ""


def _block(block: int) -> Any:
    return select(CancelledEntry).where(CancelledEntry.block == block).order_by(CancelledEntry.id)


class _Storm:
    """The callers of one run, each of whom goes on until there were enough cancellations."""

    def __init__(self, way: Way, met: Met, cancellations: int) -> None:
        self._way = way
        self._met = met
        self._goal = cancellations
        self._numbers = itertools.count(_FIRST)
        self._took = dict.fromkeys((*READS, *WRITES), 0.01)

    async def call(self, seed: int) -> None:
        chance, loop = random.Random(seed), asyncio.get_running_loop()
        while self._met.cancelled < self._goal:
            kind = chance.choice((*READS, *WRITES))
            task = asyncio.create_task(self._call(kind, next(self._numbers)))
            times = chance.choice((0, 1, 1, 1, 3))
            asked: list[bool] = []

            def cancel(task: asyncio.Task[None] = task, asked: list[bool] = asked) -> None:
                asked.append(task.cancel())

            # uniformly over the time that such a call takes here, and a little beyond
            at, begun = chance.uniform(0, 1.2 * self._took[kind]), time.monotonic()
            for turn in range(times):
                loop.call_later(at + turn * 0.0002, cancel)
            await asyncio.wait([task])
            if task.cancelled():
                self._met.cancelled += 1
            elif any(asked):
                self._met.swallowed += 1
            else:
                self._took[kind] += 0.1 * (time.monotonic() - begun - self._took[kind])

    async def _call(self, kind: str, number: int) -> None:
        met = self._met
        met.calls += 1
        try:
            work: Callable[[int], Awaitable[None]] = getattr(self._way, kind)
            await work(number)
        except asyncio.CancelledError as error:
            if kind in WRITES:
                (met.told if getattr(error, "outcome", None) == Committed() else met.bare).add(number)
            raise
        except Exception as error:  # whatever it is, the caller gets it
            met.reasons[type(error).__name__] += 1
        else:
            if kind in WRITES:
                met.acked.add(number)


def storm(server: Cluster | MariaDB, make: Callable[[str, Met], Way], driver: str, cancellations: int) -> Left:
    """Cancel callers until that many heard of it, and look at what is left."""
    database = server.new_database()
    met = Met()
    seconds, out, busy = asyncio.run(_run(server, database, make, driver, met, cancellations))
    stored = Counter(row[0] for row in server.sql("SELECT id FROM cancelled_entry", database=database))
    sessions = _reached(lambda: len(server.sessions(database)))
    return Left(met, seconds, out, busy, sessions, stored)


async def _run(
    server: Cluster | MariaDB, database: str, make: Callable[[str, Met], Way], driver: str, met: Met, cancellations: int
) -> tuple[float, int, int]:
    async with AsyncDatabase(server.direct(database, driver)) as db:
        await db.create_all(CancelledEntry)
        async with db.begin() as uow:
            uow.add_all(CancelledEntry(id=number, block=number % BLOCKS) for number in range(1, _ROWS + 1))
    asyncio.get_running_loop().set_exception_handler(lambda _, context: met.complaints.append(str(context)))
    way, begun = make(server.direct(database, driver), met), time.monotonic()
    calls = _Storm(way, met, cancellations)
    await asyncio.gather(*(calls.call(seed) for seed in range(TASKS)))
    seconds = time.monotonic() - begun
    pool: Any = way.engine.pool
    out = pool.checkedout()
    busy = await asyncio.to_thread(_reached, lambda: _busy(server, database))
    await way.close()
    return seconds, out, busy


def _busy(server: Cluster | MariaDB, database: str) -> int:
    """Return how many transactions, locks and temporary tables there still are."""
    if isinstance(server, MariaDB):
        return server.open_transactions(database)
    held = int(server.sql(HELD, database=database)[0][0])
    return held + sum(1 for _, state in server.sessions(database) if state != "idle")


def _reached(count: Callable[[], int]) -> int:
    """Return what is left to count after a while: a session ends a moment after its connection."""
    try:
        until(lambda: not count(), 5, "not yet")
    except AssertionError:
        return count()
    return 0


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    ways: list[tuple[str, Callable[[str, Met], Way], str, int]] = [
        ("hermetic", Ours, "asyncpg", 4_000 if is_long else 300),
        ("hermetic", Ours, "psycopg", 4_000 if is_long else 300),
        ("hermetic", Ours, "asyncmy", 2_000 if is_long else 0),
        ("SQLAlchemy", Plain, "asyncpg", 4_000 if is_long else 300),
        ("SQLAlchemy", Plain, "psycopg", 4_000 if is_long else 0),
    ]
    for name, make, driver, cancellations in ways:
        server = place.mariadb() if driver == "asyncmy" else place.cluster
        if not cancellations or server is None:
            continue
        left = storm(server, make, driver, cancellations)
        yield Row(f"{name}, {driver}, {TASKS} tasks on {SIZE} connections", told(left), not left.faults, make is Plain)


def told(left: Left) -> str:
    """Return what was found, in words."""
    met = left.met
    words = [
        f"{met.cancelled:,} of {met.calls:,} calls cancelled",
        f"{left.out + left.sessions} connections leaked",
        f"{left.busy} transactions or locks left",
        f"{met.foreign} foreign answers",
        f"{met.state} foreign settings",
        f"{len(met.told)} cancelled with their row stored and told so",
        f"{left.untold} not told",
        f"{left.wrong} told wrong",
        f"{met.swallowed} cancellations swallowed",
        f"{len(met.complaints)} complaints of the loop",
    ]
    return ", ".join([*words, *(f"{count} {name}" for name, count in met.reasons.items())])


FIGURE = Figure(
    "cancels",
    "a cancelled task leaves nothing behind, and hears whether it was committed",
    f"{TASKS} tasks share {SIZE} connections and are cancelled at random points of reads, streams, units and attempts",
    _rows,
)
