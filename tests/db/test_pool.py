"""An exhausted pool says who has its connections and since when, and who would wait for ever is told at once."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, exc, literal, select

from hermetic import AsyncDatabase, Database, Pool, PoolExhausted

LINES = Path(__file__).read_text().splitlines()
ONE = select(literal(1))
SYNC = ("psycopg", "pymysql", "sqlite")
ASYNC = ("psycopg", "asyncpg", "asyncmy", "aiosqlite")


@pytest.fixture(params=SYNC)
def sync_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return str(request.getfixturevalue("new_database")(driver=request.param))


def taken(db: Any, stack: Any, number: int = 1) -> None:
    for _ in range(number):
        stack.enter_context(db.begin()).one(ONE)


async def async_taken(db: Any, stack: AsyncExitStack, number: int = 1) -> None:
    for _ in range(number):
        uow = await stack.enter_async_context(db.begin())
        await uow.one(ONE)


class Holding:
    """A thread that keeps one connection until it is told to end."""

    def __init__(self, db: Database, name: str) -> None:
        self._db = db
        self._has_one = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=name)

    def _keep(self) -> None:
        with self._db.begin() as uow:
            uow.one(ONE)
            self._has_one.set()
            self._end.wait(60)

    def __enter__(self) -> Holding:
        self._thread.start()
        assert self._has_one.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._thread.join()

    def end(self) -> None:
        self._end.set()


# who holds what


def test_an_exhausted_pool_lists_its_holders_longest_first(sync_url: str) -> None:
    with Database(sync_url, pool=Pool.server(size=1, overflow=1, timeout=0.05)) as db:
        with Holding(db, "report"), Holding(db, "mail"), pytest.raises(PoolExhausted) as refused:
            db.one(ONE)
        first, second = refused.value.holders
        assert (first.user, second.user) == ("thread report", "thread mail")
        assert first.seconds >= second.seconds >= 0
        text = str(refused.value)
        assert text.index("thread report") < text.index("thread mail")
        assert "no connection came back within 0.05 s: all 2 are out" in text
        assert refused.value.__cause__ is not None


def test_a_holder_is_told_by_the_line_that_took_the_connection_and_the_line_it_is_at(sync_url: str) -> None:
    with Database(sync_url, pool=Pool.server(size=1, overflow=0, timeout=0.05)) as db:
        with Holding(db, "report"), pytest.raises(PoolExhausted) as refused:
            db.one(ONE)
    (holder,) = refused.value.holders
    took, now = (int(line) for line in re.findall(r"test_pool\.py:(\d+) in _keep", holder.place))
    assert "uow.one(ONE)" in LINES[took - 1]
    assert "self._end.wait" in LINES[now - 1]


def test_a_quiet_pool_does_not_look_for_lines_and_still_knows_where_its_holders_are(sync_url: str) -> None:
    with Database(sync_url, pool=Pool.server(size=1, overflow=1, timeout=0.05)) as db:
        with Holding(db, "first"), Holding(db, "second"), pytest.raises(PoolExhausted) as refused:
            db.one(ONE)
    first, second = sorted(refused.value.holders, key=lambda each: each.user)
    assert "taken at" not in first.place and "now at" in first.place
    assert "taken at" in second.place and "now at" in second.place


def test_a_leaked_connection_names_the_thread_that_has_ended(sync_url: str) -> None:
    kept: list[Any] = []
    with Database(sync_url, pool=Pool.server(size=1, overflow=0, timeout=0.05)) as db:
        leaking = threading.Thread(target=lambda: kept.append(db.engine.connect()), name="leak")
        leaking.start()
        leaking.join()
        with pytest.raises(PoolExhausted, match=r"thread leak for .*taken at .*test_pool\.py:\d+ in .*, and has ended"):
            db.one(ONE)
        kept[0].close()
        assert db.one(ONE) == 1


def test_what_a_pool_remembers_ends_with_the_checkout(sync_url: str) -> None:
    with Database(sync_url, pool=Pool.server(size=1, overflow=0, timeout=0.05)) as db:
        with Holding(db, "report"):
            pass
        db.one(ONE)
        with db.engine.connect() as connection:
            connection.detach()
            assert db.one(ONE) == 1


def test_an_exhausted_pool_serves_whoever_waited_when_a_connection_comes_back(sync_url: str) -> None:
    with Database(sync_url, pool=Pool.server(size=1, overflow=0, timeout=60)) as db, Holding(db, "report") as holding:
        found: list[int] = []
        waiting = threading.Thread(target=lambda: found.append(db.one(ONE)))
        waiting.start()
        holding.end()
        waiting.join(60)
        assert found == [1]


# who would wait for ever


def test_a_thread_that_holds_the_only_connection_is_told_at_once(sync_url: str) -> None:
    with Database(sync_url, pool=Pool.server(size=1, overflow=0, timeout=170)) as db, ExitStack() as stack:
        taken(db, stack)
        with pytest.raises(
            PoolExhausted, match=r"the only one is out, and whoever holds one waits for another"
        ) as told:
            db.one(ONE)
        assert told.value.is_deadlock
        assert "read on the unit" in str(told.value)


def test_threads_that_hold_one_each_and_ask_for_another_do_not_wait_for_each_other_for_ever(sync_url: str) -> None:
    meeting = threading.Barrier(2)
    told: list[PoolExhausted] = []
    found: list[int] = []

    def nested() -> None:
        try:
            with db.begin() as uow:
                uow.one(ONE)
                meeting.wait(60)
                found.append(db.one(ONE))
        except PoolExhausted as error:
            told.append(error)

    with Database(sync_url, pool=Pool.server(size=2, overflow=0, timeout=170)) as db:
        threads = [threading.Thread(target=nested) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [error.is_deadlock for error in told] == [True]
    assert found == [1]  # the one that was told gave its connection to the other


def test_a_nested_checkout_waits_where_somebody_else_can_give_one_back(sync_url: str) -> None:
    with Database(sync_url, pool=Pool.server(size=2, overflow=0, timeout=60)) as db, Holding(db, "other") as other:
        asked = threading.Event()

        class Asking(threading.Thread):
            def run(self) -> None:
                with db.begin() as uow:
                    uow.one(ONE)
                    asked.set()
                    self.found = db.one(ONE)

        nested = Asking()
        nested.start()
        assert asked.wait(60)
        other.end()
        nested.join()
        assert nested.found == 1


def test_a_database_in_memory_has_one_connection_and_says_so() -> None:
    with Database("sqlite:///:memory:") as db, ExitStack() as stack:
        taken(db, stack)
        with pytest.raises(PoolExhausted, match="the only one is out"):
            db.one(ONE)


# the same in tasks


def _run(url: str, pool: Pool, body: Callable[[AsyncDatabase], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with AsyncDatabase(url, pool=pool) as db:
            await body(db)

    asyncio.run(main())


async def _keep(db: AsyncDatabase, has_one: asyncio.Event, end: asyncio.Event) -> None:
    async with db.begin() as uow:
        await uow.one(ONE)
        has_one.set()
        await end.wait()


def test_a_task_is_told_by_its_name_and_by_the_lines_that_took_the_connection_and_wait(async_url: str) -> None:
    async def body(db: AsyncDatabase) -> None:
        has_one, end = asyncio.Event(), asyncio.Event()
        holding = asyncio.create_task(_keep(db, has_one, end), name="confirm-7")
        await has_one.wait()
        with pytest.raises(PoolExhausted, match=r"task confirm-7 for \d+\.\d s") as refused:
            await db.one(ONE)
        end.set()
        await holding
        assert await db.one(ONE) == 1
        (holder,) = refused.value.holders
        took, now = (int(line) for line in re.findall(r"test_pool\.py:(\d+) in _keep", holder.place))
        assert "await uow.one(ONE)" in LINES[took - 1]
        assert "await end.wait()" in LINES[now - 1]

    _run(async_url, Pool.server(size=1, overflow=0, timeout=0.05), body)


def test_a_task_that_holds_all_connections_is_told_at_once(async_url: str) -> None:
    async def body(db: AsyncDatabase) -> None:
        async with AsyncExitStack() as stack:
            await async_taken(db, stack, 2)
            with pytest.raises(PoolExhausted, match="whoever holds one waits for another"):
                await db.one(ONE)

    _run(async_url, Pool.server(size=1, overflow=1, timeout=170), body)


def test_tasks_that_hold_one_each_and_ask_for_another_end(async_url: str) -> None:
    async def body(db: AsyncDatabase) -> None:
        meeting = asyncio.Barrier(3)

        async def nested() -> int:
            async with db.begin() as uow:
                await uow.one(ONE)
                await meeting.wait()
                return await db.one(ONE)

        ended = await asyncio.gather(*(nested() for _ in range(3)), return_exceptions=True)
        told = [each for each in ended if isinstance(each, PoolExhausted)]
        assert [each.is_deadlock for each in told] == [True]
        assert [each for each in ended if each not in told] == [1, 1]

    _run(async_url, Pool.server(size=3, overflow=0, timeout=170), body)


def test_a_waiter_that_was_cancelled_leaves_nothing_behind(async_url: str) -> None:
    async def body(db: AsyncDatabase) -> None:
        has_one, end = asyncio.Event(), asyncio.Event()
        holding = asyncio.create_task(_keep(db, has_one, end))
        await has_one.wait()
        waiting = [asyncio.create_task(db.one(ONE)) for _ in range(5)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        assert all(
            isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*waiting, return_exceptions=True)
        )
        end.set()
        await holding
        pool: Any = db.engine.sync_engine.pool
        assert (pool.checkedout(), await db.one(ONE)) == (0, 1)

    _run(async_url, Pool.server(size=1, overflow=0, timeout=60), body)


def test_a_connection_that_cannot_be_made_is_not_waited_for(sync_url: str) -> None:
    with Database(sync_url, pool=Pool.server(size=1, overflow=0, timeout=60)) as db:
        fail = [True]

        def refuse(*_: Any) -> None:
            if fail.pop():
                raise exc.OperationalError("connect", None, Exception("the server is away"))

        event.listen(db.engine, "checkout", refuse)
        with pytest.raises(exc.OperationalError):
            db.one(ONE)
        fail.append(False)
        assert db.one(ONE) == 1
