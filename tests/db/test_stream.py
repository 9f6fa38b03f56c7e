"""Streams: everything a statement finds, in bounded memory, and a pool that is clean whoever leaves early."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, event, func, insert, select

from hermetic import (
    AsyncDatabase,
    CannotStream,
    Database,
    MissingTable,
    Pool,
    Repository,
    UnitClosed,
    ValueMismatch,
    WrongStatement,
    prepared,
)
from hermetic.engine.streaming import next_size
from shop import Address, AddressLine, User, UserCard

BY_ID = select(Address).order_by(Address.id)
COUNT = 2500


def _is_mariadb(db: Database | AsyncDatabase) -> bool:
    return db.engine.dialect.name == "mariadb"


def _rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    users = [{"id": n, "name": f"n{n}"} for n in range(1, 11)]
    return users, [{"id": n, "email_address": f"{n}@x", "user_id": n % 10 + 1} for n in range(1, COUNT + 1)]


@pytest.fixture
def filled(db: Database) -> Database:
    users, addresses = _rows()
    with db.engine.begin() as connection:
        connection.execute(insert(User), users)
        connection.execute(insert(Address), addresses)
    return db


async def _filled(url: str) -> AsyncDatabase:
    db = AsyncDatabase(url)
    await db.create_all(User)
    users, addresses = _rows()
    async with db.engine.begin() as connection:
        await connection.execute(insert(User), users)
        await connection.execute(insert(Address), addresses)
    return db


def _out(db: Database | AsyncDatabase) -> int:
    taken: int = db.engine.pool.checkedout()  # type: ignore[attr-defined]
    return taken


# everything, in order


def test_a_stream_is_everything_in_order_in_one_statement(filled: Database) -> None:
    with filled.recorded() as sent:
        streamed = list(filled.stream(AddressLine, BY_ID))
    assert len(sent) == 1
    assert streamed == filled.all(AddressLine, BY_ID)
    assert _out(filled) == 0


@pytest.mark.parametrize("strategy", ["correlated", "set_based", "per_level"])
def test_graphs_stream_in_every_strategy(filled: Database, strategy: str) -> None:
    statement = select(User).order_by(User.id.desc()).execution_options(hermetic_strategy=strategy)
    if _is_mariadb(filled):
        with pytest.raises(CannotStream, match="tells only behind the last row"):
            list(filled.stream(UserCard, statement))
    else:
        assert list(filled.stream(UserCard, statement)) == filled.all(UserCard, statement)
    assert _out(filled) == 0


def test_a_prepared_read_streams(filled: Database) -> None:
    @prepared(AddressLine)
    def of_user(user_id: int) -> Select[Address]:
        return select(Address).where(Address.user_id == user_id).order_by(Address.id)

    for user_id in (3, 4):
        assert list(filled.stream(of_user(user_id))) == filled.all(of_user(user_id))


def test_nothing_is_sent_before_the_first_row_is_asked_for(filled: Database) -> None:
    with filled.recorded() as sent:
        stream = filled.stream(AddressLine, BY_ID)
        assert (sent, _out(filled)) == ([], 0)
        next(stream)
        assert (len(sent), _out(filled)) == (1, 1)
    stream.close()
    assert _out(filled) == 0


def test_the_rows_are_those_of_one_snapshot(filled: Database) -> None:
    if filled.engine.dialect.name == "sqlite":
        with filled.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # where a writer does not wait for the reader
    found = []
    for line in filled.stream(AddressLine, BY_ID):
        if not found:
            with filled.begin() as uow:
                uow.add(Address(id=10**6, email_address="late@x", user_id=1))
        found.append(line.email_address)
    assert (len(found), "late@x" in found) == (COUNT, False)
    assert filled.count(select(Address)) == COUNT + 1


def test_batches_grow_while_rows_are_small_and_shrink_where_they_are_large() -> None:
    assert next_size([(1, "x" * 100)] * 64, 64) == 128
    assert next_size([(1, None)] * 1000, 1000) == 1000
    assert next_size([("x" * 2**20,)] * 64, 64) == 1
    assert next_size([(b"x" * 2**16, "y")] * 2, 64) == 15
    assert next_size([], 64) == 64


# leaving early


def test_leaving_the_loop_gives_the_connection_back(filled: Database) -> None:
    for _ in filled.stream(AddressLine, BY_ID):
        assert _out(filled) == 1
        break
    assert _out(filled) == 0
    with contextlib.suppress(KeyError):
        for _ in filled.stream(AddressLine, BY_ID):
            raise KeyError
    with contextlib.closing(filled.stream(AddressLine, BY_ID)) as stream:
        next(stream)
    assert _out(filled) == 0
    assert len(filled.all(AddressLine, BY_ID)) == COUNT


async def _others() -> None:
    """Wait for the tasks that are not this one: the event loop closes a generator that was left in one of its own."""
    while others := asyncio.all_tasks() - {asyncio.current_task()}:  # type: ignore[arg-type]
        await asyncio.wait(others)


def test_leaving_an_async_loop_gives_the_connection_back(async_url: str) -> None:
    async def main() -> None:
        db = await _filled(async_url)
        with db.recorded() as sent:
            assert len([line async for line in db.stream(AddressLine, BY_ID)]) == COUNT
        assert (len(sent), _out(db)) == (1, 0)
        async for _ in db.stream(AddressLine, BY_ID):
            assert _out(db) == 1
            break
        await asyncio.sleep(0)
        await _others()
        assert _out(db) == 0
        async with contextlib.aclosing(db.stream(AddressLine, BY_ID)) as stream:
            await anext(stream)
        assert _out(db) == 0
        assert len(await db.all(AddressLine, BY_ID)) == COUNT
        await db.close()

    asyncio.run(main())


@pytest.mark.parametrize("place", ["in the loop", "in the driver"])
def test_a_cancelled_task_leaves_the_pool_clean(async_url: str, place: str) -> None:
    async def main() -> None:
        db = await _filled(async_url)
        reached = asyncio.Event()

        async def read() -> None:
            async for _ in db.stream(AddressLine, BY_ID):
                reached.set()
                await asyncio.Event().wait()

        if place == "in the driver":
            event.listen(db.engine.sync_engine, "before_cursor_execute", lambda *_: reached.set())
        for _ in range(3):
            reached.clear()
            task = asyncio.create_task(read())
            await reached.wait()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            del task
            await asyncio.sleep(0)
            await _others()
            assert _out(db) == 0
            assert await db.count(select(Address)) == COUNT
        await db.close()

    asyncio.run(main())


# inside a unit of work


def test_a_unit_streams_on_its_own_connection_beside_its_other_statements(filled: Database) -> None:
    if _is_mariadb(filled):
        with filled.begin() as uow, pytest.raises(CannotStream, match="stream it on the Database"):
            list(uow.stream(AddressLine, BY_ID))
        return
    with filled.begin() as uow:
        uow.add(Address(id=10**6, email_address="mine@x", user_id=1))
        found = []
        for line in Repository[User](uow).stream(AddressLine, BY_ID):
            if len(found) % 1000 == 0:
                user = uow.one(select(User).where(User.name == line.owner))
                user.fullname = "seen"
                uow.flush()
            found.append(line.email_address)
        assert _out(filled) == 1
    assert (len(found), found[-1]) == (COUNT + 1, "mine@x")
    assert filled.exists(select(User).where(User.fullname == "seen"))


def test_a_unit_ends_well_whatever_became_of_its_streams(filled: Database) -> None:
    if _is_mariadb(filled):
        return
    with filled.begin() as uow:
        for _ in uow.stream(AddressLine, BY_ID):
            break
        kept = uow.stream(AddressLine, BY_ID)
        next(kept)
        unread = uow.stream(AddressLine, BY_ID)
        uow.add(User(id=99, name="zoe"))
    assert _out(filled) == 0
    assert filled.exists(select(User).where(User.id == 99))
    for stream in (kept, unread):
        with pytest.raises(UnitClosed, match="has ended"):
            for _ in stream:
                pass


def test_a_stream_left_in_an_async_unit_is_in_nobodys_way(async_url: str) -> None:
    async def main() -> None:
        db = await _filled(async_url)
        if _is_mariadb(db):
            await db.close()
            return
        async with db.begin() as uow:
            for _ in range(3):
                async for _ in uow.stream(AddressLine, BY_ID):
                    break
                assert await uow.count(select(Address)) == COUNT
            kept: AsyncGenerator[AddressLine] = uow.stream(AddressLine, BY_ID)
            await anext(kept)
            uow.add(User(id=99, name="zoe"))
        await _others()
        assert _out(db) == 0
        assert await db.exists(select(User).where(User.id == 99))
        with pytest.raises(UnitClosed):
            await anext(kept)
        await db.close()

    asyncio.run(main())


# what is refused


def test_a_stream_that_would_hold_the_only_connection_is_refused(tmp_path: Path) -> None:
    with Database("sqlite://") as db:
        db.create_all(User)
        with db.begin() as uow:
            uow.add(User(name="ann", addresses=[Address(email_address="a@x")]))
        with pytest.raises(CannotStream, match=r"with db\.begin\(\) as uow: uow\.stream"):
            list(db.stream(AddressLine, BY_ID))
        with db.begin() as uow:
            assert [(line.owner, uow.count(select(User))) for line in uow.stream(AddressLine, BY_ID)] == [("ann", 1)]
    with Database(f"sqlite:///{tmp_path / 'x.db'}", pool=Pool.server(size=1, overflow=0)) as db:
        db.create_all(User)
        with pytest.raises(CannotStream, match=r"Pool\.server\(size=2\)"):
            list(db.stream(AddressLine, BY_ID))
    with Database(f"sqlite:///{tmp_path / 'x.db'}", pool=Pool.serverless()) as db:
        assert list(db.stream(AddressLine, BY_ID)) == []


def test_a_wrong_statement_is_refused_when_the_stream_is_made(filled: Database) -> None:
    with pytest.raises(WrongStatement, match="cannot be read by stream"):
        filled.stream(UserCard, BY_ID)  # type: ignore[arg-type]
    with pytest.raises(WrongStatement):
        filled.stream(UserCard, select(func.count()))  # type: ignore[arg-type]


def test_an_error_in_the_middle_gives_the_connection_back(filled: Database) -> None:
    class Cut(Exception):
        pass

    def fail(*_: Any) -> None:
        raise Cut

    event.listen(filled.engine, "before_cursor_execute", fail)
    with pytest.raises(Cut):
        list(filled.stream(AddressLine, BY_ID))
    event.remove(filled.engine, "before_cursor_execute", fail)
    assert _out(filled) == 0
    filled.drop_all(User)
    with pytest.raises(MissingTable):
        list(filled.stream(AddressLine, BY_ID))
    assert _out(filled) == 0


# memory

PROGRAM = """
import resource, sys
sys.path.insert(0, {here!r})
from shop import User, Address
from sqlalchemy import select, text
from hermetic import Database, Shape

class Line(Shape[Address]):
    id: int
    email_address: str
    user_id: int

db = Database({url!r})
db.create_all(User)
with db.engine.begin() as connection:
    connection.execute(text("INSERT INTO user_account (id, name) VALUES (1, 'ann')"))
    connection.execute(text({fill!r}))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

statement = select(Address).order_by(Address.id)
next(db.stream(Line, statement)), sum(1 for line in db.stream(Line, statement.limit(5000)))
before = peak()
number = sum(line.user_id for line in db.stream(Line, statement))
print(number, peak() - before)
"""
FILLS = {
    "sqlite": "WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 300000) "
    "INSERT INTO address (id, email_address, user_id) SELECT n, 'address of number ' || n, 1 FROM g",
    "psycopg": "INSERT INTO address (id, email_address, user_id) "
    "SELECT n, 'address of number ' || n, 1 FROM generate_series(1, 300000) n",
    "pymysql": "INSERT INTO address (id, email_address, user_id) "
    "SELECT seq, CONCAT('address of number ', seq), 1 FROM seq_1_to_300000",
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("driver", FILLS)
def test_memory_does_not_grow_with_the_rows(driver: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if driver == "sqlite":
        url = f"sqlite:///{tmp_path / 'many.db'}"
    else:
        make: Callable[..., str] = request.getfixturevalue("new_database")
        url = make(driver=driver)
    program = PROGRAM.format(here=str(Path(__file__).parent), url=url, fill=FILLS[driver])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    number, growth_kb = map(int, done.stdout.split())
    assert number == 300_000
    assert growth_kb < 4 * 1024, f"300,000 rows grew the process by {growth_kb} kB"


def test_a_value_that_does_not_fit_ends_the_stream_clean(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'x.db'}") as db:
        db.create_all(User)
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            connection.execute(insert(Address), [{"id": 1, "email_address": "a@x", "user_id": 404}])
        with pytest.raises(ValueMismatch):
            list(db.stream(AddressLine, BY_ID))
        assert _out(db) == 0
