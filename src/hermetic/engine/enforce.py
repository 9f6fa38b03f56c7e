"""Hold every wait on the connections of an engine to the deadline that holds where they are used."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from math import inf
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, event
from sqlalchemy.exc import DisconnectionError

from hermetic.engine.borrow import unbroken
from hermetic.engine.deadline import BETWEEN, COMMIT, CONNECT, ROLLBACK, STATEMENT, current
from hermetic.engine.watchdog import Watch, watch_over
from hermetic.errors import DeadlineExceeded

_WATCH = "hermetic_deadline"
_ENDING = "hermetic_ending"
CLOSE_TIMEOUT = 2.0
"""Seconds that the close of a connection waits for its server."""
_SQLITE_INTERRUPT = 9


def hold_to_deadlines(engine: Engine) -> None:
    """Install what takes up the watch over a connection when it is used, and lays it down when it is given back.

    Installed behind all other listeners, whose own questions to the server are bounded too.
    """
    event.listen(engine, "connect", _established)
    event.listen(engine, "checkout", _taken, insert=True)  # before the others ask the server something
    event.listen(engine, "checkin", _returned)
    event.listen(engine, "before_cursor_execute", _sending)
    event.listen(engine, "commit", lambda connection: _ending(connection, COMMIT))
    event.listen(engine, "rollback", lambda connection: _ending(connection, ROLLBACK))
    event.listen(engine, "handle_error", _failed)
    if engine.dialect.is_async:
        event.listen(engine, "close", _closing)


def watch_opened(engine: Engine, record: Any, connection: Any, at: float) -> None:
    """Watch over a connection that was just opened, which must be ready for use by `at`."""
    dialect = engine.dialect
    driver = dialect.get_driver_connection(connection)
    watch = watch_over(driver, dialect.driver, is_async=dialect.is_async)
    if watch is not None and record is not None:
        record.info[_WATCH] = watch
        if at < inf:
            watch.set(at)


@contextmanager
def limited(record: Any, seconds: float) -> Generator[None]:
    """Bound what is done with a connection inside the block: by the deadline that holds, and by `seconds` from now."""
    watch: Watch | None = record.info.get(_WATCH)
    if watch is None:
        yield
        return
    at = time.monotonic() + seconds
    deadline = current()
    watch.set(at if deadline is None else min(at, deadline.at))
    try:
        yield
    finally:
        if deadline is None:
            watch.lay_down()
        else:
            deadline.hold(watch)


def hold(connection: Connection) -> None:
    """Hold a connection that is in use already to the deadline that holds here."""
    deadline = current()
    if deadline is not None:
        _hold(connection, deadline)


def _hold(connection: Connection, deadline: Any) -> None:
    watch = connection.info.get(_WATCH)
    if watch is not None:
        deadline.hold(watch)


def _established(connection: Any, record: Any) -> None:
    # the last of its listeners: what SQLAlchemy and the others ask a new connection has been answered
    watch = record.info.get(_WATCH)
    if watch is not None:
        watch.lay_down()


def _taken(connection: Any, record: Any, proxy: Any) -> None:
    watch: Watch | None = record.info.get(_WATCH)
    if watch is None:
        return
    if watch.is_cut:
        raise DisconnectionError("the connection was cut off at a deadline")
    deadline = current()
    if deadline is not None:
        deadline.hold(watch)


def _returned(connection: Any, record: Any) -> None:
    watch: Watch | None = record.info.get(_WATCH)
    if watch is not None and watch.holder is not None:
        watch.holder = None
        watch.lay_down()
        record.info.pop(_ENDING, None)


def _sending(connection: Connection, *_: Any) -> None:
    deadline = current()
    if deadline is not None:
        if not deadline.remaining:
            raise deadline.exceeded(BETWEEN)
        _hold(connection, deadline)


def _ending(connection: Connection, phase: str) -> None:
    deadline = current()
    if deadline is not None and not connection.invalidated:
        _hold(connection, deadline)
        connection.info[_ENDING] = phase


def _failed(context: ExceptionContext) -> DeadlineExceeded | None:
    _close_cursor(context)
    deadline = current()
    if deadline is None or deadline.remaining or not _is_cut_off(context):
        return None
    return deadline.exceeded(_phase(context))


def _close_cursor(context: ExceptionContext) -> None:
    cursor = getattr(context.execution_context, "cursor", None)
    if cursor is not None and context.connection is not None and context.is_disconnect:
        try:
            close_cursor(context.connection, cursor)
        except asyncio.CancelledError:
            # SQLAlchemy raises the one that it is handling, beside which another one tells nothing new
            if not isinstance(context.original_exception, asyncio.CancelledError):
                raise


def close_cursor(connection: Connection, cursor: Any) -> None:
    """Close the cursor of a connection that will be closed, where it matters: psycopg warns of a cursor of the server
    that nobody closed, and in SQLite it keeps the lock on the file, behind the close of the connection too.
    """
    if connection.dialect.driver in ("psycopg", "aiosqlite"):
        for _ in range(2):  # the first fails where the server has closed it already, and then nothing more is sent
            with suppress(connection.dialect.loaded_dbapi.Error):
                unbroken(connection, cursor.close)
                break


def _is_cut_off(context: ExceptionContext) -> bool:
    error = context.original_exception
    if context.connection is None:  # SQLAlchemy, asking a new connection, does not look whether it is lost
        return isinstance(error, context.dialect.loaded_dbapi.Error)
    return context.is_disconnect or getattr(error, "sqlite_errorcode", None) == _SQLITE_INTERRUPT


def _phase(context: ExceptionContext) -> str:
    if context.connection is None:
        return CONNECT
    if context.statement is not None or context.connection.invalidated:
        return STATEMENT
    phase: str = context.connection.info.get(_ENDING, STATEMENT)
    return phase


def _closing(connection: Any, record: Any) -> None:
    # drivers wait for the server when they close, and SQLAlchemy shields that from cancellation
    watch: Watch | None = record.info.get(_WATCH)
    if watch is not None and not watch.is_cut:
        at = time.monotonic() + CLOSE_TIMEOUT
        deadline = current()
        watch.set(at if deadline is None else min(at, deadline.at))
