"""The MariaDB of this machine behind a proxy; it is not ours, so nothing is done to the server itself."""

from __future__ import annotations

import os
import re
from typing import Any

from sqlalchemy import NullPool, create_engine, make_url, text

from survival.cluster import until
from survival.proxy import Proxy

_PLACE = os.environ.get("HERMETIC_TEST_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1:3306")


class MariaDB:
    """A reached MariaDB.

    Attributes:
        proxy: what the code under test connects to.
    """

    def __init__(self) -> None:
        self._url = make_url(_PLACE).set(drivername="mariadb+pymysql")
        self._engine = create_engine(self._url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self.sql("SELECT 1")
        self.proxy = Proxy(self._url.port or 3306, self._url.host or "127.0.0.1")
        self._names: list[str] = []

    def new_database(self) -> str:
        """Create an empty database and return its name; `close` drops it."""
        name = f"hermetic_{os.getpid()}_test_survival_{len(self._names)}"
        self.sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin")
        self._names.append(name)
        return name

    def url(self, database: str, driver: str = "pymysql") -> str:
        """Return the SQLAlchemy URL of a database behind the proxy."""
        url = self._url.set(drivername=f"mariadb+{driver}", host="127.0.0.1", port=self.proxy.port, database=database)
        return url.render_as_string(hide_password=False)

    def direct(self, database: str, driver: str = "pymysql") -> str:
        """Return the SQLAlchemy URL of a database without the proxy."""
        url = self._url.set(drivername=f"mariadb+{driver}", database=database)
        return url.render_as_string(hide_password=False)

    def sessions(self, database: str) -> list[tuple[int, str]]:
        """Return number and state of each session of a database."""
        asked = f"SELECT id, command FROM information_schema.processlist WHERE db = '{database}'"
        return [(int(number), str(state)) for number, state in self.sql(asked)]

    def sql(self, statement: str, *values: Any, database: str | None = None) -> list[Any]:
        """Run one statement as the administrator, on a connection of its own that no fault touches."""
        with self._engine.connect() as connection:
            if database is not None:
                connection.exec_driver_sql(f"USE {database}")
            result = connection.exec_driver_sql(statement, values or None)
            return list(result.all()) if result.returns_rows else []

    def wait_quiet(self, database: str, seconds: float = 10) -> None:
        """Return when no session of the database is in a transaction any more."""
        until(lambda: not self.active(database), seconds, "a session is at work")

    def active(self, database: str, state: str = "ACTIVE") -> set[int]:
        """Return the sessions of a database whose transaction is active, or in another state, as `LOCK WAIT`.

        Not from INNODB_TRX: that is a copy, which is not renewed while it is read more often than every 100 ms.
        """
        report = str(self.sql("SHOW ENGINE INNODB STATUS")[0][2])
        found = set()
        for each in report.split("---TRANSACTION ")[1:]:
            session = re.search(r"thread id (\d+)", each)
            if session and "ACTIVE" in each.partition("\n")[0] and state in each:
                found.add(int(session[1]))
        return found & {number for number, _ in self.sessions(database)}

    def kill_all(self, database: str) -> int:
        """End every session of a database; return how many there were."""
        found = self.sql(f"SELECT id FROM information_schema.processlist WHERE db = '{database}'")
        with self._engine.connect() as connection:
            for (number,) in found:
                connection.execute(text(f"KILL {int(number)}"))
        return len(found)

    def close(self) -> None:
        """Drop what was made."""
        self.proxy.close()
        for name in self._names:
            self.sql(f"DROP DATABASE IF EXISTS {name}")
