"""A PostgreSQL of its own behind a proxy, and what can happen to it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy import make_url

from hermetic.testing import Server, start
from survival.proxy import HOST, Proxy

SERIALIZABLE = "serializable"
"""The account whose transactions are serializable by default; that of all others is `postgres`."""

_SETTINGS = {"deadlock_timeout": "50ms", "max_prepared_transactions": "0"}


class Cluster:
    """A running server that belongs to one run of the suite.

    Attributes:
        server: the server, reached without the proxy.
        proxy: what the code under test connects to.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.proxy = Proxy(server.port)
        self._databases = 0
        for name, value in _SETTINGS.items():
            self.sql(f"ALTER SYSTEM SET {name} = '{value}'")
        self.sql(f"CREATE ROLE {SERIALIZABLE} SUPERUSER LOGIN PASSWORD '{server.password}'")
        self.sql(f"ALTER ROLE {SERIALIZABLE} SET default_transaction_isolation = serializable")
        self.sql("SELECT pg_reload_conf()")

    def new_database(self) -> str:
        """Create an empty database and return its name."""
        self._databases += 1
        name = f"survival_{self._databases}"
        self.server.create_database(name)
        return name

    def url(self, database: str, driver: str = "psycopg", *, user: str = "postgres", port: int | None = None) -> str:
        """Return the SQLAlchemy URL of a database behind the proxy, or behind another port."""
        url = make_url(self.server.url_for(database, driver)).set(username=user, port=port or self.proxy.port)
        return url.render_as_string(hide_password=False)

    def direct(self, database: str, driver: str = "psycopg") -> str:
        """Return the SQLAlchemy URL of a database without the proxy."""
        return self.url(database, driver, port=self.server.port)

    def sql(self, statement: str, *values: Any, database: str = "postgres") -> list[Any]:
        """Run one statement as the administrator, on a connection of its own that no fault touches."""
        url = self.server.url.rpartition("/")[0] + f"/{database}"
        with psycopg.connect(url, autocommit=True, application_name="administrator") as connection:
            cursor = connection.execute(statement.encode(), values or None)
            return cursor.fetchall() if cursor.description else []

    def sessions(self, database: str) -> list[tuple[int, str]]:
        """Return process and state of each session of a database, without the administrator's."""
        asked = (
            "SELECT pid, coalesce(state, '') FROM pg_stat_activity"
            " WHERE datname = %s AND application_name <> 'administrator'"
        )
        return self.sql(asked, database)

    def terminate_all(self, database: str) -> int:
        """End every session of a database, as an administrator does; return how many there were."""
        asked = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE datname = %s AND pid <> pg_backend_pid()"
        )
        return int(self.sql(asked, database)[0][0])

    def crash(self) -> None:
        """Kill the main process with SIGKILL, and start it again; the log is replayed."""
        self.server.kill()
        self.server.restart()

    def bounce(self) -> None:
        """Shut down at once, without a word to the sessions, and start again; the log is replayed."""
        self.signal(signal.SIGQUIT)
        self.server.restart()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process."""
        os.kill(int((self.server.directory / "data" / "postmaster.pid").read_text().splitlines()[0]), number)

    def wait_quiet(self, database: str, seconds: float = 10) -> None:
        """Return when no session of the database is in a transaction any more; those that wait in a pool may stay."""
        until(lambda: all(state == "idle" for _, state in self.sessions(database)), seconds, "a session is at work")


def until(is_true: Callable[[], bool], seconds: float, otherwise: str) -> float:
    """Ask until it is true, and return the seconds that took; it is an AssertionError when it does not become true."""
    begun = time.monotonic()
    while not is_true():
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"{otherwise} after {seconds} seconds")
        time.sleep(0.005)
    return time.monotonic() - begun


@contextmanager
def cluster() -> Generator[Cluster]:
    """Yield a cluster that is gone afterwards."""
    with start() as server:
        made = Cluster(server)
        try:
            yield made
        finally:
            made.proxy.close()


__all__ = ["HOST", "SERIALIZABLE", "Cluster", "cluster", "until"]
