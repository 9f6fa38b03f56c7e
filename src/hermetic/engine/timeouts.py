"""What the server itself ends: statements that run, waits for locks, transactions whose client does nothing.

Given to each session when it is made, which costs no transaction anything. Behind a pooler a session is not ours, so
there they travel with BEGIN, in one message.

Source: PostgreSQL manual, "Client Connection Defaults"; MariaDB documentation, "max_statement_time",
"innodb_lock_wait_timeout", "lock_wait_timeout" and "idle_transaction_timeout"; SQLite, "PRAGMA busy_timeout".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from sqlalchemy import Engine, event

_MOST = 2_147_483
"""The longest time that PostgreSQL can be told, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long the server lets the sessions of a database wait; each in seconds, more than 0, and None is the server's
    own setting.

    Attributes:
        statement: a statement may run; then it is `StatementTimeout`.
        lock: a statement may wait for a lock; then it is `LockTimeout`.
        idle: an open transaction may wait for its client; then the server ends it, and the next statement is
            `TransactionTimeout` or `LostConnection`.

    Databases: MariaDB counts `lock` and `idle` in whole seconds and bounds only the statements that read by
        `statement`; SQLite has `lock` alone.
    """

    statement: float | None = None
    lock: float | None = None
    idle: float | None = None

    def __post_init__(self) -> None:
        for name in ("statement", "lock", "idle"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds <= _MOST:
                raise ValueError(f"Timeouts {name}={seconds} must be more than 0 and at most {_MOST} s, or None")

    def over(self, other: Timeouts) -> Timeouts:
        """Return these, and the other's where there are none."""
        return Timeouts(
            statement=self.statement or other.statement, lock=self.lock or other.lock, idle=self.idle or other.idle
        )

    def with_begin(self) -> str:
        """Return what sets them for one transaction of PostgreSQL; empty where there are none."""
        return "; ".join(f"SET LOCAL {name} = {value}" for name, value in self._of_postgresql())

    def for_session(self, database: str) -> str:
        """Return the one statement that sets them for a session; empty where there are none."""
        if database == "postgresql":
            settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in self._of_postgresql())
            return f"SELECT {settings}" if settings else ""
        if database == "mariadb":
            settings = ", ".join(f"{name} = {value}" for name, value in self._of_mariadb())
            return f"SET SESSION {settings}" if settings else ""
        if database == "sqlite" and self.lock is not None:
            return f"PRAGMA busy_timeout = {ceil(self.lock * 1000)}"
        return ""

    def _of_postgresql(self) -> list[tuple[str, int]]:
        settings = (
            ("statement_timeout", self.statement),
            ("lock_timeout", self.lock),
            ("idle_in_transaction_session_timeout", self.idle),
        )
        return [(name, ceil(seconds * 1000)) for name, seconds in settings if seconds is not None]

    def _of_mariadb(self) -> list[tuple[str, float]]:
        settings: list[tuple[str, float | None]] = [
            ("max_statement_time", self.statement),
            # 0 would not wait at all
            ("innodb_lock_wait_timeout", None if self.lock is None else ceil(self.lock)),
            ("lock_wait_timeout", None if self.lock is None else ceil(self.lock)),
            ("idle_transaction_timeout", None if self.idle is None else ceil(self.idle)),
        ]
        return [(name, seconds) for name, seconds in settings if seconds is not None]


def set_timeouts(engine: Engine, timeouts: Timeouts) -> None:
    """Set them for each session when it is made. Statements: 1 for each connection, none where there are none."""
    statement = timeouts.for_session(engine.dialect.name)
    if not statement:
        return

    def connected(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()
        connection.commit()

    event.listen(engine, "connect", connected)
