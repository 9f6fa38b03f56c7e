"""Nothing that one borrower of a connection leaves in its session reaches the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, event, make_url, text

from hermetic import AsyncDatabase, Database, MissingTable, Pool, StateRefused
from survival.bouncer import bouncer

ONE = Pool.server(size=1, overflow=0)

# what is left, and the question whose answer would show it
POSTGRESQL = {
    "setting": ("SET app.tenant = 'acme'", "SELECT coalesce(current_setting('app.tenant', true), '')", ""),
    "set_config": (
        "SELECT set_config('app.tenant', 'acme', false)",
        "SELECT coalesce(current_setting('app.tenant', true), '')",
        "",
    ),
    "timeout": ("SET statement_timeout = 123", "SHOW statement_timeout", "0"),
    "search path": ("SET search_path = pg_catalog", "SHOW search_path", '"$user", public'),
    "role": ("SET ROLE pg_monitor", "SELECT current_user", "postgres"),
    "lock": (
        "SELECT pg_advisory_lock(42)",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        0,
    ),
    "table": ("CREATE TEMP TABLE leftover (a int)", "SELECT to_regclass('leftover')::text", None),
    "channel": ("LISTEN leftover", "SELECT count(*) FROM pg_listening_channels()", 0),
    "prepared": ("PREPARE leftover AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements WHERE from_sql", 0),
}
MARIADB = {
    "variable": ("SET @tenant = 'acme'", "SELECT @tenant", None),
    "assigned": ("SELECT @tenant := 'acme'", "SELECT @tenant", None),
    "setting": ("SET SESSION max_statement_time = 123", "SELECT @@max_statement_time", 0),
    "lock": ("SELECT GET_LOCK('leftover', 0)", "SELECT IS_USED_LOCK('leftover') = CONNECTION_ID()", None),
}
SQLITE = {
    "pragma": ("PRAGMA cache_size = 123", "PRAGMA cache_size", -2000),
    "table": ("CREATE TEMP TABLE leftover (a int)", "SELECT count(*) FROM sqlite_temp_master", 0),
}
LEFT = {"postgresql": POSTGRESQL, "mariadb": MARIADB, "sqlite": SQLITE}
SYNC = [("psycopg", kind) for kind in POSTGRESQL] + [("pymysql", kind) for kind in MARIADB]
SYNC += [("sqlite", kind) for kind in SQLITE]
ASYNC = [(driver, kind) for driver in ("psycopg", "asyncpg") for kind in POSTGRESQL]
ASYNC += [("asyncmy", kind) for kind in MARIADB] + [("aiosqlite", kind) for kind in SQLITE]


def _url(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if "sqlite" in driver:
        return f"sqlite:///{tmp_path / 'test.db'}"
    return str(request.getfixturevalue("new_database")(driver=driver))


@pytest.mark.parametrize(("driver", "kind"), SYNC)
def test_the_next_borrower_sees_nothing(driver: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with Database(_url(driver, request, tmp_path), pool=ONE) as db:
        leave, ask, clean = LEFT[db.engine.dialect.name][kind]
        with db.begin() as uow:
            before = uow.session.scalar(text(ask))
        with db.begin() as uow:
            uow.session.execute(text(leave))
            assert kind == "channel" or uow.session.scalar(text(ask)) != before  # it begins with the commit
        with db.begin() as uow:
            assert uow.session.scalar(text(ask)) == before == clean


@pytest.mark.parametrize(("driver", "kind"), ASYNC)
def test_the_next_borrower_sees_nothing_in_tasks_either(
    driver: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    async def main() -> None:
        async with AsyncDatabase(_url(driver, request, tmp_path), pool=ONE) as db:
            leave, ask, clean = LEFT[db.engine.dialect.name][kind]
            async with db.begin() as uow:
                before = await uow.session.scalar(text(ask))
            async with db.begin() as uow:
                await uow.session.execute(text(leave))
                assert kind == "channel" or await uow.session.scalar(text(ask)) != before
            async with db.begin() as uow:
                assert await uow.session.scalar(text(ask)) == before == clean

    asyncio.run(main())


@pytest.mark.parametrize("kind", POSTGRESQL)
def test_a_plain_pool_hands_all_of_it_on(kind: str, new_database: Callable[..., str]) -> None:
    """The control: the tests above would see it."""
    engine = create_engine(new_database(), pool_size=1, max_overflow=0)
    leave, ask, clean = POSTGRESQL[kind]
    with engine.begin() as connection:
        connection.execute(text(leave))
    with engine.begin() as connection:
        assert connection.scalar(text(ask)) != clean
    engine.dispose()


def test_a_failed_unit_leaves_nothing_either(new_database: Callable[..., str]) -> None:
    with Database(new_database(), pool=ONE) as db:
        with pytest.raises(ZeroDivisionError), db.begin() as uow:
            uow.session.execute(text("SELECT pg_advisory_lock(42)"))
            raise ZeroDivisionError
        with db.begin() as uow:
            assert uow.session.scalar(text(POSTGRESQL["lock"][1])) == 0


def test_a_temporary_table_of_mariadb_is_gone(new_database: Callable[..., str]) -> None:
    with Database(new_database("pymysql"), pool=ONE) as db:
        with db.begin() as uow:
            uow.session.execute(text("CREATE TEMPORARY TABLE leftover (a int)"))
        with pytest.raises(MissingTable, match="leftover"), db.begin() as uow:
            uow.session.execute(text("SELECT a FROM leftover"))


@pytest.mark.parametrize("driver", ["psycopg", "pymysql", "sqlite"])
def test_what_is_plain_keeps_its_connection(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    opened: list[Any] = []
    with Database(_url(driver, request, tmp_path), pool=ONE) as db:
        event.listen(db.engine, "connect", lambda *_: opened.append(1))
        for sql in ("CREATE TABLE kept (a int)", "INSERT INTO kept VALUES (1)", "UPDATE kept SET a = 2"):
            with db.begin() as uow:
                uow.session.execute(text(sql))
        with db.begin() as uow:
            assert uow.session.scalar(text("SELECT a FROM kept")) == 2
    assert len(opened) == 1


def test_what_ends_with_its_transaction_keeps_its_connection(new_database: Callable[..., str]) -> None:
    opened: list[Any] = []
    with Database(new_database(), pool=ONE) as db:
        event.listen(db.engine, "connect", lambda *_: opened.append(1))
        for sql in (
            "SET LOCAL statement_timeout = 5000",
            "SELECT set_config('app.tenant', 'acme', true)",
            "SELECT pg_advisory_xact_lock(42)",
            "CREATE TEMP TABLE gone (a int) ON COMMIT DROP",
        ):
            with db.begin() as uow:
                uow.session.execute(text(sql))
        with db.begin() as uow:
            for _, ask, clean in (POSTGRESQL["setting"], POSTGRESQL["timeout"], POSTGRESQL["lock"]):
                assert uow.session.scalar(text(ask)) == clean
    assert len(opened) == 1


# behind a pooler


@pytest.fixture
def bounced(new_database: Callable[..., str]) -> Iterator[Callable[[str], str]]:
    with bouncer(new_database()) as url:
        yield lambda driver: make_url(url).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


@pytest.mark.parametrize("kind", ["setting", "set_config", "lock", "table", "channel"])
def test_behind_a_pooler_what_others_would_see_is_refused(bounced: Callable[[str], str], kind: str) -> None:
    with Database(bounced("psycopg"), pool=Pool.pgbouncer_transaction()) as db:
        leave, ask, clean = POSTGRESQL[kind]
        with pytest.raises(StateRefused, match=r"test_residue\.py:\d+ in test_behind") as refused, db.begin() as uow:
            uow.session.execute(text(leave))
        assert "acme" not in str(refused.value)
        with db.begin() as uow:
            assert uow.session.scalar(text(ask)) == clean


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_behind_a_pooler_settings_of_the_transaction_stay_with_it(bounced: Callable[[str], str], driver: str) -> None:
    async def tenant(db: AsyncDatabase, name: str) -> set[str]:
        seen = set()
        for _ in range(10):
            async with db.begin() as uow:
                await uow.session.execute(text("SELECT set_config('app.tenant', :name, true)"), {"name": name})
                await asyncio.sleep(0)
                seen.add(await uow.session.scalar(text("SELECT current_setting('app.tenant')")))
        return seen

    async def main() -> None:
        async with AsyncDatabase(bounced(driver), pool=Pool.pgbouncer_transaction()) as db:
            names = [f"tenant-{number}" for number in range(10)]
            assert await asyncio.gather(*(tenant(db, name) for name in names)) == [{name} for name in names]

    asyncio.run(main())
