"""The observatory on each driver, new rows for each test; a test is one coroutine, whichever shell it runs in."""

from __future__ import annotations

import inspect
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from observatory import COUNTED, EMPTY, ROWS, SEQUENCES, ObservatoryBase
from shells import TARGETS, Shell
from sqlalchemy import make_url

from hermetic import Database
from hermetic.testing import Server


@pytest.fixture(params=TARGETS)
def target(request: pytest.FixtureRequest) -> str:
    """The driver of a test; every test runs on all of them unless it names fewer."""
    return str(request.param)


@pytest.fixture(scope="session")
def sqlite_observatory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables and rows, to copy."""
    file = tmp_path_factory.mktemp("guide") / "observatory.db"
    with Database(f"sqlite:///{file}") as db:
        db.create_all(ObservatoryBase)
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(ROWS)
    return file


@pytest.fixture(scope="session")
def observatory(server: Server, new_database: Callable[..., str]) -> Iterator[Callable[[str], str]]:
    """Bring the rows of the PostgreSQL observatory to their beginning and return its URL for a driver."""
    url = new_database()
    name = str(make_url(url).database)
    with Database(url) as db:
        db.create_all(ObservatoryBase)
    with psycopg.connect(server.url_for(name).replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"SET lock_timeout = '5s'; {SEQUENCES}".encode())

        def at_its_beginning(driver: str) -> str:
            connection.execute((EMPTY + ROWS).encode())
            return server.url_for(name, driver)

        yield at_its_beginning


@pytest.fixture(scope="session")
def mariadb_observatory(new_database: Callable[..., str]) -> Iterator[Callable[[str], str]]:
    """Bring the rows of the MariaDB observatory to their beginning and return its URL for a driver."""
    url = make_url(new_database("pymysql"))
    with Database(url) as db:
        db.create_all(ObservatoryBase)
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("SET SESSION innodb_lock_wait_timeout = 5")
            for table in COUNTED:
                connection.exec_driver_sql(f"ALTER TABLE {table} AUTO_INCREMENT = 1001")

            def at_its_beginning(driver: str) -> str:
                for statement in ["START TRANSACTION", *(EMPTY + ROWS).split(";")[:-1], "COMMIT"]:
                    connection.exec_driver_sql(statement)
                return url.set(drivername=f"mariadb+{driver}").render_as_string(hide_password=False)

            yield at_its_beginning


@pytest.fixture
def shell(request: pytest.FixtureRequest, target: str, tmp_path: Path) -> Shell:
    """The shell that the test runs in, on the driver of `target`."""
    if "sqlite" in target:
        file = tmp_path / "observatory.db"
        shutil.copy(request.getfixturevalue("sqlite_observatory"), file)
        return Shell(target, f"sqlite:///{file}")
    if target in ("pymysql", "asyncmy"):
        return Shell(target, request.getfixturevalue("mariadb_observatory")(target))
    return Shell(target, request.getfixturevalue("observatory")(target.removesuffix("-async")))


@pytest.fixture
def db(shell: Shell) -> Any:
    """The database of the test, closed after it."""
    return shell.open()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the coroutine of a test in its shell."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    shell: Shell = pyfuncitem.funcargs["shell"]
    shell.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in wanted}))
    return True
