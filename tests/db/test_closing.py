"""`close()` hands out nothing any more, waits for what is out, and leaves no connection open."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import event, literal, select

from hermetic import AsyncDatabase, ConnectionsLeft, Database, DatabaseClosed, Pool
from hermetic.web.fastapi import lifespan

ONE = select(literal(1))


@pytest.fixture(params=["psycopg", "pymysql", "sqlite"])
def sync_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return str(request.getfixturevalue("new_database")(driver=request.param))


def open_now(engine: Any) -> Callable[[], int]:
    """Return what counts the connections of an engine that are open."""
    counted = {"connect": 0, "close": 0}
    for name in counted:
        event.listen(engine, name, lambda *_, name=name: counted.update({name: counted[name] + 1}))
    return lambda: counted["connect"] - counted["close"]


class Unit(threading.Thread):
    """A thread in a unit of work, until it is let go."""

    def __init__(self, db: Database) -> None:
        super().__init__(name="unit")
        self.db = db
        self.has_begun = threading.Event()
        self.go = threading.Event()
        self.found = 0

    def run(self) -> None:
        with self.db.begin() as uow:
            uow.one(ONE)
            self.has_begun.set()
            self.go.wait(60)
            self.found = uow.one(ONE)


def test_close_waits_for_what_is_out_and_lets_it_end(sync_url: str) -> None:
    db = Database(sync_url)
    open_count = open_now(db.engine)
    unit = Unit(db)
    unit.start()
    assert unit.has_begun.wait(60)
    closing = threading.Thread(target=db.close)
    closing.start()
    with pytest.raises(DatabaseClosed):
        while True:  # until the other thread has come to it
            db.one(ONE)
    assert closing.is_alive()
    unit.go.set()
    closing.join(60)
    unit.join(60)
    assert (unit.found, open_count()) == (1, 0)


def test_a_closed_database_says_where_it_was_closed(sync_url: str) -> None:
    db = Database(sync_url)
    db.one(ONE)
    db.close()
    for verb in (lambda: db.one(ONE), lambda: db.run(lambda uow: uow.one(ONE)), db.check):
        with pytest.raises(DatabaseClosed, match=r"close\(\) was called at .*test_closing\.py:\d+ in test_a_closed"):
            verb()


def test_what_does_not_come_back_in_time_is_told_and_closed_when_it_does(sync_url: str) -> None:
    db = Database(sync_url)
    open_count = open_now(db.engine)
    unit = Unit(db)
    unit.start()
    assert unit.has_begun.wait(60)
    begun = time.monotonic()
    with pytest.warns(ConnectionsLeft, match=r"thread unit for .*now at .*test_closing\.py:\d+ in run"):
        db.close(timeout=0.2)
    assert 0.2 <= time.monotonic() - begun < 5
    unit.go.set()
    unit.join(60)
    assert (unit.found, open_count()) == (1, 0)


def test_close_does_not_wait_for_its_own_thread(sync_url: str) -> None:
    db = Database(sync_url)
    with db.begin() as uow:
        uow.one(ONE)
        begun = time.monotonic()
        with pytest.warns(ConnectionsLeft):
            db.close(timeout=60)
        assert time.monotonic() - begun < 30


def test_closing_twice_is_closing_once(sync_url: str) -> None:
    db = Database(sync_url)
    db.one(ONE)
    db.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        db.close()


# the same in tasks


async def _unit(db: AsyncDatabase, has_begun: asyncio.Event, go: asyncio.Event) -> int | None:
    async with db.begin() as uow:
        await uow.one(ONE)
        has_begun.set()
        await go.wait()
        return await uow.one(ONE)


@pytest.mark.parametrize("pool", [Pool.server(), Pool.serverless()], ids=["server", "serverless"])
def test_close_waits_for_the_tasks_that_have_connections(async_url: str, pool: Pool) -> None:
    async def main() -> None:
        db = AsyncDatabase(async_url, pool=pool)
        open_count = open_now(db.engine.sync_engine)
        has_begun, go = asyncio.Event(), asyncio.Event()
        unit = asyncio.create_task(_unit(db, has_begun, go))
        await has_begun.wait()
        closing = asyncio.create_task(db.close())
        await asyncio.sleep(0)
        with pytest.raises(DatabaseClosed):
            await db.one(ONE)
        assert not closing.done()
        go.set()
        await closing
        assert (await unit, open_count()) == (1, 0)

    asyncio.run(main())


def test_what_a_task_does_not_give_back_in_time_is_closed_when_it_does(async_url: str) -> None:
    async def main() -> None:
        db = AsyncDatabase(async_url)
        open_count = open_now(db.engine.sync_engine)
        has_begun, go = asyncio.Event(), asyncio.Event()
        unit = asyncio.create_task(_unit(db, has_begun, go), name="report")
        await has_begun.wait()
        with pytest.warns(ConnectionsLeft, match=r"task report for .*test_closing\.py:\d+ in _unit"):
            await db.close(timeout=0.05)
        go.set()
        assert (await unit, open_count()) == (1, 0)

    asyncio.run(main())


def test_the_lifespan_of_an_application_lets_units_end(new_database: Callable[..., str]) -> None:
    async def main() -> None:
        db, sync_db = AsyncDatabase(new_database("asyncpg")), Database(new_database())
        has_begun, go = asyncio.Event(), asyncio.Event()
        async with lifespan(db, sync_db)(FastAPI()):
            unit = asyncio.create_task(_unit(db, has_begun, go))
            await has_begun.wait()
            asyncio.get_running_loop().call_later(0.05, go.set)
        assert unit.done() and await unit == 1
        with pytest.raises(DatabaseClosed):
            await asyncio.to_thread(sync_db.one, ONE)

    asyncio.run(main())
