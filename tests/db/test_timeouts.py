"""What the server ends by itself: statements, waits for locks, transactions that nobody goes on with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench.proxy import slow_proxy
from sqlalchemy import text

from hermetic import (
    AsyncDatabase,
    AsyncUnitOfWork,
    Database,
    LockTimeout,
    LostConnection,
    Pool,
    StatementTimeout,
    Timeouts,
    UnitOfWork,
)
from shop import User
from survival.bouncer import bouncer

NewDatabase = Callable[..., str]
SLEEP = {"psycopg": "SELECT pg_sleep(20)", "pymysql": "SELECT count(*) FROM seq_1_to_100000000 a, seq_1_to_1000 b"}
SERVERS = pytest.mark.parametrize("driver", ["psycopg", "pymysql"])


@SERVERS
def test_a_statement_ends(new_database: NewDatabase, driver: str) -> None:
    with Database(new_database(driver=driver), timeouts=Timeouts(statement=0.2)) as db:
        with pytest.raises(StatementTimeout), db.begin() as uow:
            uow.session.execute(text(SLEEP[driver]))
        with db.engine.connect() as connection, pytest.raises(StatementTimeout):
            connection.execute(text(SLEEP[driver]))


def _waits_for_a_lock(db: Database) -> None:
    db.create_all(User)
    with db.begin() as uow:
        uow.add(User(id=1, name="ann"))
    with db.begin() as holder:
        holder.get_one(User, 1, lock=True)
        with pytest.raises(LockTimeout), db.begin() as uow:
            uow.get_one(User, 1, lock=True)


@SERVERS
def test_a_wait_for_a_lock_ends(new_database: NewDatabase, driver: str) -> None:
    with Database(new_database(driver=driver), timeouts=Timeouts(lock=0.2)) as db:
        _waits_for_a_lock(db)


def test_a_wait_for_the_lock_of_a_file_ends(tmp_path: Path) -> None:
    begun = time.monotonic()
    with Database(f"sqlite:///{tmp_path / 'locked.db'}", timeouts=Timeouts(lock=0.2)) as db:
        _waits_for_a_lock(db)
    assert time.monotonic() - begun < 4  # the driver's own timeout is 5 s


@SERVERS
def test_a_transaction_ends_that_nobody_goes_on_with(new_database: NewDatabase, driver: str) -> None:
    url = new_database(driver=driver)
    with Database(url) as watcher, Database(url, timeouts=Timeouts(idle=0.3)) as db:
        with pytest.raises(LostConnection), db.begin() as uow:  # TransactionTimeout, where the driver tells
            session: Any = uow.session.execute(text(_SESSION[driver])).scalar()
            _wait_until_gone(watcher, driver, session)
            uow.session.execute(text("SELECT 1"))


_SESSION = {"psycopg": "SELECT pg_backend_pid()", "pymysql": "SELECT connection_id()"}
_SESSIONS = {
    "psycopg": "SELECT count(*) FROM pg_stat_activity WHERE pid = :id",
    "pymysql": "SELECT count(*) FROM information_schema.processlist WHERE id = :id",
}


def _wait_until_gone(watcher: Database, driver: str, session: Any) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with watcher.engine.connect() as connection:
            if not connection.execute(text(_SESSIONS[driver]), {"id": session}).scalar():
                return
        time.sleep(0.02)
    raise AssertionError("the server did not end the transaction")


def _settings_of(session: Any) -> list[Any]:
    names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "transaction_isolation")
    return [session.execute(text(f"SHOW {name}")).scalar() for name in names]


def _settings(uow: UnitOfWork) -> list[Any]:
    return _settings_of(uow.session)


async def _settings_async(uow: AsyncUnitOfWork) -> list[Any]:
    return await uow.session.run_sync(_settings_of)


USUAL = Timeouts(statement=5, lock=1.5, idle=60)
LONG = Timeouts(statement=300)
AS_USUAL = ["5s", "1500ms", "1min", "read committed"]
AS_LONG = ["5min", "1500ms", "1min", "serializable"]


def test_one_transaction_has_its_own(new_database: NewDatabase) -> None:
    with Database(new_database(), timeouts=USUAL, pool=Pool.server(size=1, overflow=0)) as db:
        assert db.run(_settings) == AS_USUAL
        long = db.using(timeouts=LONG, isolation="SERIALIZABLE")
        assert long.run(_settings) == AS_LONG
        assert db.run(_settings) == AS_USUAL


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_one_async_transaction_has_its_own(new_database: NewDatabase, driver: str) -> None:
    async def run() -> None:
        async with AsyncDatabase(
            new_database(driver=driver), timeouts=USUAL, pool=Pool.server(size=1, overflow=0)
        ) as db:
            assert await db.run(_settings_async) == AS_USUAL
            assert await db.using(timeouts=LONG, isolation="SERIALIZABLE").run(_settings_async) == AS_LONG
            assert await db.run(_settings_async) == AS_USUAL

    asyncio.run(run())


def test_behind_a_pooler_they_travel_with_begin(new_database: NewDatabase) -> None:
    with bouncer(new_database()) as url:
        with Database(url, pool=Pool.pgbouncer_transaction(), timeouts=USUAL) as db:
            assert db.run(_settings) == AS_USUAL
        with Database(url, pool=Pool.pgbouncer_transaction()) as db:
            assert db.run(_settings)[:3] == ["0", "0", "0"]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_they_cost_no_round_trip(new_database: NewDatabase, driver: str) -> None:
    async def run(url: str) -> None:
        parts = url.rpartition("@")[2].partition("/")[0].rpartition(":")
        with slow_proxy(parts[0], int(parts[2]), 0.0) as proxy:
            through = url.replace(f":{parts[2]}/", f":{proxy.port}/")
            async with AsyncDatabase(through, timeouts=USUAL) as db:
                found = [await _trips(db, proxy), await _trips(db.using(timeouts=LONG), proxy)]
            async with AsyncDatabase(through) as db:
                assert found == [await _trips(db, proxy)] * 2

    asyncio.run(run(new_database(driver=driver)))


async def _trips(db: AsyncDatabase, proxy: Any) -> float:
    async def ask(uow: AsyncUnitOfWork) -> None:
        await uow.session.execute(text("SELECT 1"))

    for _ in range(6):  # until the driver has prepared the statement
        await db.run(ask)
    before: float = proxy.trips
    await db.run(ask)
    after: float = proxy.trips
    return after - before


@pytest.mark.parametrize("field", ["statement", "lock", "idle"])
@pytest.mark.parametrize("seconds", [0, -1, 1e12])
def test_what_the_server_cannot_be_told_is_refused(field: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"Timeouts {field}="):
        Timeouts(**{field: seconds})


def test_only_postgresql_has_them_for_one_transaction(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'one.db'}") as db:
        with pytest.raises(ValueError, match="sqlite has none that end with it"):
            db.using(timeouts=Timeouts(lock=1))
