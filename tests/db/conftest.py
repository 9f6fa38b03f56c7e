"""Databases for the face: each test that takes `db` or `async_db` runs on PostgreSQL, MariaDB and SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hermetic import Base, Database

SYNC = ("psycopg", "pymysql", "sqlite")
ASYNC = ("psycopg", "asyncpg", "asyncmy", "aiosqlite")


def _url(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if "sqlite" in driver:
        return f"sqlite:///{tmp_path / 'test.db'}"
    make: Callable[..., str] = request.getfixturevalue("new_database")
    return make(driver=driver)


@pytest.fixture(params=SYNC)
def db(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A sync database with the tables of `shop`."""
    with Database(_url(request.param, request, tmp_path)) as made:
        made.create_all(_shop())
        yield made


@pytest.fixture(params=ASYNC)
def async_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database for `AsyncDatabase`; each test opens it in its own event loop."""
    return _url(request.param, request, tmp_path)


def _shop() -> type[Base]:
    import shop

    return shop.User
