"""A full pool serves whoever has waited longest, and what a waiter no longer wants goes to the next."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from unittest.mock import patch

import pytest
from frozen import Freezer
from sqlalchemy import literal, select

from hermetic import AsyncDatabase, CannotConnect, Database, DeadlineExceeded, Pool, PoolExhausted, deadline
from hermetic.engine.queue import waiting

ONE = select(literal(1))
SMALL = Pool.server(size=1, overflow=0, timeout=15)


async def all_wait(db: AsyncDatabase, count: int) -> None:
    """Return once so many tasks wait for a connection; nothing tells of it."""
    while waiting(db.engine.pool) < count:  # noqa: ASYNC110
        await asyncio.sleep(0)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "asyncmy", "aiosqlite"])
def test_a_task_that_waits_is_served_before_one_that_comes_back(
    driver: str, new_database: Callable[..., str], sqlite_url: str
) -> None:
    order: list[str] = []

    async def read(db: AsyncDatabase, name: str, times: int) -> None:
        for _ in range(times):
            await db.all(ONE)
            order.append(name)

    async def main() -> None:
        url = sqlite_url if driver == "aiosqlite" else new_database(driver=driver)
        async with AsyncDatabase(url, pool=SMALL) as db:
            for _ in range(3):
                await db.all(ONE)
            async with db.begin() as uow:
                await uow.one(ONE)
                tasks = [asyncio.create_task(read(db, name, 50)) for name in ("first", "second", "third")]
                await all_wait(db, 3)
            await asyncio.gather(*tasks)

    asyncio.run(main())
    assert order == ["first", "second", "third"] * 50


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_a_thread_that_waits_is_served_before_one_that_comes_back(
    driver: str, new_database: Callable[..., str]
) -> None:
    order: list[str] = []

    with Database(new_database(driver=driver), pool=SMALL) as db:

        def read(name: str) -> None:
            for _ in range(20):
                with db.begin() as uow:
                    uow.one(ONE)
                    while waiting(db.engine.pool) < 1 and len(order) < 38:
                        time.sleep(0)  # the other one waits again
                    order.append(name)

        threads = [threading.Thread(target=read, args=(name,)) for name in ("first", "second")]
        with db.begin() as uow:
            uow.one(ONE)
            for count, thread in enumerate(threads, 1):
                thread.start()
                while waiting(db.engine.pool) < count:
                    time.sleep(0)
        for thread in threads:
            thread.join()
    assert order[:38] == ["first", "second"] * 19


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_connection_that_a_cancelled_task_was_handed_goes_to_the_next(
    driver: str, new_database: Callable[..., str]
) -> None:
    async def main() -> None:
        async with AsyncDatabase(new_database(driver=driver), pool=SMALL) as db:
            for _ in range(5):
                async with db.begin() as uow:
                    await uow.one(ONE)
                    tasks = [asyncio.create_task(db.all(ONE)) for _ in range(3)]
                    await all_wait(db, 3)
                tasks[0].cancel()  # handed over, and not running yet
                assert await asyncio.gather(*tasks[1:]) == [[1], [1]]
                assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_task_that_waits_is_called_when_another_could_not_connect(
    driver: str, new_database: Callable[..., str]
) -> None:
    async def main() -> None:
        pool = Pool.server(size=1, overflow=0, timeout=15, connect_timeout=0.3)
        with Freezer(new_database(driver=driver)) as proxy:
            async with AsyncDatabase(proxy.url, pool=pool) as db:
                proxy.freeze()
                first = asyncio.create_task(db.all(ONE))
                await asyncio.sleep(0)
                others = [asyncio.create_task(db.all(ONE)) for _ in range(3)]
                await all_wait(db, 3)
                with pytest.raises(CannotConnect):
                    await first
                proxy.thaw()
                async with asyncio.timeout(8):
                    found = await asyncio.gather(*others, return_exceptions=True)
                assert found.count([1]) >= 2  # the one that was called may have met the frozen server too

    asyncio.run(main())


def test_a_thread_that_waits_is_called_when_another_could_not_connect(new_database: Callable[..., str]) -> None:
    found: list[object] = []
    pool = Pool.server(size=1, overflow=0, timeout=15, connect_timeout=0.3)
    with Freezer(new_database()) as proxy, Database(proxy.url, pool=pool) as db:

        def ask() -> None:
            try:
                found.append(db.all(ONE))
            except CannotConnect:
                found.append("none")

        proxy.freeze()
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        while not found:
            time.sleep(0.005)
        proxy.thaw()
        for thread in threads:
            thread.join(8)
        assert found[0] == "none" and found.count([1]) >= 2


def test_a_thread_that_gives_up_takes_nothing_with_it(new_database: Callable[..., str]) -> None:
    with Database(new_database(), pool=Pool.server(size=1, overflow=0, timeout=0.1)) as db:
        with db.begin() as uow:
            uow.one(ONE)
            failed: list[type[BaseException]] = []

            def ask(seconds: float) -> None:
                try:
                    with deadline(seconds):
                        db.all(ONE)
                except (PoolExhausted, DeadlineExceeded) as error:
                    failed.append(type(error))

            for seconds in (5.0, 0.05):
                thread = threading.Thread(target=ask, args=(seconds,))
                thread.start()
                thread.join()
            assert failed == [PoolExhausted, DeadlineExceeded]
        assert db.all(ONE) == [1]


def test_a_clock_that_is_set_back_makes_no_thread_wait_longer(new_database: Callable[..., str]) -> None:
    with Database(new_database(), pool=Pool.server(size=1, overflow=0, timeout=0.3)) as db, db.begin() as uow:
        uow.one(ONE)
        failed: list[float] = []

        def ask() -> None:
            begun = time.monotonic()
            with pytest.raises(PoolExhausted):
                db.all(ONE)
            failed.append(time.monotonic() - begun)

        thread = threading.Thread(target=ask)
        thread.start()
        while not waiting(db.engine.pool):
            time.sleep(0)
        now = time.time
        with (
            patch("time.time", lambda: now() - 3600),
            patch("sqlalchemy.util.queue._time", lambda: now() - 3600, create=True),
        ):
            thread.join(10)
        assert failed and failed[0] < 5
