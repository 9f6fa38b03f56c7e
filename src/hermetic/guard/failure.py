"""A database error that was caught inside a unit of work, and not by leaving a savepoint, ends the unit.

PostgreSQL has aborted the transaction by then and answers COMMIT with a rollback, which no driver reports; elsewhere
the transaction would go on, incomplete. Here it is one rule for all.

Source: PostgreSQL manual, "COMMIT" and "SAVEPOINT"; SQLAlchemy manual, "DialectEvents.handle_error".
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import SessionTransaction

from hermetic.errors import LostConnection, TransactionConflict
from hermetic.guard.session import GuardedSession

FINAL = (TransactionConflict, LostConnection)
"""What ends the whole transaction: no savepoint undoes it. MariaDB has rolled back all of it after a deadlock, and runs
what follows in autocommit.
"""

PENDING = "hermetic_commit"
"""Under which name the `info` of a connection has the commit of its open transaction."""

_OWNER = "hermetic_unit"
_MARIADB_NO_TABLE = 1146
_IN_ERROR = 3  # libpq's PQTRANS_INERROR


def watch_failures(engine: Engine) -> None:
    """Tell each unit of work of the statements that fail on its connection; installed behind what explains errors."""
    event.listen(engine, "handle_error", _failed)


def _failed(context: ExceptionContext) -> None:
    connection = context.connection
    session = connection.get_execution_options().get(_OWNER) if connection is not None else None
    if isinstance(session, GuardedSession) and _was_sent(context):
        session.note(_explained(context) or context.sqlalchemy_exception or context.original_exception)


def _explained(context: ExceptionContext) -> BaseException | None:
    # the attribute is there only once somebody in front has returned an error
    return getattr(context, "chained_exception", None)


def _was_sent(context: ExceptionContext) -> bool:
    error = context.original_exception
    if not isinstance(error, Exception):
        return True  # cancelled or interrupted in the middle
    if _explained(context) is None and error.args[:1] == (_MARIADB_NO_TABLE,):
        return False  # SQLAlchemy's own question whether a table exists
    return isinstance(error, context.dialect.loaded_dbapi.Error)


@event.listens_for(GuardedSession, "after_begin")
def _claim(session: GuardedSession, transaction: SessionTransaction, connection: Connection) -> None:
    if not transaction.nested:
        connection.execution_options(**{_OWNER: session})
        session.claimed = connection
        session.pending = connection.info.get(PENDING)


@event.listens_for(GuardedSession, "after_transaction_end")
def _forgive(session: GuardedSession, transaction: SessionTransaction) -> None:
    # with a failure inside, a savepoint can only have been rolled back: its release is refused
    failure = session.failure
    if failure is not None and failure.savepoint is transaction and not isinstance(failure.error, FINAL):
        session.failure = None


@contextmanager
def first_told(session: GuardedSession) -> Generator[None]:
    """Let the error that ended a whole transaction leave, and not the one that its savepoint is gone."""
    try:
        yield
    except DBAPIError as error:
        first = session.failure.error if session.failure is not None else error
        if first is error or not isinstance(first, FINAL):
            raise
        raise first from first.__cause__  # the driver's error stays the cause


def is_aborted(connection: Connection) -> bool:
    """Return whether the server would answer COMMIT with a rollback, where the driver tells: psycopg."""
    if connection.invalidated:
        return False  # there is nothing to commit, and SQLAlchemy says so
    driver: Any = connection.connection.driver_connection
    return getattr(getattr(driver, "info", None), "transaction_status", None) == _IN_ERROR
