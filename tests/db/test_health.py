"""A look at a database that never fails, and a pool that finds the new primary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from bases import own_base
from sqlalchemy import make_url, select, text
from sqlalchemy.orm import Mapped, mapped_column

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database, ReadOnlyServer, Retry, UnitOfWork
from hermetic.testing import start

Own = own_base()


class Beat(Own):  # type: ignore[misc, valid-type]  # a base made by a function
    __tablename__ = "health_beat"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)


@pytest.mark.parametrize("driver", ["psycopg", "pymysql", "sqlite"])
def test_a_server_that_answers_is_up_and_writable(
    driver: str, new_database: Callable[..., str], sqlite_url: str
) -> None:
    with Database(sqlite_url if driver == "sqlite" else new_database(driver=driver)) as db, db.begin() as uow:
        found = db.health()
        assert (found.is_up, found.is_writable, found.error, found.connections_out) == (True, True, "", 0)
        assert found.server_version[0].isdigit() and found.latency_ms is not None
        uow.session.connection()
        assert db.health().connections_out == 1


def test_a_server_that_is_gone_is_told_and_comes_back() -> None:
    with start() as server, Database(server.url_for()) as db:
        assert db.health().is_up
        server.kill()
        found = db.health()
        assert (found.is_up, found.is_writable, found.latency_ms) == (False, None, None)
        assert found.error in ("CannotConnect", "LostConnection")
        server.restart()
        assert db.health().is_up


def test_a_database_that_only_reads_is_up_and_not_writable(new_database: Callable[..., str]) -> None:
    async def main() -> None:
        for driver in ("psycopg", "asyncpg"):
            url = make_url(new_database(driver=driver))
            async with AsyncDatabase(url) as db:
                async with db.engine.begin() as connection:
                    await connection.exec_driver_sql(
                        f"ALTER DATABASE {url.database} SET default_transaction_read_only = on"
                    )
                await db.engine.dispose()
                found = await db.health()
                assert (found.is_up, found.is_writable) == (True, False)

    asyncio.run(main())


def _demote(db: Database) -> None:
    """Fill the pool with sessions that only read, while new ones write: as after a failover."""
    name = db.engine.url.database
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    db.engine.dispose()
    with db.engine.connect() as first, db.engine.connect() as second:
        for each in (first, second):
            each.exec_driver_sql("SELECT 1")
        first.rollback()
        first.exec_driver_sql("SET TRANSACTION READ WRITE")
        first.exec_driver_sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        first.commit()


def test_run_leaves_the_connections_to_a_demoted_primary(new_database: Callable[..., str]) -> None:
    def beat(uow: UnitOfWork) -> None:
        uow.add(Beat(id=1))

    with Database(new_database()) as db:
        db.create_all(Own)
        _demote(db)
        with pytest.raises(ReadOnlyServer):
            db.using(retry=Retry.never()).run(beat)
        db.run(beat)
        assert db.all(select(Beat.id)) == [1]


def _pids(db: Database) -> set[int]:
    """Return the sessions of three connections that are out at once."""
    with db.engine.connect() as first, db.engine.connect() as second, db.engine.connect() as third:
        return {each.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() for each in (first, second, third)}


def test_the_first_write_that_is_refused_ends_all_connections_that_are_older(new_database: Callable[..., str]) -> None:
    with Database(new_database()) as db:
        db.create_all(Own)
        before = _pids(db)
        with pytest.raises(ReadOnlyServer), db.begin() as uow:
            uow.session.execute(text("SET TRANSACTION READ ONLY"))
            uow.add(Beat(id=1))
        assert not _pids(db) & before


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_run_of_tasks_leaves_them_too(driver: str, new_database: Callable[..., str]) -> None:
    async def beat(uow: AsyncUnitOfWork, key: int) -> None:
        uow.add(Beat(id=key))

    async def main() -> None:
        url = make_url(new_database(driver=driver))
        async with AsyncDatabase(url) as db:
            await db.create_all(Own)
            async with db.engine.begin() as connection:
                await connection.exec_driver_sql(
                    f"ALTER DATABASE {url.database} SET default_transaction_read_only = on"
                )
            await db.engine.dispose()
            async with db.engine.connect() as connection:
                await connection.exec_driver_sql("SET TRANSACTION READ WRITE")
                await connection.exec_driver_sql(f"ALTER DATABASE {url.database} RESET default_transaction_read_only")
                await connection.commit()
            await asyncio.gather(*(db.run(beat, key) for key in range(5)))
            assert await db.count(select(Beat)) == 5

    asyncio.run(main())
