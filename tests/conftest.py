"""The databases of the tests: one private PostgreSQL for the whole run, the MariaDB that `HERMETIC_TEST_MARIADB_URL`
names or that answers on this machine, and a new database or file for whoever asks.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

from hermetic.testing import Server, start

MEMORY = Path("/dev/shm")
NEEDED_BYTES = 14 * 2**30  # of a thousand databases, twice


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The PostgreSQL of this run, started by the first test that needs it; in memory where there is plenty, because
    each of a thousand databases is three hundred files, which took a quarter of a second on a slow disk.
    """
    is_roomy = MEMORY.is_dir() and min(shutil.disk_usage(MEMORY).free, _available()) > NEEDED_BYTES
    with pytest.MonkeyPatch.context() as patch:
        if is_roomy:
            patch.setattr(tempfile, "tempdir", str(MEMORY))
        running = start()
    with running:
        yield running


def _available() -> int:
    """Return the bytes of memory that nobody uses."""
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


MARIADB = ("pymysql", "asyncmy")
"""The drivers of MariaDB."""


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Callable[[str], URL]]:
    """Make a database on MariaDB by name and return its URL; all are dropped at the end of the run."""
    place = os.environ.get("HERMETIC_TEST_MARIADB_URL", "mariadb+pymysql://root@127.0.0.1:3306")
    engine = create_engine(make_url(place).set(drivername="mariadb+pymysql"), isolation_level="AUTOCOMMIT")
    names: list[str] = []

    def make(name: str) -> URL:
        with engine.connect() as connection:
            # compares like Python: by code point, without padding
            connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"))
        names.append(name)
        return engine.url.set(database=name)

    try:
        engine.connect().close()
    except OperationalError as error:
        pytest.skip(f"no MariaDB: set HERMETIC_TEST_MARIADB_URL, or start one on 127.0.0.1:3306 ({error.orig})")
    with engine.connect() as connection:
        left = connection.scalars(text("SHOW DATABASES LIKE 'hermetic\\_%\\_test\\_%'"))
        _drop(connection, [name for name in left if _is_abandoned(name, engine.url.host)])
        yield make
        _drop(connection, names)
    engine.dispose()


def _drop(connection: Connection, names: Iterable[str]) -> None:
    for name in names:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))


def _is_abandoned(name: str, host: str | None) -> bool:
    """Return whether a database is of a run on this machine that was killed."""
    if host not in ("127.0.0.1", "localhost"):
        return False
    try:
        os.kill(int(name.split("_")[1]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError):
        return False
    return False


@pytest.fixture(scope="session")
def new_database(request: pytest.FixtureRequest) -> Callable[..., str]:
    """Make a database, e.g. `new_database(driver="asyncpg", template="seeded")`, and return its SQLAlchemy URL."""
    numbers = itertools.count(1)

    def make(driver: str = "psycopg", template: str | None = None) -> str:
        name = f"test_{next(numbers)}"
        if driver in MARIADB:
            made: URL = request.getfixturevalue("mariadb")(f"hermetic_{os.getpid()}_{name}")
            return made.set(drivername=f"mariadb+{driver}").render_as_string(hide_password=False)
        server: Server = request.getfixturevalue("server")
        server.create_database(name, template)
        return server.url_for(name, driver)

    return make


@pytest.fixture(scope="session")
def postgres_url(new_database: Callable[..., str]) -> str:
    """The psycopg URL of a database that all tests of the run share."""
    return new_database()


@pytest.fixture(scope="module")
def fresh_database(new_database: Callable[..., str]) -> str:
    """The psycopg URL of a database that the tests of one module share."""
    return new_database()


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """A file for SQLite that does not exist yet."""
    return tmp_path / "test.db"


@pytest.fixture
def sqlite_url(sqlite_path: Path) -> str:
    """The SQLAlchemy URL of `sqlite_path`."""
    return f"sqlite:///{sqlite_path}"
