"""Which kind of failure a driver's error is: by SQLSTATE or number, in tables, and never by its message.

Source: PostgreSQL manual, "PostgreSQL Error Codes"; MariaDB documentation, "MariaDB Error Codes"; SQLite, "Result and
Error Codes".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Dialect

from hermetic.errors import (
    CheckViolation,
    DatabaseFailure,
    Deadlock,
    DiskFull,
    ExclusionViolation,
    ForeignKeyViolation,
    LockTimeout,
    LostConnection,
    NotNullViolation,
    ReadOnlyServer,
    SerializationFailure,
    StalePlan,
    StatementTimeout,
    TransactionTimeout,
    UniqueViolation,
)

Kind = type[DatabaseFailure]

POSTGRESQL: Mapping[str, Kind] = {
    "23505": UniqueViolation,
    "23503": ForeignKeyViolation,
    "23001": ForeignKeyViolation,  # restrict
    "23514": CheckViolation,
    "23502": NotNullViolation,
    "23P01": ExclusionViolation,
    "40001": SerializationFailure,
    "40P01": Deadlock,
    "55P03": LockTimeout,
    "57014": StatementTimeout,
    "25P03": TransactionTimeout,
    "25P04": TransactionTimeout,
    "57P05": TransactionTimeout,
    "57P01": LostConnection,  # the administrator, or a shutdown
    "57P02": LostConnection,  # a crash of another session
    "57P03": LostConnection,  # starting up or shutting down
    "08000": LostConnection,
    "08003": LostConnection,
    "08006": LostConnection,
    "08P01": LostConnection,  # of a connection pooler
    "25006": ReadOnlyServer,
    "53100": DiskFull,
}

MARIADB: Mapping[int, Kind] = {
    1062: UniqueViolation,
    1586: UniqueViolation,
    1169: UniqueViolation,
    1216: ForeignKeyViolation,
    1217: ForeignKeyViolation,
    1451: ForeignKeyViolation,
    1452: ForeignKeyViolation,
    4025: CheckViolation,
    1048: NotNullViolation,
    1364: NotNullViolation,
    1020: SerializationFailure,
    1213: Deadlock,
    1205: LockTimeout,
    1969: StatementTimeout,
    1317: StatementTimeout,
    1053: LostConnection,  # a shutdown
    1927: LostConnection,  # KILL
    2006: LostConnection,
    2013: LostConnection,
    2055: LostConnection,
    4031: LostConnection,  # wait_timeout
    1290: ReadOnlyServer,
    1792: ReadOnlyServer,
    1836: ReadOnlyServer,
    1021: DiskFull,
    1114: DiskFull,
}

SQLITE: Mapping[int, Kind] = {
    2067: UniqueViolation,
    1555: UniqueViolation,  # of the primary key
    2579: UniqueViolation,  # of the rowid
    787: ForeignKeyViolation,
    275: CheckViolation,
    1299: NotNullViolation,
    517: SerializationFailure,  # BUSY_SNAPSHOT: somebody wrote since this transaction read
    5: LockTimeout,
    261: LockTimeout,
    773: LockTimeout,
    6: LockTimeout,
    262: LockTimeout,
    9: StatementTimeout,  # interrupted
    8: ReadOnlyServer,
    13: DiskFull,
}

_ACTIVE = 1  # libpq's PQTRANS_ACTIVE
_NOT_SUPPORTED = "0A000"
_REVALIDATED = "RevalidateCachedQuery"  # the function of the server that says so, in every language
_INTERNAL = "XX000"
_LOOKUPS = "lsyscache.c"  # the file of the server that looks up types, e.g. of a prepared value whose enum was replaced
_FAILED_TRANSACTION = "25P02"
_ASYNCPG_STALE = ("InvalidCachedStatementError", "OutdatedSchemaCacheError")


def sqlstate(error: BaseException | None) -> str | None:
    """Return the SQLSTATE of a driver's error, whichever driver; None where it has none."""
    found = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return found if isinstance(found, str) else None


def error_number(error: BaseException | None, dialect: Dialect) -> int | None:
    """Return the number of an error of MariaDB or of its client, whichever driver; None where it has none."""
    number = error.args[0] if dialect.name in ("mariadb", "mysql") and error is not None and error.args else None
    return number if isinstance(number, int) else None


def is_stuck(driver: Any) -> bool:
    """Return whether a connection of psycopg is in the middle of a command; behind an error that means it is lost.

    Where poll(2) tells of a closed socket before libpq has read from it, psycopg raises an error without a code and
    does not know either that the connection is gone: it is not `closed`, and refuses all that follows.
    """
    return getattr(getattr(driver, "info", None), "transaction_status", None) == _ACTIVE


def kind_of(error: BaseException, dialect: Dialect, *, is_disconnect: bool = False) -> tuple[Kind, str] | None:
    """Return the kind of a driver's error and its SQLSTATE or number as text; None for what has no kind.

    `is_disconnect` is what SQLAlchemy knows: where a driver gives no code, it asks the connection.
    """
    found = _coded(error, dialect)
    if found is not None:
        return found
    if is_disconnect and isinstance(error, dialect.loaded_dbapi.Error):
        return LostConnection, sqlstate(error) or type(error).__name__
    return None


def _coded(error: BaseException, dialect: Dialect) -> tuple[Kind, str] | None:
    kind: Kind | None
    if dialect.name == "sqlite":
        number: Any = getattr(error, "sqlite_errorcode", None)
        kind = SQLITE.get(number) or (SQLITE.get(number & 0xFF) if isinstance(number, int) else None)
        return (kind, getattr(error, "sqlite_errorname", None) or str(number)) if kind else None
    number = error_number(error, dialect)
    if number is not None:
        kind = MARIADB.get(number)
        return (kind, str(number)) if kind else None
    state = sqlstate(error)
    if _is_stale(error, state):
        return StalePlan, state or _NOT_SUPPORTED
    kind = POSTGRESQL.get(state or "")
    return (kind, state or "") if kind else None


def _is_stale(error: BaseException, state: str | None) -> bool:
    diagnosed: Any = getattr(error, "diag", None) or error.__cause__
    if state == _NOT_SUPPORTED:
        function = getattr(diagnosed, "source_function", None) or getattr(diagnosed, "server_source_function", None)
        return function == _REVALIDATED
    if state == _INTERNAL:
        file = getattr(diagnosed, "source_file", None) or getattr(diagnosed, "server_source_filename", None)
        return file == _LOOKUPS
    # asyncpg tells of it with a class of its own and without SQLSTATE
    return type(error).__name__ in _ASYNCPG_STALE or type(error.__cause__).__name__ in _ASYNCPG_STALE
