"""`Database`: the server behind all of it. Reads without a transaction, opens units of work, runs use cases."""

from __future__ import annotations

import asyncio
import copy
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar

from sqlalchemy import URL, Connection, Engine, MetaData, Select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase

from hermetic._lift import cross
from hermetic.engine import (
    AsyncReader,
    CommitOutcome,
    Deadline,
    Health,
    Lease,
    Limits,
    Lock,
    Outcomes,
    Paging,
    Pool,
    Reader,
    Retry,
    Terms,
    Timeouts,
    autocommit_options,
    borrowed,
    close_async_engine,
    close_engine,
    custody_of,
    direct,
    estimated,
    fetching,
    health_of,
    is_memory,
    make_async_engine,
    make_engine,
    prepare_transactions,
    unit_options,
    with_snapshot,
)
from hermetic.errors import DeadlineExceeded, EntityOutsideUnit, StalePlan, WrongStatement
from hermetic.guard import watch_failures
from hermetic.observe import Recorder, Statement
from hermetic.shape import Bounds, Fetch, Parameters, Plan, Plans, Rows, Step, gathered
from hermetic.work.course import Course
from hermetic.work.leases import OwnConnection
from hermetic.work.settlement import Settling
from hermetic.work.unit import AsyncUnitOfWork, UnitOfWork

Isolation = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]
"""Isolation levels of units of work; SQLite has only SERIALIZABLE."""

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E", Engine, AsyncEngine)
Found = TypeVar("Found")

_NO_DEADLINE = nullcontext()


def _on_connection(engine: Engine, read: Callable[[Connection], Found]) -> Found:
    """Return what a read finds; once more, on another connection, where its own was lost or had prepared what a
    migration has changed since: a read changes nothing.
    """
    with borrowed(engine) as connection:
        try:
            return read(connection)
        except StalePlan:
            pass
        except DBAPIError as error:
            if not connection.invalidated or isinstance(error, DeadlineExceeded):
                raise
    with borrowed(engine) as connection:
        return read(connection)


class Autocommit:
    """The source of reads outside any transaction: a connection for each, and one round trip."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        paging: Paging,
        bounds: Bounds,
        capacity: int | None,
        seconds: float | None,
    ) -> None:
        self.plans = Plans(engine.dialect, bounds)
        self.paging = paging
        self._capacity = capacity
        self._seconds = seconds
        self._direct = direct(engine, self._fetched, recorder.sent)
        self._engine = engine.execution_options(**autocommit_options(engine.dialect.name))
        self._snapshot = with_snapshot(engine)

    def read(self, plan: Plan, use: Callable[[Fetch], Found]) -> Found:
        """Return what `use` fetches on a connection of its own; several statements share one read-only transaction."""
        if self._seconds is None:
            return self._read(plan, use)
        with Deadline(f"the read of {plan.shape}", self._seconds):
            return self._read(plan, use)

    def within(self, call: str) -> AbstractContextManager[object]:
        """Return a block by whose deadline the call is over."""
        return _NO_DEADLINE if self._seconds is None else Deadline(call, self._seconds)

    def _read(self, plan: Plan, use: Callable[[Fetch], Found]) -> Found:
        if plan.statements == 1:
            return use(self._direct)

        def in_snapshot(connection: Connection) -> Found:
            with connection.begin():
                return use(fetching(connection))

        return _on_connection(self._snapshot, in_snapshot)

    def _fetched(self, step: Step, sql: str, parameters: Parameters) -> Rows:
        return _on_connection(self._engine, lambda connection: fetching(connection)(step, sql, parameters))

    def lease(self) -> Lease:
        """Return a connection of its own for a stream."""
        return OwnConnection(self._snapshot, self._capacity, self.within)

    def selected(self, statement: Select[Any], verb: str, lock: Lock, /) -> list[Any]:
        """Return the values or rows that the statement selects."""
        if lock:
            raise _lock_outside(verb, "select(User)...")
        chosen = statement.column_descriptions
        for each in chosen:
            if each.get("entity") is not None and each["expr"] is each["entity"]:
                raise EntityOutsideUnit(each["name"], f"select({each['name']})", verb)

        def read(connection: Connection) -> list[Any]:
            result = connection.execute(gathered(statement, connection.dialect))
            return list(result.all()) if len(chosen) > 1 else list(result.scalars().all())

        with self.within(verb):
            return _on_connection(self._engine, read)

    def estimated(self, statement: Select[Any]) -> int | None:
        """Return about how many rows the statement finds, where the server tells."""
        return _on_connection(self._engine, lambda connection: estimated(connection, statement))

    def entity(self, model: type[Any], key: Any, verb: str, lock: Lock, /) -> Any:
        """Refuse: there is no unit of work to own an entity."""
        if lock:
            raise _lock_outside(verb, f"{model.__name__}, key")
        raise EntityOutsideUnit(model.__name__, f"{model.__name__}, key", verb)


class Database(Reader):
    """One database server, its pool and its plans.

    Reads with the verbs of every reader, each in autocommit and one round trip; writes only inside `begin()` or
    `run()`.

    Args:
        url: SQLAlchemy URL, e.g. `postgresql+psycopg://app@db/app`.
        pool: a preset of `Pool`; without one, `Pool.server()`.
        deadline: seconds in which each call is over, whatever the server does: a read, each batch of a stream, a unit
            of work as a whole, `run()` with all its attempts. `with deadline(...)` around a call sets a nearer one.
            None sets no bound.
        retry: how often and for how long `run()` tries a use case; `Retry.never()` tries once.
        isolation: SQL name of the isolation level of units of work, e.g. `SERIALIZABLE`; None is the server's default.
        timeouts: what the server ends by itself. Behind a pooler they hold inside units of work alone.
    Raises:
        UnknownDriver: the URL cannot be read, or names no sync driver.
        MissingPackage: the driver is not installed.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        pool: Pool | None = None,
        limits: Limits | None = None,
        page_secret: str | bytes | None = None,
        deadline: float | None = None,
        retry: Retry | None = None,
        isolation: Isolation | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        pool, timeouts = pool or Pool.server(), timeouts or Timeouts()
        self._engine = make_engine(url, pool, timeouts)
        watch_failures(self._engine)
        self._recorder = Recorder(self._engine)
        self._seconds = deadline
        self._outcomes = Outcomes(self._engine)
        prepare_transactions(self._engine, self._outcomes)
        self._units = _units(self._engine, retry or Retry(), isolation, timeouts if pool.is_shared else Timeouts())
        self._autocommit = _autocommit(self._engine, self._recorder, pool, limits, page_secret, deadline)
        super().__init__(self._autocommit)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine underneath, for whatever hermetic does not cover."""
        return self._engine

    def begin(self) -> UnitOfWork:
        """Return a unit of work: `with db.begin() as uow:` commits when the block ends and rolls back if it raises."""
        return self._unit(1)

    def _unit(self, attempt: int) -> UnitOfWork:
        units = self._units
        return UnitOfWork(
            units.first if attempt == 1 else units.later,
            self._autocommit.plans,
            self._autocommit.paging,
            self._seconds,
            Settling(self._outcomes, units.retry.seconds),
        )

    def using(
        self, *, retry: Retry | None = None, isolation: Isolation | None = None, timeouts: Timeouts | None = None
    ) -> Self:
        """Return this database with other terms for its units of work; pool and plans are shared, what is None stays.

        `db.using(isolation="SERIALIZABLE").run(transfer, ...)`

        Args:
            retry: the budget of attempts of `run()`.
            isolation: SQL name of the isolation level.
            timeouts: on PostgreSQL, for the transaction alone; they travel with BEGIN, in one message.
        Raises:
            ValueError: timeouts for one transaction, of another database.
        """
        twin = copy.copy(self)
        twin._units = self._units.changed(retry, isolation, timeouts)
        return twin

    def run(self, use_case: Callable[Concatenate[UnitOfWork, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a use case in a unit of work of its own and return what it returns, after the commit.

        After a conflict, a lost connection or a failover the whole use case is run again, in a new unit of work, until
        the budget of the database's `Retry` is spent: what it does outside the database it may do several times.
        Where the answer to COMMIT was lost, the server is asked what became of it, and nothing is done twice.
        A `run` inside a use case on the same database does not repeat by itself.

        Raises:
            Whatever the use case raises; then everything it did is rolled back. What was tried is in the notes of the
                last error and in its attribute `attempts`.
            OutcomeUnknown: the answer to COMMIT was lost, and the server did not come back in time to be asked.
            EntityPassed: an argument is an entity; nothing was done.
        Statements: those of the use case, BEGIN and COMMIT; the token of the outcome travels with COMMIT, and is a
            statement of its own on MariaDB and SQLite.
        """
        with (
            self._autocommit.within(_name(use_case)),
            Course(self._units.retry, self._engine, use_case, is_async=False) as course,
        ):
            course.check(args, kwargs)
            while True:
                try:
                    if course.lost is not None:
                        self._outcomes.end_session(course.lost)
                    with course.attempt(self._unit(course.number)) as uow:
                        return use_case(uow, *args, **kwargs)
                except Exception as failure:
                    wait = course.after(failure)
                    if wait is None:
                        raise
                time.sleep(wait)

    def outcome(self, token: str) -> CommitOutcome:
        """Return what became of the transaction with the token of an `OutcomeUnknown`; the answer never changes.

        Raises:
            DBAPIError: the server cannot be asked now.
        Statements: 1 INSERT and 1 SELECT in a transaction.
        """
        return self._outcomes.ask(uuid.UUID(token))

    def prune_outcomes(self, *, hours: float = 72.0) -> int:
        """Delete the outcomes that are older than `hours` and return how many there were: 0..n.

        Keep them longer than anybody may ask for one. Statements: 1 DELETE.
        """
        return self._outcomes.prune(hours * 3600)

    def recorded(self) -> AbstractContextManager[list[Statement]]:
        """Return a context manager that yields a list of every statement this database is sent until the block ends."""
        return self._recorder.recording()

    def check(self) -> None:
        """Compare the pool with the server now; the first connection does it too.

        Raises:
            PoolError: the server has no room for all instances of the pool, or a pooler stands before it that the
                preset does not know of; it lists all problems.
            CannotConnect: the server could not be reached.
        Statements: 1 SELECT, none on SQLite; behind a pooler that the preset does not know of up to 11 more.
        """
        custody_of(self._engine).check()

    def health(self, *, timeout: float = 2.0) -> Health:
        """Ask the server for a sign of life; never raises for one that does not answer.

        Args:
            timeout: seconds in which the answer is there, whatever the server does.
        Statements: 1 SELECT, over a connection of the pool.
        """
        return health_of(self._engine, timeout)

    def create_all(self, base: type[DeclarativeBase] | MetaData) -> None:
        """Create the tables that do not exist yet, that of the outcomes among them; for demos and tests.

        Production schemas belong to migrations: `outcome_table(metadata)` adds that table to a metadata.
        """
        _create_all(_metadata(base), self._engine, self._outcomes)

    def drop_all(self, base: type[DeclarativeBase] | MetaData) -> None:
        """Drop the tables; for demos and tests. That of the outcomes, which others may use, stays."""
        _metadata(base).drop_all(self._engine)

    def close(self, *, timeout: float = 10.0) -> None:
        """Close for good: nothing is handed out any more, what is out may come back, all connections are closed.

        Args:
            timeout: seconds to wait for the connections that others have; 0 waits for none. What comes back later is
                closed then, and told of by the warning `ConnectionsLeft`.
        """
        close_engine(self._engine, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class AsyncDatabase(AsyncReader):
    """The async twin of `Database`: the same verbs, awaited."""

    def __init__(
        self,
        url: str | URL,
        *,
        pool: Pool | None = None,
        limits: Limits | None = None,
        page_secret: str | bytes | None = None,
        deadline: float | None = None,
        retry: Retry | None = None,
        isolation: Isolation | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        pool, timeouts = pool or Pool.server(), timeouts or Timeouts()
        self._engine = make_async_engine(url, pool, timeouts)
        core = self._engine.sync_engine
        watch_failures(core)
        self._recorder = Recorder(core)
        self._seconds = deadline
        self._outcomes = Outcomes(core)
        prepare_transactions(core, self._outcomes)
        self._units = _units(self._engine, retry or Retry(), isolation, timeouts if pool.is_shared else Timeouts())
        self._autocommit = _autocommit(core, self._recorder, pool, limits, page_secret, deadline)
        # the session holds no connection: only its way into the greenlet is used
        super().__init__(Reader(self._autocommit), AsyncSession(self._engine))

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine underneath, for whatever hermetic does not cover."""
        return self._engine

    def begin(self) -> AsyncUnitOfWork:
        return self._unit(1)

    def _unit(self, attempt: int) -> AsyncUnitOfWork:
        units = self._units
        return AsyncUnitOfWork(
            units.first if attempt == 1 else units.later,
            self._autocommit.plans,
            self._autocommit.paging,
            self._seconds,
            Settling(self._outcomes, units.retry.seconds),
        )

    def using(
        self, *, retry: Retry | None = None, isolation: Isolation | None = None, timeouts: Timeouts | None = None
    ) -> Self:
        twin = copy.copy(self)
        twin._units = self._units.changed(retry, isolation, timeouts)
        return twin

    async def run(
        self, use_case: Callable[Concatenate[AsyncUnitOfWork, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        with (
            self._autocommit.within(_name(use_case)),
            Course(self._units.retry, self._engine.sync_engine, use_case, is_async=True) as course,
        ):
            course.check(args, kwargs)
            while True:
                try:
                    if course.lost is not None:
                        await cross(self._bridge, self._outcomes.end_session, course.lost)
                    async with course.attempt(self._unit(course.number)) as uow:
                        return await use_case(uow, *args, **kwargs)
                except Exception as failure:
                    wait = course.after(failure)
                    if wait is None:
                        raise
                await asyncio.sleep(wait)

    async def outcome(self, token: str) -> CommitOutcome:
        return await cross(self._bridge, self._outcomes.ask, uuid.UUID(token))

    async def prune_outcomes(self, *, hours: float = 72.0) -> int:
        return await cross(self._bridge, self._outcomes.prune, hours * 3600)

    def recorded(self) -> AbstractContextManager[list[Statement]]:
        return self._recorder.recording()

    async def check(self) -> None:
        await cross(self._bridge, custody_of(self._engine.sync_engine).check)

    async def health(self, *, timeout: float = 2.0) -> Health:  # noqa: ASYNC109  # the name of the sync twin
        return await cross(self._bridge, health_of, self._engine.sync_engine, timeout)

    async def create_all(self, base: type[DeclarativeBase] | MetaData) -> None:
        await cross(self._bridge, _create_all, _metadata(base), self._engine.sync_engine, self._outcomes)

    async def drop_all(self, base: type[DeclarativeBase] | MetaData) -> None:
        await cross(self._bridge, _metadata(base).drop_all, self._engine.sync_engine)

    async def close(self, *, timeout: float = 10.0) -> None:  # noqa: ASYNC109  # the name of the sync twin
        await close_async_engine(self._engine, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


def _autocommit(
    engine: Engine,
    recorder: Recorder,
    pool: Pool,
    limits: Limits | None,
    secret: str | bytes | None,
    seconds: float | None,
) -> Autocommit:
    if seconds is not None and seconds <= 0:
        raise ValueError(f"Database deadline={seconds} ends every call before it begins; use more than 0, or None")
    limits = limits or Limits()
    paging, bounds = Paging(engine.dialect, secret, limits.page), Bounds(limits.rows, limits.bytes, limits.children)
    return Autocommit(engine, recorder, paging, bounds, pool.capacity(is_memory=is_memory(engine.url)), seconds)


def _name(use_case: Callable[..., Any]) -> str:
    return f"the use case {getattr(use_case, '__qualname__', repr(use_case))}"


@dataclass(frozen=True, slots=True)
class _Units(Generic[E]):
    """How the units of a database are begun, and how often a use case is tried; `first` and `later` are the engines of
    the first attempt and of those after it.
    """

    engine: E
    first: E
    later: E
    retry: Retry
    isolation: Isolation | None
    timeouts: Timeouts

    def changed(self, retry: Retry | None, isolation: Isolation | None, timeouts: Timeouts | None) -> _Units[E]:
        database = self.engine.dialect.name
        if timeouts is not None and database != "postgresql":
            raise ValueError(
                f"using(timeouts=...) sets them for one transaction, and {database} has none that end with it; "
                "open a second database for such work: Database(url, timeouts=...)"
            )
        timeouts = timeouts.over(self.timeouts) if timeouts is not None else self.timeouts
        return _units(self.engine, retry or self.retry, isolation or self.isolation, timeouts)


def _units(engine: E, retry: Retry, isolation: Isolation | None, timeouts: Timeouts) -> _Units[E]:
    dialect = engine.dialect
    kept: Any = engine  # both kinds have execution_options, and return their own
    settings = timeouts.with_begin() if dialect.name == "postgresql" else ""
    first: E = kept.execution_options(**unit_options(dialect, Terms(isolation, settings=settings)))
    # a transaction of SQLite that reads first and writes later is refused when somebody wrote in between, at once and
    # however long it may wait; its next attempt takes the lock first, and then nobody can
    immediate = unit_options(dialect, Terms(isolation, is_immediate=True))
    later: E = kept.execution_options(**immediate) if dialect.name == "sqlite" else first
    return _Units(engine, first, later, retry, isolation, timeouts)


def _create_all(metadata: MetaData, engine: Engine, outcomes: Outcomes) -> None:
    metadata.create_all(engine)
    outcomes.create()


def _lock_outside(verb: str, target: str) -> WrongStatement:
    return WrongStatement(
        verb,
        "a lock ends with its transaction, and a read outside a unit of work has none",
        f"open one: [async] with db.begin() as uow: [await] uow.{verb}({target}, lock=True)",
    )


def _metadata(base: type[DeclarativeBase] | MetaData) -> MetaData:
    return base if isinstance(base, MetaData) else base.metadata
