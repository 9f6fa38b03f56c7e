"""A pool that does not fit its server is refused at the first connection, with the numbers and the line to paste."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import literal, make_url, select, text

from hermetic import AsyncDatabase, Database, Pool, PoolError
from hermetic.testing import Server
from survival.bouncer import bouncer

ONE = select(literal(1))
WORKERS = 20
TRANSACTIONS = 10


@pytest.fixture
def bounced(new_database: Callable[..., str]) -> Iterator[Callable[[str], str]]:
    """The URL of a database behind PgBouncer in transaction mode, by driver."""
    with bouncer(new_database()) as url:
        yield lambda driver: make_url(url).set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False)


@pytest.fixture
def limited(server: Server, new_database: Callable[..., str]) -> str:
    """The URL of a database for a role that may have seven connections."""
    url = make_url(new_database())
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS seven")
        connection.execute("CREATE ROLE seven LOGIN PASSWORD 'seven' CONNECTION LIMIT 7")
    return url.set(username="seven", password="seven").render_as_string(hide_password=False)


# room on the server


def test_all_instances_of_a_pool_must_fit_into_max_connections(new_database: Callable[..., str]) -> None:
    with (
        Database(new_database(), pool=Pool.server(size=10, overflow=10, instances=16)) as db,
        pytest.raises(PoolError) as refused,
    ):
        db.one(ONE)
    (problem,) = refused.value.problems
    assert "16 x (10 + 10) = 320 connections; the server has 197 (max_connections 200 - 3 reserved)" in problem.what
    assert problem.fix.startswith("Pool.server(size=6, overflow=6, instances=16)\n")


def test_the_line_of_the_fix_is_accepted(new_database: Callable[..., str]) -> None:
    with Database(new_database(), pool=Pool.server(size=6, overflow=6, instances=16)) as db:
        assert db.one(ONE) == 1


def test_the_limit_of_a_role_counts_where_it_is_the_lowest(limited: str) -> None:
    with Database(limited, pool=Pool.server(size=4, overflow=4)) as db, pytest.raises(PoolError) as refused:
        db.check()
    (problem,) = refused.value.problems
    assert "the server has 7 (connection limit 7 of the role)" in problem.what
    assert "size=3, overflow=4" in problem.fix


@pytest.mark.parametrize("driver", ["pymysql", "asyncmy"])
def test_mariadb_is_asked_too(driver: str, new_database: Callable[..., str]) -> None:
    pool = Pool.server(size=1000, overflow=1000, instances=100)
    url = new_database(driver)

    async def main() -> None:
        async with AsyncDatabase(url, pool=pool) as db:
            await db.check()

    with pytest.raises(PoolError, match=r"100 x \(1000 \+ 1000\) = 200000 connections; the server has \d+ \(max_conn"):
        if driver == "asyncmy":
            asyncio.run(main())
        else:
            Database(url, pool=pool).check()


def test_the_server_is_asked_once_for_each_database_and_again_by_check(limited: str, server: Server) -> None:
    with Database(limited, pool=Pool.server(size=3, overflow=4)) as db:
        assert db.one(ONE) == 1
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER ROLE seven CONNECTION LIMIT 6")
        with db.begin() as first, db.begin() as second:
            assert (first.one(ONE), second.one(ONE)) == (1, 1)  # the second one is new, and fits no more
        with pytest.raises(PoolError, match="the server has 6"):
            db.check()


def test_while_a_pool_does_not_fit_no_connection_is_given(limited: str) -> None:
    with Database(limited, pool=Pool.server(size=8)) as db:
        for _ in range(2):
            with pytest.raises(PoolError):
                db.one(ONE)
        with pytest.raises(PoolError):
            db.check()


def test_sqlite_has_nothing_to_ask(sqlite_url: str) -> None:
    with Database(sqlite_url, pool=Pool.server(instances=1000)) as db, db.recorded() as statements:
        db.check()
        assert statements == []


# a pooler


@pytest.mark.parametrize("pool", [Pool.server(), Pool.serverless()], ids=["server", "serverless"])
def test_a_pooler_in_transaction_mode_is_told_and_the_preset_for_it(bounced: Callable[[str], str], pool: Pool) -> None:
    with Database(bounced("psycopg"), pool=pool) as db, pytest.raises(PoolError, match="behind a pooler") as refused:
        db.one(ONE)
    assert refused.value.problems[-1].fix == "pool=Pool.pgbouncer_transaction()"


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_pooler_in_transaction_mode_is_told_to_async_drivers(bounced: Callable[[str], str], driver: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(bounced(driver)) as db:
            await db.one(ONE)

    with pytest.raises(PoolError, match=r"pool=Pool\.pgbouncer_transaction\(\)"):
        asyncio.run(main())


def test_a_pooler_in_session_mode_is_like_the_server(new_database: Callable[..., str]) -> None:
    with bouncer(new_database(), "session") as url, Database(url, pool=Pool.server(size=1)) as db:
        assert db.one(ONE) == 1
        db.check()


def test_every_problem_is_in_one_error(bounced: Callable[[str], str]) -> None:
    with Database(bounced("psycopg"), pool=Pool.server(instances=100)) as db, pytest.raises(PoolError) as refused:
        db.check()
    assert len(refused.value.problems) == 2


# the preset for it


async def _work(db: AsyncDatabase, worker: int) -> int:
    wrong = 0
    for turn in range(TRANSACTIONS):
        number = worker * TRANSACTIONS + turn
        async with db.begin() as uow:
            for _ in range(3):
                wrong += number != await uow.session.scalar(select(literal(number)))
        wrong += number != await db.one(select(literal(number)))
    return wrong


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_behind_a_pooler_nothing_is_prepared_under_a_name(bounced: Callable[[str], str], driver: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(bounced(driver), pool=Pool.pgbouncer_transaction(size=WORKERS)) as db:
            wrong = await asyncio.gather(*(_work(db, worker) for worker in range(WORKERS)))
            assert sum(wrong) == 0
            for _ in range(8):  # on each session of the server
                assert await db.one(select(text("count(*)")).select_from(text("pg_prepared_statements"))) == 0

    asyncio.run(main())


def test_behind_a_pooler_the_sync_driver_prepares_nothing_under_a_name(bounced: Callable[[str], str]) -> None:
    with Database(bounced("psycopg"), pool=Pool.pgbouncer_transaction()) as db:
        for number in range(20):
            assert db.one(select(literal(number))) == number
        for _ in range(8):
            assert db.one(select(text("count(*)")).select_from(text("pg_prepared_statements"))) == 0


@pytest.mark.parametrize(
    ("driver", "setting"),
    [("psycopg", "prepare_threshold=5"), ("asyncpg", "prepared_statement_cache_size=100")],
)
@pytest.mark.parametrize("pool", [Pool.pgbouncer_transaction(), Pool.lambda_proxy()], ids=["pgbouncer", "lambda"])
def test_a_url_that_asks_for_named_statements_behind_a_pooler_is_refused(driver: str, setting: str, pool: Pool) -> None:
    with pytest.raises(PoolError) as refused:
        AsyncDatabase(f"postgresql+{driver}://app:secret@db/app?{setting}", pool=pool)
    assert "secret" not in str(refused.value)
    assert refused.value.problems[0].where == f"{setting} in the URL"


def test_the_same_setting_is_fine_where_there_is_no_pooler() -> None:
    AsyncDatabase("postgresql+asyncpg://app@db/app?prepared_statement_cache_size=100")


def test_the_preset_of_a_proxy_keeps_few_connections_and_replaces_them_soon() -> None:
    assert Pool.lambda_proxy() == Pool(size=1, overflow=1, timeout=5, recycle=60, is_shared=True)


def test_a_pool_without_instances_is_refused() -> None:
    with pytest.raises(ValueError, match="instances=0 opens no pool"):
        Pool.server(instances=0)
