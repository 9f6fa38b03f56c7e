"""The databases of the tests: one private PostgreSQL for the whole run, and a new database or file for whoever asks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hermetic.testing import Server, start


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The PostgreSQL of this run, started by the first test that needs it."""
    with start() as running:
        yield running


@pytest.fixture(scope="session")
def new_database(server: Server) -> Callable[..., str]:
    """Make a database, e.g. `new_database(driver="asyncpg", template="seeded")`, and return its SQLAlchemy URL."""
    numbers = itertools.count(1)

    def make(driver: str = "psycopg", template: str | None = None) -> str:
        name = f"test_{next(numbers)}"
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
