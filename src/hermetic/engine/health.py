"""How a database is: whether its server answers, how fast, whether it takes writes, and how full the pool is."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from hermetic.engine.deadline import Deadline

_QUESTIONS = {
    "postgresql": "SELECT current_setting('server_version'), "
    "pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'",
    "mariadb": "SELECT version(), @@read_only",
    "sqlite": "SELECT sqlite_version(), 0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The answer of one look at a database.

    Attributes:
        is_up: the server answered in time.
        is_writable: it takes writes: it is no replica, and was not demoted; None where it did not answer.
        latency_ms: milliseconds of the question, with the wait for a connection; None where it did not answer.
        server_version: as the server writes it; empty where it did not answer.
        connections_out: connections of the pool that are in use, this question's not counted.
        error: the kind of error in place of an answer, e.g. `CannotConnect`; empty where there was none.
    """

    is_up: bool
    is_writable: bool | None
    latency_ms: float | None
    server_version: str
    connections_out: int
    error: str


def health_of(engine: Engine, seconds: float) -> Health:
    """Ask the server, for at most `seconds`; a server that does not answer is an answer too.

    Statements: 1 SELECT.
    """
    pool: Any = engine.pool
    out = pool.checkedout() if hasattr(pool, "checkedout") else 0
    begun = time.monotonic()
    try:
        with Deadline("health()", seconds), engine.connect() as connection:
            version, is_read_only = connection.exec_driver_sql(_QUESTIONS[engine.dialect.name]).one()
    except (SQLAlchemyError, OSError) as error:
        return Health(
            is_up=False,
            is_writable=None,
            latency_ms=None,
            server_version="",
            connections_out=out,
            error=type(error).__name__,
        )
    return Health(
        is_up=True,
        is_writable=not is_read_only,
        latency_ms=(time.monotonic() - begun) * 1e3,
        server_version=version,
        connections_out=out,
        error="",
    )
