"""Make MariaDB behave as the models say: nothing cut in silence, UTC, strict, a read in one round trip, transactions.

Source: MariaDB documentation, "Server System Variables", "SHOW WARNINGS" and "START TRANSACTION".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import OperationalError

from hermetic.engine.borrow import is_autocommit
from hermetic.engine.deadline import STATEMENT, current
from hermetic.engine.failures import explain_failure
from hermetic.engine.watch import HIDDEN, Watch
from hermetic.errors import TruncatedAggregate
from hermetic.shape import TABLES

OPTIONS: dict[str, Any] = {
    # a connection rests in autocommit, so that a read is one statement and not three; `_begun` begins what is one
    "isolation_level": "AUTOCOMMIT",
    "skip_autocommit_rollback": True,
    # whatever the URL says: any other character set loses characters of JSON documents
    "connect_args": {"autocommit": True, "charset": "utf8mb4"},
}
"""What `create_engine` is told for MariaDB."""

SNAPSHOT = "hermetic_snapshot"
"""The execution option of a connection whose transactions only read, all statements of each from one snapshot."""

_PRESET = (
    "SET SESSION group_concat_max_len = 1073741824, time_zone = '+00:00', "
    "sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES'), "
    # one more than there is: the warning it causes shows whether this driver tells of warnings
    "max_error_count = 65536"
)
_WATCH = "hermetic_watch"
_LEVEL = "hermetic_level"
_CUT = (1260, 1301, HIDDEN)  # ER_CUT_VALUE_GROUP_CONCAT, ER_WARN_ALLOWED_PACKET_OVERFLOWED, and any that is not known
_IN_TRANSACTION, _AUTOCOMMIT = 1, 2  # of the server's status flags, as in the MariaDB protocol's OK packet


def prepare_mariadb(engine: Engine) -> None:
    """Prepare each new connection in one round trip, begin transactions where they are said to begin, and refuse
    aggregates that the server cut.
    """
    # The one method of SQLAlchemy that is replaced, on this dialect object alone: it is asked before a ROLLBACK is sent
    # whether there is nothing to roll back, and its own answer looks at the autocommit setting, which here is always
    # on. No event comes before a ROLLBACK could be left out. The tests of round trips and of what a failed unit began
    # (tests/db/test_mariadb.py) fail when a release no longer asks.
    engine.dialect.detect_autocommit_setting = _is_idle  # type: ignore[method-assign]  # of this dialect object
    event.listen(engine, "connect", _connected)
    event.listen(engine, "begin", _begun)
    event.listen(engine, "engine_connect", lambda taken: _note_level(taken, taken.get_execution_options()))
    event.listen(engine, "set_connection_execution_options", _note_level)
    event.listen(engine, "checkin", _returned)
    event.listen(engine, "before_cursor_execute", _forget)
    event.listen(engine, "after_cursor_execute", _check)


def _is_idle(dbapi_conn: Any) -> bool:
    driver = getattr(dbapi_conn, "driver_connection", dbapi_conn)
    status: int = getattr(driver, "server_status", _IN_TRANSACTION)
    return bool(status & _AUTOCOMMIT) and not status & _IN_TRANSACTION


def _execute(connection: Any, sql: str) -> Sequence[Any]:
    """Send a statement on the driver's cursor: it is none of the application."""
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        rows: Sequence[Any] = cursor.fetchall() if cursor.description else ()
        return rows
    finally:
        cursor.close()


def _connected(connection: Any, record: Any) -> None:
    watch = Watch(record.driver_connection, is_async=record.driver_connection is not connection)
    record.info[_WATCH] = watch
    cursor = connection.cursor()
    cursor.execute(_PRESET)
    watch.calibrate(cursor)
    cursor.close()


def _begun(connection: Connection) -> None:
    if is_autocommit(connection):
        return
    if connection.get_execution_options().get(SNAPSHOT):
        # of the next transaction alone: SQLAlchemy's own way would set the session, and take six round trips more
        _send(connection, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    _send(connection, "START TRANSACTION")


def _send(connection: Connection, sql: str) -> None:
    """Send what begins a transaction; a failure is SQLAlchemy's error, and a connection that was lost, or whose answer
    was not awaited, is invalidated, which SQLAlchemy does for statements of its own.
    """
    dialect = connection.dialect
    try:
        _execute(connection.connection, sql)
    except dialect.loaded_dbapi.Error as error:
        is_lost = dialect.is_disconnect(error, connection.connection, None)
        if is_lost:
            connection.invalidate(error)
        deadline = current()
        if deadline is not None and not deadline.remaining:
            raise deadline.exceeded(STATEMENT) from error
        failure = explain_failure(error, dialect, sql, is_disconnect=is_lost)
        if failure is not None:
            raise failure.worded(is_async=dialect.is_async) from error
        raise OperationalError(sql, None, error, hide_parameters=True) from error
    except BaseException as error:
        connection.invalidate(error)
        raise


def _note_level(connection: Connection, options: Mapping[str, Any]) -> None:
    if options.get("isolation_level", "AUTOCOMMIT") != "AUTOCOMMIT":
        connection.info[_LEVEL] = connection.default_isolation_level


def _returned(connection: Any, record: Any) -> None:
    # SQLAlchemy resets to AUTOCOMMIT, and that leaves the level of the session's transactions as it was set
    level = record.info.pop(_LEVEL, None)
    if level is not None and connection is not None:
        _execute(connection, f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")


def _forget(connection: Connection, *_: Any) -> None:
    connection.info[_WATCH].forget()


def _check(connection: Connection, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
    """Refuse the rows of a shape read when the server cut a part of them and only warned."""
    if context is None or TABLES not in context.execution_options:
        return
    if context.execution_options.get("stream_results"):  # no aggregates, and the rows are still on their way
        return

    def ask(question: str) -> Sequence[Any]:
        return _execute(connection.connection, question)

    warnings: list[tuple[int, str]] = connection.info[_WATCH].warnings(cursor, ask)
    cut = next((text for code, text in warnings if code in _CUT), None)
    if cut is not None:
        longest, packet = ask("SELECT @@group_concat_max_len, @@max_allowed_packet")[0]
        raise TruncatedAggregate(cut, int(longest), int(packet))
