"""The ways to run a use case that are compared: hermetic, and what people write without it.

A use case is a function of a SQLAlchemy session, the same for all of them. A way runs it and returns, or raises
`Aborted` where its caller is told that nothing was stored, or `Unknown` where the caller cannot know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import asyncpg
from sqlalchemy import Engine, MetaData, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database, OutcomeUnknown, Pool, Retry, UnitOfWork
from survival.history import History

try:
    from advanced_alchemy.config import (
        AsyncSessionConfig,
        SQLAlchemyAsyncConfig,
        SQLAlchemySyncConfig,
        SyncSessionConfig,
    )
except ImportError:  # it is a rival of bench/requirements.lock; the tests do not see it
    SQLAlchemyAsyncConfig = None  # type: ignore[assignment, misc]

SyncUse = Callable[..., Any]
AsyncUse = Callable[..., Awaitable[Any]]

CONFLICTS = ("40001", "40P01")
RETRIES = 60
PAUSE = 0.05


class Aborted(Exception):
    """The caller is told that nothing was stored."""


class Unknown(Exception):
    """The caller is told nothing that helps."""


@contextmanager
def noted(history: History, operation: str) -> Iterator[None]:
    """Note what the caller of one operation is told, and go on where it is told of a failure."""
    history.invoke(operation)
    try:
        yield
    except (Aborted, Unknown) as error:
        reason = str(error).partition("\n")[0][:90] or type(error).__name__
        history.tell(operation, "info" if isinstance(error, Unknown) else "fail", reason)
    else:
        history.tell(operation, "ok")


class SyncWay(Protocol):
    """Runs use cases of a sync session."""

    engine: Engine

    def create(self, tables: MetaData) -> None: ...

    def run(self, use: SyncUse, *arguments: Any) -> Any: ...

    def close(self) -> None: ...


class AsyncWay(Protocol):
    """Runs use cases of an async session."""

    engine: AsyncEngine

    async def run(self, use: AsyncUse, *arguments: Any) -> Any: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the ways, and how to open it on a URL with a pool of `size`."""

    name: str
    sync: Callable[[str, int], SyncWay]
    asynchronous: Callable[[str, int], AsyncWay]


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error of SQLAlchemy, whichever the driver."""
    found = getattr(getattr(error, "orig", None), "sqlstate", None)
    return found if isinstance(found, str) else None


def _options(size: int) -> dict[str, Any]:
    # what a careful team writes today
    return {"pool_size": size, "max_overflow": 0, "pool_timeout": 5, "pool_pre_ping": True}


class Plain:
    """A session that is committed, once."""

    def __init__(self, url: str, size: int) -> None:
        self.engine = create_engine(url, **_options(size))

    def create(self, tables: MetaData) -> None:
        tables.create_all(self.engine)

    def session(self) -> Session:
        return Session(self.engine)

    def attempt(self, use: SyncUse, *arguments: Any) -> Any:
        with self.session() as session:
            result = use(session, *arguments)
            try:
                session.commit()
            except DBAPIError as error:
                raise (Unknown if error.connection_invalidated else Aborted)(str(error.orig)) from error
            return result

    def run(self, use: SyncUse, *arguments: Any) -> Any:
        try:
            return self.attempt(use, *arguments)
        except Exception as error:  # whatever it is, the caller gets it
            raise _aborted(error) from error

    def close(self) -> None:
        self.engine.dispose()


class AsyncPlain:
    """The async twin of `Plain`."""

    def __init__(self, url: str, size: int) -> None:
        self.engine = create_async_engine(url, **_options(size))

    def session(self) -> AsyncSession:
        return AsyncSession(self.engine)

    async def attempt(self, use: AsyncUse, *arguments: Any) -> Any:
        async with self.session() as session:
            result = await use(session, *arguments)
            try:
                await session.commit()
            except DBAPIError as error:
                raise (Unknown if error.connection_invalidated else Aborted)(str(error.orig)) from error
            return result

    async def run(self, use: AsyncUse, *arguments: Any) -> Any:
        try:
            return await self.attempt(use, *arguments)
        except Exception as error:  # whatever it is, the caller gets it
            raise _aborted(error) from error

    async def close(self) -> None:
        await self.engine.dispose()


class Naive(Plain):
    """The same, again when the connection was lost or the transaction collided: what is found in many code bases."""

    def run(self, use: SyncUse, *arguments: Any) -> Any:
        for _ in range(RETRIES):
            try:
                return self.attempt(use, *arguments)
            except Exception as error:
                if not _is_worth_another(error):
                    raise _aborted(error) from error
                time.sleep(PAUSE)
        raise Aborted("too often")


class AsyncNaive(AsyncPlain):
    """The async twin of `Naive`."""

    async def run(self, use: AsyncUse, *arguments: Any) -> Any:
        for _ in range(RETRIES):
            try:
                return await self.attempt(use, *arguments)
            except Exception as error:
                if not _is_worth_another(error):
                    raise _aborted(error) from error
                await asyncio.sleep(PAUSE)
        raise Aborted("too often")


def _aborted(error: Exception) -> Exception:
    if isinstance(error, Aborted | Unknown):
        return error
    return Aborted(f"{type(getattr(error, 'orig', None) or error).__name__}: {error}")


def _is_worth_another(error: BaseException) -> bool:
    cause = error.__cause__ if isinstance(error, Aborted | Unknown) else error
    if isinstance(cause, DBAPIError):
        return cause.connection_invalidated or sqlstate(cause) in CONFLICTS or sqlstate(cause) is None
    return isinstance(cause, OSError | asyncpg.InterfaceError)  # both reach the caller as they are when a connect fails


class AdvancedAlchemy(Plain):
    """A session of advanced-alchemy's configuration."""

    def __init__(self, url: str, size: int) -> None:
        super().__init__(url, size)
        config = SQLAlchemySyncConfig(engine_instance=self.engine, session_config=SyncSessionConfig())
        self.session = config.create_session_maker()  # type: ignore[method-assign]


class AsyncAdvancedAlchemy(AsyncPlain):
    """The async twin of `AdvancedAlchemy`."""

    def __init__(self, url: str, size: int) -> None:
        super().__init__(url, size)
        config = SQLAlchemyAsyncConfig(engine_instance=self.engine, session_config=AsyncSessionConfig())
        self.session = config.create_session_maker()  # type: ignore[method-assign]


def _use(uow: UnitOfWork, use: SyncUse, arguments: tuple[Any, ...]) -> Any:
    return use(uow.session, *arguments)


async def _use_async(uow: AsyncUnitOfWork, use: AsyncUse, arguments: tuple[Any, ...]) -> Any:
    return await use(uow.session, *arguments)


# a storm that is made to order collides more often than the default budget is meant for
_BUDGET = Retry(attempts=500, seconds=60, longest=0.25)


class Hermetic:
    """`Database.run`."""

    retry = _BUDGET

    def __init__(self, url: str, size: int) -> None:
        self.db = Database(url, pool=Pool.server(size=size, overflow=0, timeout=60), retry=self.retry)
        self.engine = self.db.engine

    def create(self, tables: MetaData) -> None:
        self.db.create_all(tables)

    def run(self, use: SyncUse, *arguments: Any) -> Any:
        try:
            return self.db.run(_use, use, arguments)
        except Exception as error:
            raise _told(error) from error

    def close(self) -> None:
        self.db.close()


class AsyncHermetic:
    """`AsyncDatabase.run`."""

    retry = _BUDGET

    def __init__(self, url: str, size: int) -> None:
        self.db = AsyncDatabase(url, pool=Pool.server(size=size, overflow=0, timeout=60), retry=self.retry)
        self.engine = self.db.engine

    async def run(self, use: AsyncUse, *arguments: Any) -> Any:
        try:
            return await self.db.run(_use_async, use, arguments)
        except Exception as error:
            raise _told(error) from error

    async def close(self) -> None:
        await self.db.close()


class HermeticOnce(Hermetic):
    """`Database.run` with one attempt: a lost connection is told, a commit is settled all the same."""

    retry = Retry.never()


class AsyncHermeticOnce(AsyncHermetic):
    """The async twin of `HermeticOnce`."""

    retry = Retry.never()


def _told(error: Exception) -> Exception:
    return Unknown(str(error)) if isinstance(error, OutcomeUnknown) else _aborted(error)


HERMETIC = Kind("hermetic", Hermetic, AsyncHermetic)
HERMETIC_ONCE = Kind("hermetic, one attempt", HermeticOnce, AsyncHermeticOnce)
PLAIN = Kind("SQLAlchemy, no retry", Plain, AsyncPlain)
NAIVE = Kind("SQLAlchemy, retried when the connection is lost", Naive, AsyncNaive)
ADVANCED_ALCHEMY = Kind("advanced-alchemy, no retry", AdvancedAlchemy, AsyncAdvancedAlchemy)


def has_advanced_alchemy() -> bool:
    """Return whether the rival is there: `dev.py survive` installs it, the tests do not see it."""
    return SQLAlchemyAsyncConfig is not None
