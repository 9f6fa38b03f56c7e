"""Deadlines hold: whatever a call waits for, on every driver, and nothing else is harmed by the cut."""

from __future__ import annotations

import asyncio
import contextvars
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from frozen import Freezer
from sqlalchemy import event, func, insert, literal, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from hermetic import (
    AsyncDatabase,
    CannotConnect,
    Database,
    DeadlineExceeded,
    Pool,
    UnitOfWork,
    deadline,
)
from hermetic.engine import remaining
from hermetic.engine.queue import waiting
from hermetic.testing import Server
from shop import Address, AddressLine, User, UserCard

SECONDS = 1.0
USERS = select(User).order_by(User.id).limit(2)
ADDRESSES = select(Address).order_by(Address.id)
LARGE = "x" * 12 * 2**20  # more than the buffers of all sockets on the way, and less than MariaDB takes in one packet

WAITS = {
    "read": "a statement",
    "value": "a statement",
    "unit": "a statement",
    "write": "a statement",
    "commit": "COMMIT",
    "savepoint": "a statement",
    "rollback": "ROLLBACK",
    "ping": "a sign of life",
    "connect": "connected to the server",
    "pool": "a connection of the pool",
    "stream": "a statement",
}


@contextmanager
def in_time(phase: str, seconds: float = SECONDS) -> Iterator[None]:
    """Expect a deadline to end the block within a tenth of it, and to say in which phase."""
    begun = time.monotonic()
    with pytest.raises(DeadlineExceeded) as raised:
        yield
    took = time.monotonic() - begun
    assert seconds - 0.01 <= took <= 1.1 * seconds + 0.5, f"{took:.3f} s"  # and a half second for a busy machine
    assert phase in raised.value.phase, raised.value.phase


def _pool(wait: str) -> Pool:
    size = 1 if wait == "pool" else 2
    return Pool.server(size=size, overflow=0, ping_idle=0 if wait == "ping" else 3600)


@pytest.fixture(params=["psycopg", "pymysql"])
def sync_proxy(request: pytest.FixtureRequest, new_database: Callable[..., str]) -> Iterator[Freezer]:
    with Freezer(new_database(driver=request.param)) as proxy:
        yield proxy


@pytest.fixture(params=["psycopg", "asyncpg", "asyncmy"])
def async_proxy(request: pytest.FixtureRequest, new_database: Callable[..., str]) -> Iterator[Freezer]:
    with Freezer(new_database(driver=request.param)) as proxy:
        yield proxy


def _is_mariadb(proxy: Freezer) -> bool:
    return proxy.url.get_backend_name() == "mariadb"


# a peer that acknowledges all and answers nothing


@pytest.mark.parametrize("wait", WAITS)
def test_a_deadline_ends_every_wait(wait: str, sync_proxy: Freezer) -> None:
    with Database(sync_proxy.url, pool=_pool(wait)) as db:
        db.create_all(User)
        for _ in range(2):  # the first read learns the types, the second goes to the driver
            db.all(UserCard, USERS)
        _wait(db, sync_proxy, wait)
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        sync_proxy.thaw()
        assert db.all(UserCard, USERS) == []
        with db.begin() as uow:
            assert uow.count(USERS) == 0


@contextmanager
def _held(db: Database) -> Iterator[None]:
    """Let another thread hold a connection."""
    taken, over = threading.Event(), threading.Event()

    def hold() -> None:
        with db.begin() as uow:
            uow.one(select(literal(1)))
            taken.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


@asynccontextmanager
async def _held_by_a_task(db: AsyncDatabase) -> AsyncIterator[None]:
    taken, over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with db.begin() as uow:
            await uow.one(select(literal(1)))
            taken.set()
            await over.wait()

    task = asyncio.create_task(hold())
    await taken.wait()
    try:
        yield
    finally:
        over.set()
        await task


def _wait(db: Database, proxy: Freezer, wait: str) -> None:
    if wait == "connect":
        db.engine.dispose()
    if wait == "pool":
        with _held(db), in_time(WAITS[wait]), deadline(SECONDS):
            db.all(UserCard, USERS)
        return
    if wait in ("unit", "write", "commit", "rollback", "savepoint"):
        with in_time(WAITS[wait]), deadline(SECONDS), db.begin() as uow:
            if wait != "unit":
                uow.count(USERS)
            proxy.freeze()
            if wait in ("unit", "write"):
                uow.count(USERS if wait == "unit" else USERS.where(User.name == LARGE))
            if wait == "savepoint":
                with uow.savepoint():
                    uow.count(USERS)
            if wait == "rollback":
                raise ZeroDivisionError
        return
    proxy.freeze()
    with in_time(WAITS[wait]), deadline(SECONDS):
        if wait == "value":
            db.count(USERS)
        elif wait == "stream" and not _is_mariadb(proxy):
            list(db.stream(UserCard, USERS))
        elif wait == "stream":
            list(db.stream(AddressLine, ADDRESSES))
        else:
            db.all(UserCard, USERS)


@pytest.mark.parametrize("wait", WAITS)
def test_a_deadline_ends_every_wait_of_a_task(wait: str, async_proxy: Freezer) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_proxy.url, pool=_pool(wait)) as db:
            await db.create_all(User)
            for _ in range(2):
                await db.all(UserCard, USERS)
            await _wait_async(db, async_proxy, wait)
            assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
            async_proxy.thaw()
            assert await db.all(UserCard, USERS) == []
            async with db.begin() as uow:
                assert await uow.count(USERS) == 0

    asyncio.run(main())


async def _wait_async(db: AsyncDatabase, proxy: Freezer, wait: str) -> None:
    if wait == "connect":
        await db.engine.dispose()
    if wait == "pool":
        async with _held_by_a_task(db):
            with in_time(WAITS[wait]), deadline(SECONDS):
                await db.all(UserCard, USERS)
        return
    if wait in ("unit", "write", "commit", "rollback", "savepoint"):
        with in_time(WAITS[wait]), deadline(SECONDS):
            async with db.begin() as uow:
                if wait != "unit":
                    await uow.count(USERS)
                proxy.freeze()
                if wait in ("unit", "write"):
                    await uow.count(USERS if wait == "unit" else USERS.where(User.name == LARGE))
                if wait == "savepoint":
                    async with uow.savepoint():
                        await uow.count(USERS)
                if wait == "rollback":
                    raise ZeroDivisionError
        return
    proxy.freeze()
    with in_time(WAITS[wait]), deadline(SECONDS):
        if wait == "value":
            await db.count(USERS)
        elif wait == "stream" and not _is_mariadb(proxy):
            [each async for each in db.stream(UserCard, USERS)]
        elif wait == "stream":
            [each async for each in db.stream(AddressLine, ADDRESSES)]
        else:
            await db.all(UserCard, USERS)


def test_a_batch_of_a_stream_that_stands_still_is_cut(new_database: Callable[..., str]) -> None:
    with Freezer(new_database()) as proxy, Database(proxy.url, deadline=SECONDS) as db:
        db.create_all(User)
        with db.engine.begin() as connection:
            connection.execute(insert(User), [{"id": 1, "name": "a"}])
            connection.execute(insert(Address), [{"id": n, "email_address": "x", "user_id": 1} for n in range(500)])
        with closing(db.stream(AddressLine, ADDRESSES)) as lines:
            for number, _ in enumerate(lines):
                if number == 10:
                    time.sleep(1.2 * SECONDS)  # what the application takes is not counted
                    break
            proxy.freeze()
            with in_time("a statement"):
                list(lines)


# black holes


@contextmanager
def _black_hole() -> Iterator[int]:
    """Yield the port of a listener whose queue is full: the system answers no further attempt to connect."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, socket.socket() as taker:
        port = listener.getsockname()[1]
        taker.connect(("127.0.0.1", port))
        yield port


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "mariadb+pymysql"])
def test_a_black_hole_ends_at_the_deadline(driver: str) -> None:
    with _black_hole() as port, Database(f"{driver}://u:p@127.0.0.1:{port}/x") as db:
        with in_time("connected to the server"), deadline(SECONDS):
            db.all(UserCard, USERS)


@pytest.mark.parametrize("driver", ["postgresql+psycopg", "postgresql+asyncpg", "mariadb+asyncmy"])
def test_a_black_hole_ends_at_the_deadline_of_a_task(driver: str) -> None:
    async def main(port: int) -> None:
        async with AsyncDatabase(f"{driver}://u:p@127.0.0.1:{port}/x") as db:
            with in_time("connected to the server"), deadline(SECONDS):
                await db.all(UserCard, USERS)

    with _black_hole() as port:
        asyncio.run(main(port))


def test_without_a_deadline_a_connection_that_is_never_made_ends_at_its_timeout(sync_proxy: Freezer) -> None:
    sync_proxy.freeze()
    begun = time.monotonic()
    with Database(sync_proxy.url, pool=Pool.server(connect_timeout=0.5)) as db, pytest.raises(CannotConnect):
        db.count(USERS)
    assert time.monotonic() - begun < 1


def test_a_task_ends_at_the_timeout_of_its_connection_too(async_proxy: Freezer) -> None:
    async def main() -> None:
        begun = time.monotonic()
        async with AsyncDatabase(async_proxy.url, pool=Pool.server(connect_timeout=0.5)) as db:
            with pytest.raises(CannotConnect):
                await db.count(USERS)
        assert time.monotonic() - begun < 1

    async_proxy.freeze()
    asyncio.run(main())


def test_a_connection_that_was_made_too_late_is_closed(server: Server, new_database: Callable[..., str]) -> None:
    with Freezer(new_database()) as proxy:
        proxy.freeze()
        with Database(proxy.url, pool=Pool.server(connect_timeout=0.3)) as db:
            with pytest.raises(CannotConnect):
                db.count(USERS)
            proxy.thaw()
            _until(lambda: not [each for each in threading.enumerate() if each.name == "hermetic-connect"])
        _until(lambda: _sessions(server, proxy) == 0)


def _sessions(server: Server, proxy: Freezer) -> int:
    with psycopg.connect(server.url) as connection:
        found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [proxy.url.database])
        row = found.fetchone()
        assert row is not None
        return int(row[0])


def _until(claim: Callable[[], bool]) -> None:
    limit = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < limit
        time.sleep(0.01)


# the check of an idle connection


def test_an_idle_connection_that_gives_no_sign_of_life_is_replaced_in_silence(sync_proxy: Freezer) -> None:
    with Database(sync_proxy.url, pool=Pool.server(ping_idle=0)) as db:
        db.create_all(User)
        db.count(USERS)
        sync_proxy.freeze_open()
        begun = time.monotonic()
        assert db.count(USERS) == 0
        assert 1.9 < time.monotonic() - begun < 2.5


def test_a_task_replaces_it_too(async_proxy: Freezer) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_proxy.url, pool=Pool.server(ping_idle=0)) as db:
            await db.create_all(User)
            await db.count(USERS)
            async_proxy.freeze_open()
            begun = time.monotonic()
            assert await db.count(USERS) == 0
            assert 1.9 < time.monotonic() - begun < 2.5

    asyncio.run(main())


def test_closing_waits_two_seconds_for_a_silent_server(async_proxy: Freezer) -> None:
    async def main() -> None:
        db = AsyncDatabase(async_proxy.url)
        await db.create_all(User)
        async with db.begin() as one, db.begin() as other:  # two connections, for which it waits together
            assert await one.count(USERS) == await other.count(USERS)
        async_proxy.freeze()
        begun = time.monotonic()
        await db.close()
        assert time.monotonic() - begun < 2.5

    asyncio.run(main())


# which deadline holds


def test_the_deadline_of_the_database_is_that_of_each_call(new_database: Callable[..., str]) -> None:
    def transfer(uow: UnitOfWork) -> int:
        return uow.count(USERS)

    def cut(call: Callable[[], object], name: str) -> None:
        proxy.freeze()
        with pytest.raises(DeadlineExceeded) as raised:
            call()
        proxy.thaw()
        assert (name in raised.value.call, raised.value.seconds) == (True, 0.3), raised.value.call

    with Freezer(new_database()) as proxy, Database(proxy.url, deadline=0.3) as db:
        db.create_all(User)
        for _ in range(2):
            db.all(UserCard, USERS)
            assert db.run(transfer) == 0
        cut(lambda: db.all(UserCard, USERS), "the read of UserCard")
        cut(lambda: db.count(USERS), "count")
        cut(lambda: db.page(UserCard, select(User), total="exact"), "page")
        cut(lambda: db.run(transfer), "the use case")
        with pytest.raises(DeadlineExceeded, match=r"the unit of work begun at .*test_deadline.py:\d+"):
            with db.begin() as uow:
                uow.count(USERS)
                time.sleep(0.4)
                uow.count(USERS)


def test_the_earlier_of_two_deadlines_holds(new_database: Callable[..., str]) -> None:
    with Freezer(new_database()) as proxy, Database(proxy.url, deadline=0.4) as db:
        db.create_all(User)
        db.count(USERS)
        proxy.freeze()
        with in_time("a statement", 0.4), deadline(30):
            db.count(USERS)
        proxy.thaw()
        with Database(proxy.url, deadline=30) as patient:
            patient.count(USERS)
            proxy.freeze()
            with in_time("a statement", 0.4), deadline(0.4):
                patient.count(USERS)


def test_inside_a_unit_a_nearer_deadline_holds_for_its_block(new_database: Callable[..., str]) -> None:
    with Database(new_database(), deadline=30) as db:
        db.create_all(User)
        with db.begin() as uow:
            uow.count(USERS)
            with deadline(0.2):
                uow.count(USERS)
            time.sleep(0.3)
            assert uow.count(USERS) == 0
        with pytest.raises(DeadlineExceeded), db.begin() as uow:
            uow.count(USERS)
            with deadline(0.2):
                uow.one(select(func.pg_sleep(5)))


def test_remaining_tells_what_is_left() -> None:
    assert remaining() is None
    with deadline(5) as outer:
        with deadline(60):
            assert 4 < (remaining() or 0) <= 5
        assert outer.remaining <= 5
        with deadline(0.001):
            time.sleep(0.002)
            assert remaining() == 0
    assert remaining() is None


def test_blocks_that_end_out_of_order_leave_nothing_behind() -> None:
    first, second = deadline(5), deadline(6)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert remaining() is None


def test_a_task_started_inside_is_free_when_the_block_has_ended() -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def later() -> tuple[float | None, float | None]:
            before = remaining()
            await ended.wait()
            return before, remaining()

        with deadline(5):
            task = asyncio.create_task(later())
            await asyncio.sleep(0)
        ended.set()
        before, after = await task
        assert before is not None and after is None

    asyncio.run(main())


def test_a_unit_keeps_its_deadline_in_another_context(new_database: Callable[..., str]) -> None:
    with Freezer(new_database()) as proxy, Database(proxy.url, deadline=0.4) as db:
        db.create_all(User)
        db.count(USERS)
        uow = contextvars.copy_context().run(db.begin().__enter__)
        assert remaining() is None
        proxy.freeze()
        with in_time("a statement", 0.4):
            uow.count(USERS)
        with suppress(Exception):
            uow.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
        assert remaining() is None


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_deadline_that_has_passed_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="before anything begins"):
        deadline(seconds)
    with pytest.raises(ValueError, match="before it begins"):
        Database("sqlite://", deadline=seconds)


def test_it_is_caught_as_a_timeout_and_as_an_operational_error() -> None:
    assert issubclass(DeadlineExceeded, TimeoutError) and issubclass(DeadlineExceeded, OperationalError)


def test_a_call_after_the_deadline_sends_nothing(db: Database) -> None:
    db.create_all(User)
    db.count(USERS)
    with deadline(0.01), db.recorded() as sent:
        time.sleep(0.02)
        for _ in range(3):
            with pytest.raises(DeadlineExceeded):
                db.count(USERS)
    assert sent == []
    assert db.count(USERS) == 0


# nothing else is harmed


def test_calls_that_end_in_time_keep_their_connection(new_database: Callable[..., str]) -> None:
    with Database(new_database(), pool=Pool.server(size=1, overflow=0, ping_idle=3600)) as db:
        connected: list[object] = []
        event.listen(db.engine, "connect", lambda *made: connected.append(made))
        pid = select(func.pg_backend_pid())
        db.one(pid)  # to connect takes longer than that on a busy machine
        for _ in range(20):
            with deadline(0.05):
                db.one(pid)
            time.sleep(0.01)
        time.sleep(0.1)
        db.one(pid)
        assert len(connected) == 1


def test_calls_of_many_threads_are_cut_each_at_its_own_instant(new_database: Callable[..., str]) -> None:
    with Database(new_database(), pool=Pool.server(size=8, overflow=0)) as db:
        late: list[float] = []

        def work(number: int) -> None:
            for turn in range(8):
                seconds = 0.05 + 0.02 * ((number + turn) % 5)
                is_slow = (number + turn) % 2 == 0
                begun = time.monotonic()
                try:
                    with deadline(seconds):
                        db.one(select(func.pg_sleep(5.0 if is_slow else 0.0), literal(number)))
                    assert not is_slow
                except DeadlineExceeded:
                    late.append(time.monotonic() - begun - seconds)
                    assert late[-1] >= 0

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(late) >= 24 and max(late) < 0.5, late
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def test_only_one_thread_watches_and_only_once_there_is_a_deadline(sqlite_url: str) -> None:
    script = f"""
import threading
from hermetic import Base, Database, deadline
from sqlalchemy import literal, select
with Database({sqlite_url!r}) as db:
    db.one(select(literal(1)))
    before = threading.active_count()
    for _ in range(5):
        with deadline(60):
            db.one(select(literal(1)))
    print(before, threading.active_count())
"""
    assert _printed(script) == "1 2"


def test_the_child_of_a_fork_leaves_the_connections_of_its_parent_alone(new_database: Callable[..., str]) -> None:
    script = f"""
import os, time, warnings
from hermetic import Database, Pool, deadline
from sqlalchemy import func, literal, select
warnings.simplefilter("ignore")
url = {new_database()!r}
with Database(url, pool=Pool.server(size=1, overflow=0)) as db:
    with db.begin() as uow, deadline(0.5):
        uow.one(select(literal(1)))
        child = os.fork()
        if child == 0:
            with Database(url) as own, deadline(0.2):
                own.one(select(literal(1)))
                try:
                    own.one(select(func.pg_sleep(5)))
                except TimeoutError:
                    os._exit(7)
            os._exit(1)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), uow.one(select(literal(2))))
"""
    assert _printed(script) == "7 2"


def _printed(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_waiters_are_counted_and_a_full_pool_is_what_it_was(
    new_database: Callable[..., str],
) -> None:
    with Database(new_database(), pool=Pool.server(size=1, overflow=0, timeout=0.5)) as db:
        with _held(db):
            waiter = threading.Thread(target=lambda: _refused(db))
            waiter.start()
            _until(lambda: waiting(db.engine.pool) == 1)
            waiter.join()
        assert waiting(db.engine.pool) == 0
        assert db.one(select(literal(1))) == 1


def _refused(db: Database) -> None:
    with pytest.raises(PoolTimeout):
        db.one(select(literal(1)))


# SQLite has no server, and its statements end all the same


def _endless() -> Any:
    counted = select(literal(1).label("n")).cte("endless", recursive=True)
    counted = counted.union_all(select(counted.c.n + 1).where(counted.c.n < 10**9))
    return select(func.count()).select_from(counted)


def test_a_long_statement_of_sqlite_ends_at_the_deadline(sqlite_url: str) -> None:
    with Database(sqlite_url) as db:
        with in_time("a statement", 0.3), deadline(0.3):
            db.one(_endless())
        with in_time("a statement", 0.3), deadline(0.3), db.begin() as uow:
            uow.one(_endless())
        assert db.one(select(literal(1))) == 1


def test_a_task_ends_one_too(sqlite_path: Path) -> None:
    async def main() -> None:
        async with AsyncDatabase(f"sqlite:///{sqlite_path}") as db:
            with in_time("a statement", 0.3), deadline(0.3):
                await db.one(_endless())
            assert await db.one(select(literal(1))) == 1

    asyncio.run(main())
