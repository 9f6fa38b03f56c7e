"""Take a connection for one use and give it back, and lose none where the task that does so is cancelled.

SQLAlchemy sets the options of an engine when nobody has the connection yet, and sets them back when nobody has it any
more: a task that is cancelled in either moment would leave its place in the pool empty for ever. Most drivers need no
word to the server for it, but psycopg yields to the loop whenever that has been busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.characteristics import ConnectionCharacteristic

from hermetic._lift import finish
from hermetic.engine.residue import has_residue

WITHOUT_BEGIN = "hermetic_without_begin"
"""The execution option of a connection on which no transaction is begun, where that needs no word to the server."""

_LEVEL = "isolation_level"


class _Set(ConnectionCharacteristic):
    """A characteristic of connections: one that is set when the task is cancelled is given up, since which part of it
    is set is not known, and its place is given back.
    """

    transactional = True

    def __init__(self, kept: ConnectionCharacteristic) -> None:
        self._kept = kept

    def set_connection_characteristic(self, dialect: Any, conn: Connection, dbapi_conn: Any, value: Any) -> None:
        try:
            self._kept.set_connection_characteristic(dialect, conn, dbapi_conn, value)
        except Exception:
            raise
        except BaseException as error:
            try:
                conn.invalidate(error)
            finally:
                conn.close()
            raise

    def set_characteristic(self, dialect: Any, dbapi_conn: Any, value: Any) -> None:
        self._kept.set_characteristic(dialect, dbapi_conn, value)

    def reset_characteristic(self, dialect: Any, dbapi_conn: Any) -> None:
        self._kept.reset_characteristic(dialect, dbapi_conn)

    def get_characteristic(self, dialect: Any, dbapi_conn: Any) -> Any:
        return self._kept.get_characteristic(dialect, dbapi_conn)


def keep_places(engine: Engine) -> None:
    """Let no place in the pool be lost where an option of a connection is set."""
    dialect: Any = engine.dialect
    dialect.connection_characteristics = dialect.connection_characteristics.union(
        {name: _Set(each) for name, each in dialect.connection_characteristics.items() if each.transactional}
    )


def tell_cancellations(engine: Engine) -> None:
    """Let a task that is cancelled while it sends many rows hear of that.

    psycopg sends them in a pipeline, and where it is cancelled before that has begun, an assertion of its own takes the
    place of the cancellation; SQLAlchemy takes the connection for a good one then.
    """

    def executing(cursor: Any, sql: str, parameters: Any, context: Any) -> bool:
        try:
            cursor.executemany(sql, parameters)
        except AssertionError as error:
            if isinstance(error.__context__, asyncio.CancelledError):
                raise error.__context__ from None
            raise
        return True

    if engine.dialect.driver == "psycopg" and engine.dialect.is_async:
        event.listen(engine, "do_executemany", executing)


def autocommit_options(database: str) -> dict[str, Any]:
    """Return the execution options of an engine whose statements are no part of a transaction."""
    return {_LEVEL: "AUTOCOMMIT"} if database == "postgresql" else {WITHOUT_BEGIN: True}


def is_autocommit(connection: Connection) -> bool:
    """Return whether no transaction is begun on a connection."""
    options = connection.get_execution_options()
    return WITHOUT_BEGIN in options or options.get(_LEVEL) == "AUTOCOMMIT"


@contextmanager
def borrowed(engine: Engine) -> Generator[Connection]:
    """Yield a connection."""
    connection = engine.connect()
    try:
        yield connection
    finally:
        give_back(connection)


def give_back(connection: Connection) -> None:
    """Close a connection; a task that is cancelled meanwhile hears of it when it is closed."""
    # asyncpg has no word with the server about levels, and a task for nothing costs a tenth of a unit of work
    is_set_back = _LEVEL in connection.get_execution_options() and connection.dialect.driver != "asyncpg"
    if is_set_back or has_residue(connection):
        unbroken(connection, connection.close)
    else:
        connection.close()


def given_back_whole(connection: Connection) -> None:
    """Let a connection be given back in this way by whoever closes it: a session does when it commits."""

    def close() -> None:
        vars(connection).pop("close", None)  # which refers to itself
        give_back(connection)

    # on the object itself: SQLAlchemy has no public way to say which class its connections are of
    vars(connection)["close"] = close


def unbroken(connection: Connection, call: Callable[[], None]) -> None:
    """Call what must not be broken off; a task that is cancelled meanwhile hears of it then."""
    if connection.dialect.is_async and not connection.closed and not connection.invalidated:
        pooled: Any = connection.connection
        finish(pooled.dbapi_connection, call)
    else:
        call()
