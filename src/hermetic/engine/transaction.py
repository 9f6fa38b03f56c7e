"""Begin and commit the transaction of a unit of work, so that its outcome can be known whatever happens to the answer.

On PostgreSQL the token of the outcome travels with COMMIT, in one message. psycopg finds the transaction over then, and
the COMMIT of SQLAlchemy becomes nothing. asyncpg would send it all the same, so there hermetic begins and commits, and
SQLAlchemy is told that the connection commits by itself; so it is with psycopg where settings travel with BEGIN.
Elsewhere SQLAlchemy begins and commits, and the token is a statement of its own.

Source: PostgreSQL manual, "Multiple Statements in a Simple Query"; SQLAlchemy manual, "Understanding the DBAPI-Level
Autocommit Isolation Level".
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from sqlalchemy import Connection, Dialect, Engine, event
from sqlalchemy.exc import DBAPIError

from hermetic.engine.borrow import given_back_whole
from hermetic.engine.deadline import BETWEEN, COMMIT, ROLLBACK, STATEMENT, current
from hermetic.engine.enforce import hold
from hermetic.engine.failures import explain_failure
from hermetic.engine.kinds import is_stuck, sqlstate
from hermetic.engine.outcome import Origin, Outcomes, new_token
from hermetic.errors import LostConnection
from hermetic.guard import PENDING
from hermetic.shape import TABLES

T = TypeVar("T")

TERMS = "hermetic_terms"


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms the transactions of an engine are begun.

    Attributes:
        isolation: SQL name of the isolation level; None is the server's default.
        is_immediate: on SQLite, take the lock for writing at the beginning.
        settings: on PostgreSQL, statements that belong to the transaction and travel with BEGIN.
    """

    isolation: str | None = None
    is_immediate: bool = False
    settings: str = ""

    @property
    def begin(self) -> str:
        """Return the message that begins on these terms, on PostgreSQL."""
        begin = f"BEGIN ISOLATION LEVEL {self.isolation}" if self.isolation else "BEGIN"
        return f"{begin}; {self.settings}" if self.settings else begin


@dataclass(slots=True)
class Commit:
    """The commit of one transaction, as far as it got.

    Attributes:
        token: names the outcome; None where none is kept.
        writes: what the transaction may have changed: nothing, perhaps something, or surely something.
        is_sent: COMMIT may have reached the server.
        is_answered: the server has said that it is committed.
        tag: the server's word for what it did, where the driver tells; anything but COMMIT is a rollback.
        origin: the session, where the server knows it by a number.
    """

    is_owned: bool
    token: uuid.UUID | None = None
    writes: int = 0
    is_sent: bool = False
    is_answered: bool = False
    tag: str = "COMMIT"
    origin: Origin | None = None

    NOTHING: ClassVar[int] = 0
    PERHAPS: ClassVar[int] = 1
    SURELY: ClassVar[int] = 2

    def is_doubtful(self, failure: BaseException) -> bool:
        """Return whether, after `failure`, nobody here knows what became of the transaction; or, where the failure is
        a cancellation or a deadline, which say nothing of it, must be told.
        """
        if not self.is_sent:
            return False
        if isinstance(failure, TimeoutError) or not isinstance(failure, Exception):
            return True
        # on a connection that lives, the server has refused it
        return not self.is_answered and isinstance(failure, DBAPIError) and failure.connection_invalidated


def unit_options(dialect: Dialect, terms: Terms) -> dict[str, Any]:
    """Return the execution options of an engine whose transactions begin on `terms`."""
    if dialect.driver == "asyncpg" or terms.settings:
        return {TERMS: terms, "isolation_level": "AUTOCOMMIT"}
    return {TERMS: terms} if terms.isolation is None else {TERMS: terms, "isolation_level": terms.isolation}


def commit_of(connection: Connection) -> Commit | None:
    """Return the commit of the transaction that is open on a unit's connection."""
    return None if connection.invalidated or connection.closed else connection.info.get(PENDING)


def isolation_of(connection: Connection) -> str:
    """Return the isolation level of the transaction that is open on a unit's connection."""
    options = connection.get_execution_options()
    terms = options.get(TERMS)
    level = options.get("isolation_level")
    if level in (None, "AUTOCOMMIT") and terms is not None:
        level = terms.isolation
    return str(level or connection.default_isolation_level)


def prepare_transactions(engine: Engine, outcomes: Outcomes) -> None:
    """Install what begins, watches and commits the transactions of engines with the options of `unit_options`."""
    send = _SENDS.get((engine.dialect.driver, engine.dialect.is_async), _through_cursor)
    is_postgresql = engine.dialect.name == "postgresql"

    def begun(connection: Connection) -> None:
        options = connection.get_execution_options()
        terms: Terms | None = options.get(TERMS)
        if terms is None:
            return
        if engine.dialect.is_async:
            given_back_whole(connection)
        # a user may ask for another isolation level at the first statement; then SQLAlchemy begins
        is_owned = is_postgresql and options.get("isolation_level") == "AUTOCOMMIT"
        connection.info[PENDING] = Commit(is_owned, origin=_origin(connection))
        if is_owned:
            _sent(connection, send, terms.begin)

    def executed(connection: Connection, cursor: Any, sql: str, parameters: Any, context: Any, many: bool) -> None:
        commit = connection.info.get(PENDING)
        if commit is not None and commit.writes != Commit.SURELY:
            commit.writes = max(commit.writes, _writes(context))

    def committing(connection: Connection) -> None:
        commit = commit_of(connection)
        if commit is None:
            return
        try:
            record = recorded(connection, commit)
            if commit.is_owned or (record and engine.dialect.driver == "psycopg"):
                _commit(connection, send, commit, f"{record}; COMMIT" if record else "COMMIT")
                return
            if record:
                pooled = connection.connection
                _told(connection, record, COMMIT, lambda: send(pooled, record))
            commit.is_sent = True
        except DBAPIError as error:
            outcomes.forget()  # the table may be gone
            _undo(connection, send)  # SQLAlchemy takes the transaction for over
            if sqlstate(error.orig) != _FAILED_TRANSACTION:
                raise
            commit.tag = "ROLLBACK"  # behind SQLAlchemy something failed; whoever ends the unit says so

    def recorded(connection: Connection, commit: Commit) -> str:
        """Return the statement that records the outcome; empty where none is kept."""
        is_sure = commit.writes == Commit.SURELY
        if not is_sure and not (is_postgresql and commit.writes):
            return ""  # elsewhere the server is not asked whether a SELECT has written
        if _only_reads(connection.connection.driver_connection):
            return ""  # nothing can have been written, and the record could not be either
        place = _told(connection, "", COMMIT, lambda: outcomes.place(connection))
        if place is None:
            return ""
        commit.token = new_token()
        return outcomes.record(place, commit.token, is_sure=is_sure)

    def rolled_back(connection: Connection) -> None:
        commit = commit_of(connection)
        if commit is not None and commit.is_owned:
            _undo(connection, send)

    def returned(connection: Any, record: Any, state: Any) -> None:
        if record is not None:
            record.info.pop(PENDING, None)
        # SQLAlchemy takes a transaction for over once COMMIT was tried, and on asyncpg its own rollback does nothing
        driver: Any = getattr(connection, "driver_connection", connection)
        if state.asyncio_safe and driver is not None and not _is_closed(driver) and _is_open(driver):
            if hasattr(driver, "is_in_transaction"):
                connection.run_async(lambda owner: owner.execute("ROLLBACK"))
            else:
                connection.rollback()

    event.listen(engine, "begin", begun)
    event.listen(engine, "before_cursor_execute", executed)
    event.listen(engine, "commit", committing)
    event.listen(engine, "rollback", rolled_back)
    event.listen(engine, "reset", returned)


_READING = ("in_hot_standby", "default_transaction_read_only")


def _only_reads(driver: Any) -> bool:
    """Return whether a server of PostgreSQL has told that it only reads; it tells of each change by itself."""
    if hasattr(driver, "get_settings"):
        settings = driver.get_settings()
        return any(getattr(settings, name, "") == "on" for name in _READING)
    told = getattr(getattr(driver, "info", None), "parameter_status", None)
    return told is not None and any(told(name) == "on" for name in _READING)


_SAVEPOINTS = ("savepoint", "rollback_to_savepoint", "release_savepoint")


def _writes(context: Any) -> int:
    """Return what a statement may change."""
    if TABLES in context.execution_options:
        return Commit.NOTHING  # a read of ours
    compiled = context.compiled
    if compiled is not None and getattr(compiled.statement, "is_select", False):
        return Commit.PERHAPS  # by a function that it calls
    if compiled is not None and getattr(compiled.statement, "__visit_name__", "") in _SAVEPOINTS:
        return Commit.NOTHING
    return Commit.SURELY


def _commit(connection: Connection, send: Send, commit: Commit, sql: str) -> None:
    commit.is_sent = True
    commit.tag = _sent(connection, send, sql)
    commit.is_answered = True


def _undo(connection: Connection, send: Send) -> None:
    if connection.invalidated or connection.closed:
        return
    driver = connection.connection.driver_connection
    if connection.dialect.name != "postgresql" or _is_open(driver):
        _sent(connection, send, "ROLLBACK")


def _is_open(driver: Any) -> bool:
    """Return whether a transaction is open on the server, as far as the driver knows: those of PostgreSQL."""
    asked = getattr(driver, "is_in_transaction", None)
    if asked is not None:
        return bool(asked())
    status = getattr(getattr(driver, "info", None), "transaction_status", _IDLE)
    return bool(status != _IDLE)


_IDLE = 0  # libpq's PQTRANS_IDLE
_FAILED_TRANSACTION = "25P02"


def _sent(connection: Connection, send: Send, sql: str) -> str:
    """Send a message on the driver and return the server's last word; what fails is told as everywhere."""
    pooled = connection.connection
    phase = ROLLBACK if sql == "ROLLBACK" else COMMIT if sql.endswith("COMMIT") else STATEMENT
    return _told(connection, sql, phase, lambda: send(pooled, sql))


def _told(connection: Connection, sql: str, phase: str, call: Callable[[], T]) -> T:
    pooled = connection.connection
    deadline = current()
    if deadline is not None:
        if phase is STATEMENT and not deadline.remaining:
            raise deadline.exceeded(BETWEEN)
        hold(connection)
    try:
        return call()
    except Exception as error:
        if _is_closed(pooled.driver_connection) or is_stuck(pooled.driver_connection):
            connection.invalidate(error)
        failure = explain_failure(error, connection.dialect, "", is_disconnect=connection.invalidated)
        if failure is None and not isinstance(error, connection.dialect.loaded_dbapi.Error) and not _is_asyncpg(error):
            raise
        if failure is None and connection.invalidated:
            failure = LostConnection(type(error).__name__, "")
        if isinstance(failure, LostConnection) and not connection.invalidated:
            connection.invalidate(error)
        if deadline is not None and connection.invalidated and not deadline.remaining:
            raise deadline.exceeded(phase) from error
        if failure is None:
            verb = sql.rpartition("; ")[2]
            raise DBAPIError(verb, None, error, True, connection.invalidated) from error
        raise failure from error
    except BaseException as error:
        connection.invalidate(error)  # cancelled: what the connection would answer next is not known
        raise


def _is_closed(driver: Any) -> bool:
    asked = getattr(driver, "is_closed", None)
    if asked is not None:
        return bool(asked())
    if hasattr(driver, "closed"):
        return bool(driver.closed)
    return getattr(driver, "open", True) is False


def _is_asyncpg(error: BaseException) -> bool:
    return hasattr(error, "sqlstate") or type(error).__module__.startswith("asyncpg.")


def _origin(connection: Connection) -> Origin | None:
    driver: Any = connection.connection.driver_connection
    name = connection.dialect.driver
    if name == "psycopg":
        return Origin(driver.info.backend_pid, time.monotonic())
    if name == "asyncpg":
        return Origin(driver.get_server_pid(), time.monotonic())
    if connection.dialect.name == "mariadb":
        return Origin(int(driver.thread_id()), time.monotonic())
    return None


Send = Callable[[Any, str], str]
"""Sends a message on a pooled connection and returns the server's word for the last thing it did."""


def _psycopg(pooled: Any, sql: str) -> str:
    cursor = pooled.driver_connection.execute(sql, prepare=False)  # each is sent once or tells nothing to plan
    while cursor.nextset():
        pass
    return str(cursor.statusmessage)


def _psycopg_async(pooled: Any, sql: str) -> str:
    cursor = pooled.dbapi_connection.run_async(lambda driver: driver.execute(sql, prepare=False))
    while cursor.nextset():
        pass
    return str(cursor.statusmessage)


def _asyncpg(pooled: Any, sql: str) -> str:
    return str(pooled.dbapi_connection.run_async(lambda driver: driver.execute(sql)))


def _through_cursor(pooled: Any, sql: str) -> str:
    cursor = pooled.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()
    return "COMMIT"


_SENDS: dict[tuple[str, bool], Send] = {
    ("psycopg", False): _psycopg,
    ("psycopg", True): _psycopg_async,
    ("asyncpg", True): _asyncpg,
}
