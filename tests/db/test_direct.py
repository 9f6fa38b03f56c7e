"""Reads on the driver's own connection keep every promise that reads through SQLAlchemy keep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from hermetic import AsyncDatabase, CannotConnect, Database, MissingTable, Pool
from hermetic.testing import start
from shop import Address, User, UserCard, opened

SERVER = ("psycopg", "asyncpg")


def read(db: Database) -> list[UserCard]:
    return db.all(UserCard, select(User).order_by(User.id).limit(2))


def test_sqlalchemy_sees_the_first_read_and_recorded_sees_all(db: Database) -> None:
    seen: list[str] = []

    def sent(conn: object, cursor: object, sql: str, *_: object) -> None:
        seen.append(sql)

    read(db)
    event.listen(db.engine, "before_cursor_execute", sent)
    with db.recorded() as statements:
        read(db)
        read(db)
    through = 2 if db.engine.dialect.name == "mariadb" else 0
    assert len(statements) == 2 and len(seen) == through
    assert {each.sql for each in statements} == {db.plan(UserCard, select(User).order_by(User.id).limit(2)).sql}


def test_a_table_that_went_away_is_the_same_error_as_before(db: Database) -> None:
    read(db)
    read(db)
    Address.__table__.drop(db.engine)  # type: ignore[attr-defined]
    for _ in range(2):
        with pytest.raises(MissingTable):
            read(db)


def test_no_connection_is_left_out_after_reads_and_errors(db: Database) -> None:
    for _ in range(30):  # more than the pool holds
        read(db)
    Address.__table__.drop(db.engine)  # type: ignore[attr-defined]
    for _ in range(30):
        with pytest.raises(MissingTable):
            read(db)
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_a_write_after_a_read_on_the_same_connection_is_a_transaction(new_database: Callable[..., str]) -> None:
    with Database(new_database(), pool=Pool.server(size=1, overflow=0)) as db:
        db.create_all(User)
        for number in range(3):
            read(db)
            with pytest.raises(ZeroDivisionError), db.begin() as uow:
                uow.add(User(id=number, name="ghost"))
                uow.flush()
                raise ZeroDivisionError
        assert read(db) == []


@pytest.mark.parametrize("driver", SERVER)
def test_a_connection_killed_while_idle_is_replaced_in_silence(driver: str, new_database: Callable[..., str]) -> None:
    url = new_database(driver=driver)

    async def run() -> None:
        # checked before use only after an hour, so that the read itself meets the dead connection
        db = AsyncDatabase(url, pool=Pool.server(size=1, overflow=0, ping_idle=3600))
        await db.create_all(User)
        statement = select(User).limit(1)
        for _ in range(3):
            assert await db.all(UserCard, statement) == []
            with Database(new_database_url(url)) as killer, killer.engine.connect() as connection:
                connection.exec_driver_sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            assert await db.all(UserCard, statement) == []
        await db.close()

    asyncio.run(run())


def new_database_url(url: str) -> str:
    return url.replace("+asyncpg", "+psycopg")


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("driver", SERVER)
def test_a_cancelled_read_leaves_the_pool_clean(driver: str, times: int, new_database: Callable[..., str]) -> None:
    url = new_database(driver=driver)

    async def run() -> None:
        db = await opened(url)
        slow = select(User).where(func.pg_sleep(User.id).is_not(None)).limit(1)
        await db.all(UserCard, slow)  # learned while the table is empty
        async with db.begin() as uow:
            uow.add(User(id=30, name="slow"))
        for _ in range(12):
            before = await _sleeping(db)  # the server may not have noticed yet that the last one is gone
            task = asyncio.create_task(db.all(UserCard, slow))
            while await _sleeping(db) <= before:
                pass
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError):
                await task
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert [each.name for each in await db.all(UserCard, select(User).limit(1))] == ["slow"]
        await db.close()

    asyncio.run(run())


async def _sleeping(db: AsyncDatabase) -> int:
    async with db.engine.connect() as connection:
        counted = await connection.exec_driver_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
        )
        return int(counted.scalar_one())


@pytest.mark.parametrize("driver", SERVER)
def test_a_statement_that_the_server_timed_out_is_sent_once(driver: str, new_database: Callable[..., str]) -> None:
    url = new_database(driver=driver)

    async def run() -> None:
        db = await opened(url)
        slow = select(User).where(func.pg_sleep(User.id).is_not(None)).limit(1)
        await db.all(UserCard, slow)
        async with db.begin() as uow:
            uow.add(User(id=30, name="slow"))
        await db.engine.dispose()

        def limited(connection: object, record: object) -> None:
            cursor = connection.cursor()  # type: ignore[attr-defined]
            cursor.execute("SET statement_timeout = '50ms'")
            cursor.close()
            connection.commit()  # type: ignore[attr-defined]

        event.listen(db.engine.sync_engine, "connect", limited)
        with db.recorded() as sent, pytest.raises(OperationalError) as raised:
            await db.all(UserCard, slow)
        assert len(sent) == 1
        assert "slow" not in str(raised.value)
        await db.close()

    asyncio.run(run())


@pytest.mark.parametrize("driver", SERVER)
def test_a_server_that_went_away_is_explained_and_one_that_came_back_is_read(driver: str) -> None:
    async def run() -> None:
        with start() as server:
            server.create_database("gone")
            db = await opened(server.url_for("gone", driver))
            assert await db.all(UserCard, select(User)) == []
            server.kill()
            for _ in range(2):
                with pytest.raises(CannotConnect, match="check host and port"):
                    await db.all(UserCard, select(User))
            server.restart()
            assert await db.all(UserCard, select(User)) == []
            await db.close()

    asyncio.run(run())
