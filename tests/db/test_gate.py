"""Connections stay with their process and their event loop, and a sync database does not stop a loop unseen."""

from __future__ import annotations

import asyncio
import functools
import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, literal, select

from hermetic import AsyncDatabase, BlockedLoop, Database, Pool, UnitClosed, UnitOfWork, UnitShared, WrongLoop

ONE = select(literal(1))
PID = select(func.pg_backend_pid())
READS = 100
CHILDREN = 4

# fork


@contextmanager
def _load(db: Database) -> Iterator[list[str]]:
    """Read all the time on four threads; the list is of what was wrong."""
    wrong: list[str] = []
    end = threading.Event()
    all_read = threading.Barrier(5)

    def read(first: int) -> None:
        number = first
        try:
            with db.begin() as uow:  # so that each thread's connection is made before the fork
                uow.one(ONE)
                all_read.wait(60)
            while not end.is_set():
                number += 1
                if db.one(select(literal(number))) != number:
                    wrong.append(f"another answer than {number}")
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=read, args=(first * 10**6,)) for first in range(1, 5)]
    for thread in threads:
        thread.start()
    all_read.wait(60)
    try:
        yield wrong
    finally:
        end.set()
        for thread in threads:
            thread.join()


def _forked(body: Callable[[], None]) -> int:
    """Run the body in a child, and return its process; the child ends with 0 where nothing was raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that this process has threads is the point
        child = os.fork()
    if child == 0:
        status = 1
        signal.alarm(60)
        try:
            body()
            status = 0
        except BaseException as error:
            os.write(2, repr(error).encode())
        finally:
            os._exit(status)
    return child


def _status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _reads(db: Database, first: int) -> None:
    for number in range(first, first + READS):
        assert db.one(select(literal(number))) == number


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_in_the_middle_of_reads_gives_no_answer_to_the_wrong_process(new_database: Callable[..., str]) -> None:
    # on connections that are made: a fork while a thread logs in leaves the locks of OpenSSL held in the child for ever
    with Database(new_database(), pool=Pool.server(size=8)) as db, _load(db) as wrong:
        children = [_forked(functools.partial(_reads, db, -each * 1000)) for each in range(CHILDREN)]
        assert [_status(each) for each in children] == [0] * CHILDREN
    assert wrong == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("driver", ["psycopg", "pymysql", "sqlite"])
def test_parent_and_children_read_side_by_side_after_a_fork(
    driver: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}" if driver == "sqlite" else request.getfixturevalue("new_database")(driver)
    with Database(url, pool=Pool.server(size=1)) as db:
        _reads(db, 0)
        children = [_forked(functools.partial(_reads, db, -each * 1000)) for each in range(CHILDREN)]
        _reads(db, 1000)
        assert [_status(each) for each in children] == [0] * CHILDREN
        _reads(db, 2000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_the_sessions_of_a_child_are_not_those_of_its_parent(new_database: Callable[..., str]) -> None:
    with Database(new_database(), pool=Pool.server(size=1)) as db:
        own = db.one(PID)
        read, write = os.pipe()

        def child() -> None:
            os.write(write, f"{db.one(PID)} {db.one(PID)}".encode())

        assert _status(_forked(child)) == 0
        first, second = (int(each) for each in os.read(read, 100).split())
        assert first == second != own
        assert db.one(PID) == own


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_that_closes_the_database_leaves_the_connections_of_its_parent(
    new_database: Callable[..., str],
) -> None:
    with Database(new_database(), pool=Pool.server(size=1)) as db:
        own = db.one(PID)
        assert _status(_forked(db.close)) == 0
        assert db.one(PID) == own


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_a_unit_that_is_open_at_a_fork_stays_with_its_parent(driver: str, new_database: Callable[..., str]) -> None:
    with Database(new_database(driver), pool=Pool.server(size=1)) as db:
        kept = db.begin()
        uow = kept.__enter__()
        _ask(uow, 0)

        def child() -> None:
            with pytest.raises(UnitShared, match=r"process \d+, the child of a fork, used the unit .* of thread Main"):
                uow.one(ONE)
            with pytest.raises(UnitShared):
                kept.__exit__(None, None, None)  # nothing of it reaches the server
            with pytest.raises(UnitClosed):
                uow.one(ONE)
            _reads(db, 5000)
            gc.collect()

        running = _forked(child)
        _ask(uow, 100)
        assert _status(running) == 0
        _ask(uow, 200)
        kept.__exit__(None, None, None)
        assert db.one(ONE) == 1


def _ask(uow: UnitOfWork, first: int) -> None:
    for number in range(first, first + 100):
        assert uow.one(select(literal(number))) == number


# event loops


def test_a_second_event_loop_is_told_both_places(async_url: str) -> None:
    db = AsyncDatabase(async_url)

    async def first() -> None:
        await db.one(ONE)

    async def second() -> None:
        await db.one(ONE)

    with asyncio.Runner() as one, asyncio.Runner() as other:
        one.run(first())
        with pytest.raises(WrongLoop, match="which is another one") as refused:
            other.run(second())
        one.run(first())
        one.run(db.close())
    lines = Path(__file__).read_text().splitlines()
    for place, name in ((refused.value.first, "first"), (refused.value.caller, "second")):
        line = int(place.partition("test_gate.py:")[2].split()[0])
        assert "await db.one(ONE)" in lines[line - 1]
        assert place.endswith(f"in {name}")


TWICE = """
import asyncio
import sys
from sqlalchemy import literal, select
from hermetic import AsyncDatabase

db = AsyncDatabase(sys.argv[1])
asyncio.run(db.one(select(literal(1))))
asyncio.run(db.one(select(literal(1))))
"""


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "asyncmy"])
def test_a_program_that_runs_two_loops_with_one_database_ends_with_the_fix(
    driver: str, new_database: Callable[..., str], tmp_path: Path
) -> None:
    program = tmp_path / "app.py"
    program.write_text(TWICE)
    ended = subprocess.run([sys.executable, program, new_database(driver)], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "wrong-loop: an AsyncDatabase was used from a second event loop" in ended.stderr
    assert "which is closed" in ended.stderr
    assert "one asyncio.run(main())" in ended.stderr


def test_a_loop_on_another_thread_is_another_loop(new_database: Callable[..., str]) -> None:
    db = AsyncDatabase(new_database("asyncpg"))

    async def main() -> None:
        async with db:
            await db.one(ONE)

            def other() -> None:
                with pytest.raises(WrongLoop, match="which is another one"):
                    asyncio.run(db.one(ONE))

            await asyncio.to_thread(other)
            assert await db.one(ONE) == 1

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "asyncmy"])
def test_a_database_that_keeps_nothing_serves_one_loop_after_the_other(
    driver: str, new_database: Callable[..., str]
) -> None:
    db = AsyncDatabase(new_database(driver), pool=Pool.serverless())
    assert [asyncio.run(db.one(ONE)) for _ in range(3)] == [1, 1, 1]


def test_a_database_in_memory_is_the_same_in_every_loop() -> None:
    db = AsyncDatabase("sqlite:///:memory:")

    async def read() -> int | None:
        return await db.one(ONE)

    async def end() -> None:
        await db.close()

    assert [asyncio.run(read()) for _ in range(2)] == [1, 1]
    asyncio.run(end())


# a sync database on the thread of a loop


@pytest.fixture(params=["psycopg", "pymysql"])
def sync_db(request: pytest.FixtureRequest, new_database: Callable[..., str]) -> Iterator[Database]:
    with Database(new_database(request.param)) as db:
        yield db


def test_a_sync_verb_on_the_thread_of_a_loop_is_warned_of_once_for_each_line(sync_db: Database) -> None:
    async def route() -> None:
        for _ in range(3):
            assert sync_db.one(ONE) == 1
        assert sync_db.one(ONE) == 1

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("default")
        asyncio.run(route())
    assert [(type(each.message), each.filename) for each in warned] == [(BlockedLoop, __file__)] * 2
    assert "in route" in str(warned[0].message)


def test_the_warning_can_be_made_an_error(sync_db: Database) -> None:
    async def route() -> None:
        sync_db.one(ONE)

    with warnings.catch_warnings():
        warnings.simplefilter("error", BlockedLoop)
        with pytest.raises(BlockedLoop, match="every other task of the loop waits"):
            asyncio.run(route())


def test_a_sync_verb_on_a_thread_beside_the_loop_is_right(sync_db: Database) -> None:
    async def route() -> int | None:
        return await asyncio.to_thread(sync_db.one, ONE)

    assert asyncio.run(route()) == 1


def test_sqlite_answers_in_the_process_and_is_not_warned_of(sqlite_url: str) -> None:
    with Database(sqlite_url) as db:

        async def route() -> int | None:
            return db.one(ONE)

        assert asyncio.run(route()) == 1


def test_a_notebook_whose_own_loop_waits_for_nobody_is_not_warned(
    sync_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", asyncio)

    async def cell() -> int | None:
        return sync_db.one(ONE)

    assert asyncio.run(cell()) == 1
