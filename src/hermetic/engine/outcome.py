"""What became of a commit whose answer was lost: the row of a token, written by the transaction itself, tells.

The token stands in the table exactly if the transaction was committed. Whoever asks writes the token himself, as
aborted: where the transaction is still on its way, one of the two rows comes first and the unique key refuses the
other, so the answer cannot change afterwards. Nothing that only the server remembers, such as the status of a
transaction number, is used: after a crash it was measured to call lost transactions committed.

Source: PostgreSQL manual, "INSERT ... ON CONFLICT" and "Server Signaling Functions"; MariaDB documentation, "INSERT
IGNORE" and "KILL".
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Boolean, Column, Connection, DateTime, Engine, MetaData, Table, Uuid, func, text

from hermetic.errors import LockTimeout

TABLE = "hermetic_outcome"

_FIND_POSTGRESQL = """
SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass('hermetic_outcome') AND has_table_privilege(c.oid, 'INSERT, SELECT')
"""
_FIND_MARIADB = """
SELECT concat('`', replace(table_schema, '`', '``'), '`.`', table_name, '`')
FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'hermetic_outcome'
"""
_FIND_SQLITE = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'hermetic_outcome'"
_FIND = {"postgresql": _FIND_POSTGRESQL, "mariadb": _FIND_MARIADB, "sqlite": _FIND_SQLITE}

# a session of this role that is as old as the transaction, so that it is no later one with the same number; or whose
# last statement has the token in it
_END_POSTGRESQL = """
SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
WHERE pid = :number AND usename = current_user AND datname = current_database() AND state <> 'idle'
AND backend_start <= clock_timestamp() - make_interval(secs => :age)
"""
_END_HOLDER = """
SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
WHERE pid <> pg_backend_pid() AND usename = current_user AND position(:token IN query) > 0
"""
# its numbers begin anew when the server does
_FIND_SESSION = """
SELECT id FROM information_schema.processlist
WHERE id = :number AND user = substring_index(current_user(), '@', 1)
AND (SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'UPTIME') >= :age
"""
_WAIT = {
    "postgresql": "SET LOCAL lock_timeout = '1s'",
    "mariadb": "SET STATEMENT innodb_lock_wait_timeout = 1 FOR ",
}


@dataclass(frozen=True, slots=True)
class Origin:
    """The session of a transaction, as the server knows it: its number, and the monotonic instant of the begin."""

    number: int
    begun: float


@dataclass(frozen=True, slots=True)
class Committed:
    """The transaction is committed."""


@dataclass(frozen=True, slots=True)
class Aborted:
    """The transaction is rolled back, and can never be committed any more."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """The server could not be asked in time; `Database.outcome(token)` asks again. Empty where no token was kept."""

    token: str


CommitOutcome: TypeAlias = Committed | Aborted | Unknown
"""What became of a commit."""


def outcome_table(metadata: MetaData) -> Table:
    """Return the table of the outcomes, added to `metadata`, for migrations that are made from it.

    Shape: one row for each unit of work that wrote: the token, whether it was committed, and when.
    """
    if TABLE in metadata.tables:
        return metadata.tables[TABLE]
    return Table(
        TABLE,
        metadata,
        Column("token", Uuid(as_uuid=True), primary_key=True),
        Column("is_committed", Boolean(create_constraint=False), nullable=False),
        Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    )


def new_token() -> uuid.UUID:
    """Return a token that no other transaction has; later ones sort behind, so that the index grows at its end.

    Source: RFC 9562, "UUID Version 7".
    """
    milliseconds = time.time_ns() // 1_000_000
    low = secrets.randbits(74)
    return uuid.UUID(int=milliseconds << 80 | 7 << 76 | (low >> 62) << 64 | 2 << 62 | low & (1 << 62) - 1)


class Outcomes:
    """The table of the outcomes of one database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._database = engine.dialect.name
        self._place: str | None = None
        self._is_searched = False

    def forget(self) -> None:
        """Look for the table again."""
        self._is_searched = False

    def create(self) -> None:
        """Create the table where it does not exist."""
        outcome_table(MetaData()).create(self._engine, checkfirst=True)
        self.forget()

    def place(self, connection: Connection) -> str | None:
        """Return the table as SQL names it, or None where there is none or this role may not write to it.

        Statements: 1 SELECT, once for each database.
        """
        return self._searched(lambda sql: _answer(connection, sql))

    def _found(self, connection: Connection) -> str | None:
        """Return the same, asked through SQLAlchemy, which gives a lost connection its kind."""
        return self._searched(lambda sql: connection.exec_driver_sql(sql).scalar())

    def _searched(self, ask: Callable[[str], str | None]) -> str | None:
        if not self._is_searched:
            self._place = ask(_FIND[self._database])
            self._is_searched = True
        return self._place

    def record(self, place: str, token: uuid.UUID, *, is_sure: bool) -> str:
        """Return the statement that a transaction writes its token with; it has no values but the token.

        Where it is not sure that the transaction has written, the server is asked in the same statement: a
        transaction that only read stays one.
        """
        insert = f"INSERT INTO {place} (token, is_committed)"
        if is_sure or self._database != "postgresql":
            return f"{insert} VALUES ({self._literal(token)}, {self._true})"
        return f"{insert} SELECT '{token}', true WHERE pg_current_xact_id_if_assigned() IS NOT NULL"

    def end_session(self, origin: Origin) -> None:
        """End the session of a transaction whose client is gone, so that it holds no locks and commits nothing.

        Where the network forgot a connection, the server does not know for hours that nobody is at its other end.

        Raises:
            DBAPIError: the server cannot be reached now.
        Statements: 1 SELECT; on MariaDB 1 KILL more.
        """
        values = {"number": origin.number, "age": time.monotonic() - origin.begun}
        with self._engine.connect() as connection:
            if self._database == "postgresql":
                connection.execute(text(_END_POSTGRESQL), values)
            elif self._database == "mariadb" and connection.scalar(text(_FIND_SESSION), values) is not None:
                connection.exec_driver_sql(f"KILL {origin.number:d}")
            connection.commit()

    def ask(self, token: uuid.UUID) -> CommitOutcome:
        """Return what became of the transaction with this token.

        Raises:
            LockTimeout: the transaction is still under way, and cannot be ended from here.
            DBAPIError: the server cannot be reached now.
        Statements: 1 INSERT and 1 SELECT in a transaction; on PostgreSQL, where a session holds the token, its end
            and the same again.
        """
        with self._engine.connect() as connection:
            place = self._found(connection)
            if place is None:
                return Unknown("")
            connection.rollback()
            try:
                return self._asked(connection, place, token)
            except LockTimeout:
                if self._database != "postgresql":
                    raise
                connection.rollback()
                connection.execute(text(_END_HOLDER), {"token": str(token)})
                connection.commit()
                return self._asked(connection, place, token)

    def prune(self, seconds: float) -> int:
        """Delete the outcomes that are older than `seconds` and return how many there were."""
        with self._engine.begin() as connection:
            place = self._found(connection)
            if place is None:
                return 0
            age = {
                "postgresql": "now() - make_interval(secs => :seconds)",
                "mariadb": "current_timestamp - INTERVAL :seconds SECOND",
                "sqlite": "datetime('now', (0 - :seconds) || ' seconds')",
            }[self._database]
            return connection.execute(text(f"DELETE FROM {place} WHERE at < {age}"), {"seconds": seconds}).rowcount

    def _asked(self, connection: Connection, place: str, token: uuid.UUID) -> CommitOutcome:
        value, false = self._literal(token), "false" if self._database == "postgresql" else "0"
        values = f"{place} (token, is_committed) VALUES ({value}, {false})"
        if self._database == "postgresql":
            connection.exec_driver_sql(_WAIT["postgresql"])
            connection.exec_driver_sql(f"INSERT INTO {values} ON CONFLICT (token) DO NOTHING")
        elif self._database == "mariadb":
            connection.exec_driver_sql(f"{_WAIT['mariadb']}INSERT IGNORE INTO {values}")
        else:
            connection.exec_driver_sql(f"INSERT OR IGNORE INTO {values}")
        # locking, so that it is the newest in every isolation
        lock = "" if self._database == "sqlite" else " FOR UPDATE"
        found = connection.exec_driver_sql(f"SELECT is_committed FROM {place} WHERE token = {value}{lock}").scalar()
        connection.commit()
        return Committed() if found else Aborted()

    def _literal(self, token: uuid.UUID) -> str:
        # SQLAlchemy's Uuid: 32 digits in a CHAR where the database has no type for it; MariaDB has one from 10.7
        return f"'{token.hex}'" if self._database == "sqlite" else f"'{token}'"

    @property
    def _true(self) -> str:
        return "true" if self._database == "postgresql" else "1"


def _answer(connection: Connection, sql: str) -> str | None:
    """Return the first value that a question finds, asked on the driver's cursor: it is none of the application."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        row: Any = cursor.fetchone()
    finally:
        cursor.close()
    return row[0] if row else None
