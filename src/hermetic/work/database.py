"""`Database`: the server behind all of it. Reads without a transaction, opens units of work, runs use cases."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from sqlalchemy import URL, Engine, MetaData, Select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import DeclarativeBase

from hermetic._lift import cross
from hermetic.engine import (
    AsyncReader,
    Lease,
    Limits,
    Paging,
    Pool,
    Reader,
    custody_of,
    direct,
    estimated,
    fetching,
    is_memory,
    make_async_engine,
    make_engine,
    with_snapshot,
)
from hermetic.errors import EntityOutsideUnit
from hermetic.guard import watch_failures
from hermetic.observe import Recorder, Statement
from hermetic.shape import Bounds, Fetch, Parameters, Plan, Plans, Rows, Step, gathered
from hermetic.work.leases import OwnConnection
from hermetic.work.unit import AsyncUnitOfWork, UnitOfWork

P = ParamSpec("P")
R = TypeVar("R")


class Autocommit:
    """The source of reads outside any transaction: a connection for each, and one round trip."""

    def __init__(
        self, engine: Engine, recorder: Recorder, paging: Paging, bounds: Bounds, capacity: int | None
    ) -> None:
        self.plans = Plans(engine.dialect, bounds)
        self.paging = paging
        self._capacity = capacity
        self._direct = nullcontext(direct(engine, self._fetched, recorder.sent))
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._snapshot = with_snapshot(engine)

    def fetching(self, plan: Plan) -> AbstractContextManager[Fetch]:
        """Return what fetches on a connection of its own; several statements share one read-only transaction."""
        return self._direct if plan.statements == 1 else self._in_snapshot()

    @contextmanager
    def _in_snapshot(self) -> Generator[Fetch]:
        with self._snapshot.begin() as connection:
            yield fetching(connection)

    def _fetched(self, step: Step, sql: str, parameters: Parameters) -> Rows:
        with self._engine.connect() as connection:
            return fetching(connection)(step, sql, parameters)

    def lease(self) -> Lease:
        """Return a connection of its own for a stream."""
        return OwnConnection(self._snapshot, self._capacity)

    def selected(self, statement: Select[Any], verb: str) -> list[Any]:
        """Return the values or rows that the statement selects."""
        chosen = statement.column_descriptions
        for each in chosen:
            if each.get("entity") is not None and each["expr"] is each["entity"]:
                raise EntityOutsideUnit(each["name"], verb)
        with self._engine.connect() as connection:
            result = connection.execute(gathered(statement, connection.dialect))
            return list(result.all()) if len(chosen) > 1 else list(result.scalars().all())

    def estimated(self, statement: Select[Any]) -> int | None:
        """Return about how many rows the statement finds, where the server tells."""
        with self._engine.connect() as connection:
            return estimated(connection, statement)

    def entity(self, model: type[Any], key: Any) -> Any:
        """Refuse: there is no unit of work to own an entity."""
        raise EntityOutsideUnit(model.__name__, "get")


class Database(Reader):
    """One database server, its pool and its plans.

    Reads with the verbs of every reader, each in autocommit and one round trip; writes only inside `begin()` or
    `run()`.

    Args:
        url: SQLAlchemy URL, e.g. `postgresql+psycopg://app@db/app`.
        pool: a preset of `Pool`; without one, `Pool.server()`.
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
    ) -> None:
        pool = pool or Pool.server()
        self._engine = make_engine(url, pool)
        watch_failures(self._engine)
        self._recorder = Recorder(self._engine)
        self._autocommit = _autocommit(self._engine, self._recorder, pool, limits, page_secret)
        super().__init__(self._autocommit)

    @property
    def engine(self) -> Engine:
        """The SQLAlchemy engine underneath, for whatever hermetic does not cover."""
        return self._engine

    def begin(self) -> UnitOfWork:
        """Return a unit of work: `with db.begin() as uow:` commits when the block ends and rolls back if it raises."""
        return UnitOfWork(self._engine, self._autocommit.plans, self._autocommit.paging)

    def run(self, use_case: Callable[Concatenate[UnitOfWork, P], R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a use case in a unit of work of its own and return what it returns, after the commit.

        Raises:
            Whatever the use case raises; then everything it did is rolled back.
        """
        with self.begin() as uow:
            return use_case(uow, *args, **kwargs)

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

    def create_all(self, base: type[DeclarativeBase] | MetaData) -> None:
        """Create the tables that do not exist yet; for demos and tests. Production schemas belong to migrations."""
        _metadata(base).create_all(self._engine)

    def drop_all(self, base: type[DeclarativeBase] | MetaData) -> None:
        """Drop the tables; for demos and tests."""
        _metadata(base).drop_all(self._engine)

    def close(self) -> None:
        """Close the connections that are in the pool."""
        self._engine.dispose()

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
    ) -> None:
        pool = pool or Pool.server()
        self._engine = make_async_engine(url, pool)
        core = self._engine.sync_engine
        watch_failures(core)
        self._recorder = Recorder(core)
        self._autocommit = _autocommit(core, self._recorder, pool, limits, page_secret)
        # the session holds no connection: only its way into the greenlet is used
        super().__init__(Reader(self._autocommit), AsyncSession(self._engine))

    @property
    def engine(self) -> AsyncEngine:
        """The SQLAlchemy engine underneath, for whatever hermetic does not cover."""
        return self._engine

    def begin(self) -> AsyncUnitOfWork:
        return AsyncUnitOfWork(self._engine, self._autocommit.plans, self._autocommit.paging)

    async def run(
        self, use_case: Callable[Concatenate[AsyncUnitOfWork, P], Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> R:
        async with self.begin() as uow:
            return await use_case(uow, *args, **kwargs)

    def recorded(self) -> AbstractContextManager[list[Statement]]:
        return self._recorder.recording()

    async def check(self) -> None:
        await cross(self._bridge, custody_of(self._engine.sync_engine).check)

    async def create_all(self, base: type[DeclarativeBase] | MetaData) -> None:
        await cross(self._bridge, _metadata(base).create_all, self._engine.sync_engine)

    async def drop_all(self, base: type[DeclarativeBase] | MetaData) -> None:
        await cross(self._bridge, _metadata(base).drop_all, self._engine.sync_engine)

    async def close(self) -> None:
        await self._engine.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


def _autocommit(
    engine: Engine, recorder: Recorder, pool: Pool, limits: Limits | None, secret: str | bytes | None
) -> Autocommit:
    limits = limits or Limits()
    paging, bounds = Paging(engine.dialect, secret, limits.page), Bounds(limits.rows, limits.bytes, limits.children)
    return Autocommit(engine, recorder, paging, bounds, pool.capacity(is_memory=is_memory(engine.url)))


def _metadata(base: type[DeclarativeBase] | MetaData) -> MetaData:
    return base if isinstance(base, MetaData) else base.metadata
