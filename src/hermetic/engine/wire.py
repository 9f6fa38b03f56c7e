"""What each driver is told about the network and about what stands between it and the server.

Source: libpq, "Parameter Key Words"; tcp(7), TCP_USER_TIMEOUT; psycopg, "Prepared statements"; asyncpg, "FAQ";
SQLAlchemy manual, "Prepared Statement Name with PGBouncer".
"""

from __future__ import annotations

import socket
from typing import Any

from sqlalchemy import URL, Dialect, Engine, event

from hermetic.engine.pool import Pool
from hermetic.errors import Problem

_IDLE, _INTERVAL, _COUNT = 30, 10, 3
_UNACKNOWLEDGED_MS = 30_000
_LIBPQ = {
    "keepalives_idle": _IDLE,
    "keepalives_interval": _INTERVAL,
    "keepalives_count": _COUNT,
    "tcp_user_timeout": _UNACKNOWLEDGED_MS,
}
_OPTIONS = {  # of the socket, by name: no system has all of them
    "TCP_KEEPIDLE": _IDLE,
    "TCP_KEEPINTVL": _INTERVAL,
    "TCP_KEEPCNT": _COUNT,
    "TCP_USER_TIMEOUT": _UNACKNOWLEDGED_MS,
}
_UNNAMED: dict[str, dict[str, Any]] = {
    "psycopg": {"prepare_threshold": None},
    # without caches asyncpg uses the statement that has no name, and parses it with each use; names of our own would
    # stay on the sessions of the server, and miss in autocommit
    "asyncpg": {"statement_cache_size": 0, "prepared_statement_cache_size": 0},
}
_PREPARING = (
    "prepare_threshold",
    "statement_cache_size",
    "prepared_statement_cache_size",
    "prepared_statement_name_func",
)


def connect_options(url: URL, dialect: type[Dialect], pool: Pool) -> dict[str, Any]:
    """Return what the driver's `connect` is told beside the URL; what the URL says itself holds."""
    told: dict[str, Any] = dict(_UNNAMED.get(dialect.driver, {})) if pool.is_shared else {}
    if dialect.driver == "psycopg":
        told |= {name: value for name, value in _LIBPQ.items() if name not in url.query}
    return told


def wrong_settings(url: URL, pool: Pool) -> list[Problem]:
    """Return what the URL says about prepared statements that cannot work behind the pool's pooler."""
    if not pool.is_shared:
        return []
    return [
        Problem(
            f"{name}={url.query[name]} in the URL",
            "prepares statements under names, on a session that serves other clients after each transaction",
            f"leave {name} out of the URL: the preset sets it",
        )
        for name in _PREPARING
        if name in url.query
    ]


def keep_alive(engine: Engine) -> None:
    """Let the system notice a network that is gone, where the driver has no words for it: asyncpg.

    PyMySQL and asyncmy ask for keepalives, at the system's times.
    """
    if engine.dialect.driver != "asyncpg":
        return

    def connected(connection: Any, record: Any) -> None:
        # asyncpg has no public way to its socket; tests/db/test_wire.py notices when the name is another one
        transport = getattr(record.driver_connection, "_transport", None)
        found = transport.get_extra_info("socket") if transport is not None else None
        if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
            return
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _OPTIONS.items():
            option = getattr(socket, name, None)
            if option is not None:
                found.setsockopt(socket.IPPROTO_TCP, option, value)

    event.listen(engine, "connect", connected)
