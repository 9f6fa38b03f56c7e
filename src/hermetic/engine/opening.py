"""Open a connection in bounded time, whatever the network, the name server and the server do."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable
from math import inf
from typing import Any

from sqlalchemy import Dialect

from hermetic.engine.deadline import CONNECT, current

Creator = Callable[..., Awaitable[Any]]

_THREADED = ("psycopg", "pymysql")
_CREATORS: dict[str, Callable[[Any], Creator]] = {
    "psycopg": lambda dbapi: dbapi.psycopg.AsyncConnection.connect,
    "asyncpg": lambda dbapi: dbapi.asyncpg.connect,
    "asyncmy": lambda dbapi: dbapi.asyncmy.connect,
}


def opened(dialect: Dialect, arguments: Any, options: dict[str, Any], timeout: float) -> tuple[Any, float]:
    """Return a new connection of the driver, and the instant by which that to a server must be ready for use.

    A sync driver connects on a thread of its own: nothing else ends its wait for a name server. A connection that is
    made too late is closed there.

    Raises:
        DeadlineExceeded: the deadline that holds here has passed.
        TimeoutError: there was no connection after `timeout` seconds.
    """
    deadline = current()
    seconds = timeout if deadline is None else min(timeout, deadline.remaining)
    at = time.monotonic() + seconds
    try:
        if dialect.is_async and dialect.driver in _CREATORS:
            create = options.pop("async_creator_fn", None) or _CREATORS[dialect.driver](dialect.loaded_dbapi)
            create = _unbroken(_in_time(create, seconds))
            return dialect.connect(*arguments, **options, async_creator_fn=create), at
        if dialect.driver in _THREADED:
            return _on_thread(lambda: dialect.connect(*arguments, **options), seconds), at
        return dialect.connect(*arguments, **options), inf
    except TimeoutError as error:
        if deadline is not None and not deadline.remaining:
            raise deadline.exceeded(CONNECT) from error
        raise TimeoutError(f"no connection after {timeout:g} s") from error


def _in_time(create: Creator, seconds: float) -> Creator:
    async def created(*arguments: Any, **options: Any) -> Any:
        async with asyncio.timeout(seconds):
            return await create(*arguments, **options)

    return created


_unfinished: set[asyncio.Task[None]] = set()


def _unbroken(create: Creator) -> Creator:
    """Return what connects in a task of its own, which a cancellation leaves alone; its connection is closed then.

    asyncpg that is cancelled in the middle leaves a future behind whose exception nobody takes, and what the others
    await (`asyncio.wait_for` before Python 3.12) can keep the cancellation to itself.
    """

    async def created(*arguments: Any, **options: Any) -> Any:
        task = asyncio.ensure_future(create(*arguments, **options))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            rest = asyncio.create_task(_closed(task))
            _unfinished.add(rest)
            rest.add_done_callback(_unfinished.discard)
            raise

    return created


async def _closed(task: asyncio.Future[Any]) -> None:
    """Close the connection that a task makes, if it makes one."""
    await asyncio.wait([task])
    if task.cancelled() or task.exception() is not None:
        return
    made = task.result()
    closing = made.terminate() if hasattr(made, "terminate") else made.close()
    if inspect.isawaitable(closing):
        await closing


class _Attempt:
    """One connection, made on a thread while somebody waits for it, or no longer does."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._is_awaited = True
        self._made: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            made = self._make()
        except BaseException as error:  # handed to whoever waits, as it is
            self._error = error
        else:
            with self._lock:
                self._made = made
                is_late = not self._is_awaited
            if is_late:
                made.close()
        self._done.set()

    def result(self, seconds: float) -> Any:
        try:
            self._done.wait(seconds)
        finally:  # an interrupt from the keyboard too
            with self._lock:
                self._is_awaited = False
        if self._error is not None:
            raise self._error
        if self._made is None:
            raise TimeoutError
        return self._made


def _on_thread(make: Callable[[], Any], seconds: float) -> Any:
    attempt = _Attempt(make)
    threading.Thread(target=attempt.run, name="hermetic-connect", daemon=True).start()
    return attempt.result(seconds)
