"""Whether a pool fits its server: asked at the first connection of a database, and by `check()`.

Behind a pooler the process that a client was told when it logged in is not the one that answers, which costs one
statement to see. Whether the pooler changes the session after each transaction takes a second connection: two that are
open side by side never have the same session, unless it is lent to both.

Source: PostgreSQL manual, "Connections and Authentication" and BackendKeyData in "Message Formats"; PgBouncer manual,
`pool_mode`; MariaDB documentation, `max_connections`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Engine, event

from hermetic.engine.pool import Pool
from hermetic.errors import PoolError, Problem

_ROUNDS = 5
_PROCESS = "SELECT pg_backend_pid()"
_POSTGRESQL = """\
SELECT pg_backend_pid(), current_setting('max_connections')::int,
  current_setting('superuser_reserved_connections')::int
    + coalesce(current_setting('reserved_connections', true), '0')::int,
  (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user),
  (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = current_database())"""
_MARIADB = "SELECT @@max_connections, @@max_user_connections"


class Fit:
    """The comparison of one pool with its server.

    Attributes:
        connect: makes one more connection of the driver as the pool makes them.
    """

    def __init__(self, engine: Engine, pool: Pool, shown: str) -> None:
        self.connect: Callable[[], Any] | None = None
        self._engine = engine
        self._pool = pool
        self._shown = shown
        self._has_asked = False

    def watch(self) -> None:
        """Ask at the first connection; while it does not fit, at every one."""
        event.listen(self._engine, "connect", self._connected)

    def check(self) -> None:
        """Ask now.

        Raises:
            PoolError: the pool does not fit; it lists all problems.
        Statements: 1 SELECT; behind a pooler up to 11 more, on two connections. None on SQLite, and none where the
            preset says that there is a pooler, since the limits are those of the pooler then.
        """
        connection = self._engine.raw_connection()
        try:
            self._ask(connection.dbapi_connection)
        finally:
            connection.close()

    def _connected(self, connection: Any, record: Any) -> None:
        if not self._has_asked:
            self._ask(connection)
            self._has_asked = True

    def _ask(self, connection: Any) -> None:
        dialect = self._engine.dialect
        if self._pool.is_shared or dialect.name not in ("postgresql", "mariadb"):
            return
        problems = self._of_postgresql(connection) if dialect.name == "postgresql" else self._of_mariadb(connection)
        found = list(problems)
        if found:
            raise PoolError(self._shown, dialect.name, found)

    def _of_postgresql(self, connection: Any) -> Iterable[Problem]:
        process, most, reserved, of_role, of_database = _row(connection, _POSTGRESQL)
        limits = {f"max_connections {most} - {reserved} reserved": most - reserved}
        limits |= {f"connection limit {of_role} of the role": of_role} if of_role >= 0 else {}
        limits |= {f"connection limit {of_database} of the database": of_database} if of_database >= 0 else {}
        yield from self._too_many(limits)
        if process != self._told(connection) and self._is_lent(connection):
            yield Problem(
                "Pool.server()" if self._pool.is_pooling else "Pool.serverless()",
                "stands behind a pooler that lends the session to other clients after each transaction, where prepared "
                "statements and session settings get lost or mixed up",
                "pool=Pool.pgbouncer_transaction()",
            )

    def _of_mariadb(self, connection: Any) -> Iterable[Problem]:
        most, of_user = _row(connection, _MARIADB)
        limits = {f"max_connections {most}": most}
        yield from self._too_many(limits | ({f"max_user_connections {of_user}": of_user} if of_user else {}))

    def _too_many(self, limits: dict[str, int]) -> Iterable[Problem]:
        size, overflow, instances = self._pool.size, self._pool.overflow, self._pool.instances
        needed = instances * (size + overflow)
        name = min(limits, key=lambda each: limits[each])
        if not self._pool.is_pooling or needed <= limits[name]:
            return
        each = limits[name] // instances
        kept = min(size, max(1, each // 2))
        fix = f"Pool.server(size={kept}, overflow={each - kept}, instances={instances})\nor " if each else ""
        yield Problem(
            f"Pool.server(size={size}, overflow={overflow}, instances={instances})",
            f"opens up to {instances} x ({size} + {overflow}) = {needed} connections; the server has {limits[name]} "
            f"({name})",
            f"{fix}raise the limit of the server to {needed} and what others need, or put a pooler before it",
        )

    def _told(self, connection: Any) -> int:
        """Return the process that the client was told when it logged in."""
        driver = self._engine.dialect.get_driver_connection(connection)
        return int(driver.get_server_pid() if hasattr(driver, "get_server_pid") else driver.info.backend_pid)

    def _is_lent(self, connection: Any) -> bool:
        """Return whether transactions of one connection are of several sessions, or those of two of the same."""
        if self.connect is None:
            return False
        first = _row(connection, _PROCESS)[0]
        other = self.connect()
        try:
            for _ in range(_ROUNDS):
                if _row(other, _PROCESS)[0] == first or _row(connection, _PROCESS)[0] != first:
                    return True
        finally:
            self._engine.dialect.do_close(other)
        return False


def _row(connection: Any, sql: str) -> tuple[int, ...]:
    """Return the row of a statement that is a transaction of its own."""
    cursor = connection.cursor()
    try:
        cursor.execute(sql)
        row: tuple[int, ...] = cursor.fetchall()[0]
    finally:
        cursor.close()
        connection.rollback()
    return row
