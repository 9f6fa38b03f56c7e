"""Where several statements of one read see the same rows: a read-only transaction over one snapshot."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine

from hermetic.engine.mariadb import SNAPSHOT

_OPTIONS: dict[str, dict[str, Any]] = {
    "postgresql": {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True},
    "mariadb": {SNAPSHOT: True},
    "sqlite": {},  # whose every transaction is one snapshot
}


def with_snapshot(engine: Engine) -> Engine:
    """Return the engine whose transactions only read, and see the rows as they were at their first statement.

    Source: PostgreSQL manual, "Repeatable Read Isolation Level"; MariaDB documentation, "InnoDB Lock Modes" and
    "SET TRANSACTION"; SQLite, "Isolation In SQLite".
    """
    options = _OPTIONS.get(engine.dialect.name, {"isolation_level": "REPEATABLE READ"})
    return engine.execution_options(**options)
