"""What a driver's error means, told by SQLSTATE or error number and never by its message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from sqlalchemy import Connection, Dialect, Engine, ExceptionContext, Table, event, inspect
from sqlalchemy.exc import DBAPIError

from hermetic.engine.constraints import broken, without_values
from hermetic.engine.kinds import error_number, is_stuck, kind_of, sqlstate
from hermetic.errors import (
    CannotConnect,
    ConstraintViolation,
    DatabaseFailure,
    HermeticError,
    LostConnection,
    MissingTable,
    ReadOnlyServer,
)
from hermetic.shape import TABLES, tables_of

_UNDEFINED_TABLE = "42P01"
_SQLITE_ERROR = 1
_SQLITE_CANTOPEN = 14
_CREDENTIALS = ("28P01", "28000")
_NO_DATABASE = "3D000"
_TOO_MANY = "53300"
# of MariaDB: access denied (also to one database or from this host), unknown database, too many connections (of a
# server or of a user), and of its clients: no server there
_MARIADB_CREDENTIALS = (1045, 1044, 1130, 1698)
_MARIADB_NO_DATABASE = (1049,)
_MARIADB_TOO_MANY = (1040, 1203, 1226)
_MARIADB_UNREACHABLE = (2002, 2003, 2005, 2013)
_MARIADB_NO_TABLE = (1146,)
_REACHABLE = "check host and port in the URL, and that the server runs and is reachable from here"
_PASSWORD = "check user and password in the URL; a password with @ : / must be percent-encoded"
_UNCODED = "or what the line above names: psycopg has no code for a full role or database, or a login that was cut"
_ASYNCPG_CLOSED = ("InterfaceError", "InternalClientError", "ConnectionDoesNotExistError")


def explain_connect(
    error: BaseException, url: str, dialect: Dialect, *, is_known: bool = False
) -> HermeticError | None:
    """Return the error to raise for a connection that could not be made, or None where `error` is something else.

    `is_known` tells that this login worked before: then a login that ends without a code was cut, and not refused.
    """
    state, number = sqlstate(error), error_number(error, dialect)
    if state in _CREDENTIALS or number in _MARIADB_CREDENTIALS:
        return CannotConnect(url, _first_line(error), _PASSWORD, is_passing=False)
    if not is_known and _password_was_tried(error):
        return CannotConnect(url, _first_line(error), f"{_PASSWORD}\n{_UNCODED}", is_passing=False)
    if state == _NO_DATABASE or number in _MARIADB_NO_DATABASE:
        return CannotConnect(
            url, _first_line(error), "create the database, or correct its name at the end of the URL", is_passing=False
        )
    if state == _TOO_MANY or number in _MARIADB_TOO_MANY:
        return CannotConnect(
            url,
            _first_line(error),
            "lower Pool.server(size=..., overflow=...): processes x (size + overflow) must stay below max_connections",
        )
    if getattr(error, "sqlite_errorcode", None) == _SQLITE_CANTOPEN:
        return CannotConnect(
            url,
            _first_line(error),
            "create the folder of the file, and make it writable for this process",
            is_passing=False,
        )
    if isinstance(error, OSError) or _is_unexplained(error, dialect) or number in _MARIADB_UNREACHABLE:
        return CannotConnect(url, _first_line(error), _REACHABLE)
    return None


def explain_preparation(error: BaseException, url: str, dialect: Dialect) -> HermeticError | None:
    """Return the error to raise for a connection that was lost before it could be used, or None for any other."""
    found = (error.orig if isinstance(error, DBAPIError) else None) or error
    kind = kind_of(found, dialect)
    is_lost = kind is not None and issubclass(kind[0], LostConnection)
    if is_lost or isinstance(error, OSError) or _is_closed(found, dialect):
        return CannotConnect(url, _first_line(found), _REACHABLE)
    return None


def _is_closed(error: BaseException, dialect: Dialect) -> bool:
    if dialect.driver == "asyncpg":  # its own class where SQLAlchemy prepares the connection, without a code
        return type(error).__name__ in _ASYNCPG_CLOSED
    return dialect.driver == "psycopg" and _is_unexplained(error, dialect)


def _is_unexplained(error: BaseException, dialect: Dialect) -> bool:
    is_operational = isinstance(error, dialect.loaded_dbapi.OperationalError)
    return is_operational and sqlstate(error) is None and error_number(error, dialect) is None


def _password_was_tried(error: BaseException) -> bool:
    # libpq gives no SQLSTATE for a refused login, but it knows whether the server asked for a password
    connection = getattr(error, "pgconn", None)
    return connection is not None and bool(
        getattr(connection, "used_password", False) or getattr(connection, "needs_password", False)
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def explain_failure(
    error: BaseException, dialect: Dialect, sql: str, *, target: Table | None = None, is_disconnect: bool = False
) -> DatabaseFailure | None:
    """Return the error to raise in place of a driver's, or None for what has no kind; row values are taken out of both.

    `target` is the table that the statement writes to, where it is known.
    """
    found = kind_of(error, dialect, is_disconnect=is_disconnect)
    if found is None:
        return None
    kind, state = found
    if not issubclass(kind, ConstraintViolation):
        return kind(state, sql)
    names = broken(error, kind, dialect.name, target)
    without_values(error, kind, dialect.name)
    return kind(state, sql, names.constraint, names.table, names.columns)


def install_explanations(engine: Engine) -> None:
    """Raise our own error, with its fix, in place of a driver's error that has one; all others pass through
    untouched.
    """

    def failed(context: ExceptionContext) -> HermeticError | None:
        found = explained(context)
        return found.worded(is_async=context.dialect.is_async) if found is not None else None

    def explained(context: ExceptionContext) -> HermeticError | None:
        # returned and not raised, so that whoever listens behind hears of it; SQLAlchemy raises it from the driver's
        error = context.original_exception
        if _is_left_stuck(context):
            context.is_disconnect = True
        if sqlstate(error) == _UNDEFINED_TABLE:
            return MissingTable(_first_line(error), _where(context))
        if error_number(error, context.dialect) in _MARIADB_NO_TABLE and not _is_reflection(context):
            return MissingTable(_first_line(error), _where(context))
        if getattr(error, "sqlite_errorcode", None) == _SQLITE_ERROR and context.connection is not None:
            # SQLite has one number for all mistakes in a statement, so its catalogue is asked
            missing = _missing_tables(context.connection, _tables(context))
            if missing:
                return MissingTable(", ".join(missing), _where(context))
        failure = explain_failure(
            error,
            context.dialect,
            context.statement or "",
            target=_target(context),
            is_disconnect=context.is_disconnect,
        )
        if isinstance(failure, ReadOnlyServer) and context.dialect.name != "sqlite":
            # a primary that was demoted: what is in the pool leads to it, and only a new connection asks the name
            # service again
            context.is_disconnect = True
        return failure

    event.listen(engine, "handle_error", failed)


def _is_left_stuck(context: ExceptionContext) -> bool:
    connection = context.connection
    if connection is None or connection.invalidated or connection.closed:
        return False
    is_of_driver = isinstance(context.original_exception, context.dialect.loaded_dbapi.Error)
    return is_of_driver and is_stuck(connection.connection.driver_connection)


def _is_reflection(context: ExceptionContext) -> bool:
    # SQLAlchemy asks MariaDB whether a table exists by this very error, in a statement that nothing compiled
    execution = context.execution_context
    return execution is None or (execution.compiled is None and TABLES not in execution.execution_options)


def _where(context: ExceptionContext) -> str:
    return context.dialect.name


def _target(context: ExceptionContext) -> Table | None:
    """Return the table that the failed statement writes to; None for a SELECT or a statement given as text."""
    compiled = context.execution_context.compiled if context.execution_context is not None else None
    table = getattr(compiled.statement, "table", None) if compiled is not None else None
    return table if isinstance(table, Table) else None


def _tables(context: ExceptionContext) -> Iterable[str]:
    execution = context.execution_context
    if execution is None:
        return ()
    planned = execution.execution_options.get(TABLES)
    if planned is not None:
        return cast("frozenset[str]", planned)
    statement = execution.compiled.statement if execution.compiled is not None else None
    return tables_of(statement) if statement is not None else ()


def _missing_tables(connection: Connection, tables: Iterable[str]) -> list[str]:
    catalogue = inspect(connection)
    names = [(table, *table.rpartition(".")[::2]) for table in sorted(tables)]
    return [table for table, schema, name in names if not catalogue.has_table(name, schema=schema or None)]
