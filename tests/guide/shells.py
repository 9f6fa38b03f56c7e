"""One body of a test for both shells: a sync object whose verbs can be awaited, and what runs the body."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

from hermetic import AsyncDatabase, AsyncRepository, AsyncUnitOfWork, Database, Pool, Repository, UnitOfWork

SYNC = ("sqlite3", "psycopg", "pymysql")
ASYNC = ("aiosqlite", "psycopg-async", "asyncpg", "asyncmy")
TARGETS = (*SYNC, *ASYNC)

only_async = pytest.mark.parametrize("target", ASYNC, indirect=True)
only_sync = pytest.mark.parametrize("target", SYNC, indirect=True)
only_postgresql = pytest.mark.parametrize("target", ("psycopg", "psycopg-async", "asyncpg"), indirect=True)
only_sqlite = pytest.mark.parametrize("target", ("sqlite3", "aiosqlite"), indirect=True)

TWINS: dict[type[Any], type[Any]] = {
    Connection: AsyncConnection,
    Database: AsyncDatabase,
    Engine: AsyncEngine,
    Repository: AsyncRepository,
    Session: AsyncSession,
    UnitOfWork: AsyncUnitOfWork,
}
_BLOCKS = frozenset({"begin", "begin_nested", "connect", "savepoint"})


def finish(body: Coroutine[Any, Any, Any]) -> Any:
    """Return what a coroutine returns that never waits, without an event loop."""
    try:
        body.send(None)
    except StopIteration as end:
        return end.value
    body.close()
    raise AssertionError("the body of a sync test waited for something")


class Awaited:
    """A sync object of hermetic or SQLAlchemy, written as its async twin is: what is awaited there is awaited here."""

    def __init__(self, sync: Any) -> None:
        self.sync = sync

    def __getattr__(self, name: str) -> Any:
        if name == "run_sync":
            return _awaitable(lambda call, *given: call(self.sync, *given))
        found = getattr(self.sync, name)
        if name == "run":
            return functools.partial(_run, found)
        if name in _BLOCKS:
            return lambda *given, **named: Awaited(found(*given, **named))
        if inspect.iscoroutinefunction(getattr(_twin_of(self.sync), name, None)):
            return _awaitable(found)
        return _shown(found)

    async def __aenter__(self) -> Any:
        return _shown(self.sync.__enter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        return self.sync.__exit__(kind, error, trace)


def _shown(found: Any) -> Any:
    return Awaited(found) if _twin_of(found) is not None else found


def _twin_of(sync: object) -> type[Any] | None:
    return next((TWINS[each] for each in type(sync).__mro__ if each in TWINS), None)


def _awaitable(call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    async def awaited(*given: Any, **named: Any) -> Any:
        return call(*given, **named)

    return awaited


async def _run(run: Callable[..., Any], use_case: Callable[..., Any], *given: Any, **named: Any) -> Any:
    return run(lambda uow, *inner, **kept: finish(use_case(Awaited(uow), *inner, **kept)), *given, **named)


class Shell:
    """One driver and one database with the rows of the observatory; opens databases and runs the body of a test."""

    def __init__(self, target: str, url: str) -> None:
        self.target = target
        self.url = url
        self.is_async = target in ASYNC
        self.dialect = make_url(url).get_backend_name()
        self._opened: list[Any] = []

    def __repr__(self) -> str:
        return self.target

    def open(self, pool: Pool | None = None) -> Any:
        """Return a database, awaited in either shell; it is closed when the test ends."""
        kind = AsyncDatabase if self.is_async else Database
        opened = kind(self.url, pool=pool)
        self._opened.append(opened if self.is_async else Awaited(opened))
        return self._opened[-1]

    def plain_session(self, db: Any, **options: Any) -> Any:
        """Return the block of a session of SQLAlchemy itself: what the guide starts from, as the contrast."""
        if self.is_async:
            return AsyncSession(db.engine, **options)
        return Awaited(Session(db.engine.sync, **options))

    def run(self, body: Coroutine[Any, Any, None]) -> None:
        """Run the body of a test, then close what it opened."""
        if self.is_async:
            asyncio.run(self._closing(body))
        else:
            finish(self._closing(body))

    async def _closing(self, body: Coroutine[Any, Any, None]) -> None:
        try:
            await body
        finally:
            for db in self._opened:
                await db.close()


def pool_of(db: Any) -> Any:
    """Return the pool of a database, whichever shell."""
    return db.engine.pool


async def reflected(db: Any, table: str) -> dict[str, dict[str, Any]]:
    """Return the columns of a table by name, as the catalogue of the server has them."""
    from sqlalchemy import inspect as catalogue

    async with db.engine.connect() as connection:
        columns = await connection.run_sync(lambda sync: catalogue(sync).get_columns(table))
    return {column["name"]: column for column in columns}
