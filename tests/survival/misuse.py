"""Mistakes that people make, each made on purpose: with hermetic, and the same with plain SQLAlchemy.

Invariant: whoever makes one is told at once, by an error that says where and what to do, or it does no harm. Oracle:
the error itself, its place, and the clock; for plain SQLAlchemy what came of it: silence, wrong rows, a wait, an error.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import re
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, aclosing, closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, literal, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlalchemy.schema import ForeignKey

from hermetic import (
    AsyncDatabase,
    BlockedLoop,
    Database,
    DeadlineExceeded,
    EntityPassed,
    HermeticError,
    NotLoaded,
    NotTheOwner,
    Pool,
    PoolExhausted,
    Shape,
    SwallowedFailure,
    UnitClosed,
    UnitOfWork,
    UnitShared,
    WrongLoop,
)
from survival import fork
from survival.children import Child
from survival.figure import Figure, Row
from survival.place import Place

ONE = select(literal(1))
PATIENCE = 0.2
SOON = 1.0
PLACE = re.compile(r"misuse\.py:\d+ in ")


class MisuseBase(DeclarativeBase):
    """The tables of the mistakes."""


class Writer(MisuseBase):
    __tablename__ = "misuse_writer"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    letters: Mapped[list[Letter]] = relationship()


class Letter(MisuseBase):
    __tablename__ = "misuse_letter"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    writer_id: Mapped[int] = mapped_column(ForeignKey("misuse_writer.id"), index=True)


TWICE = insert(Writer).values(id=1)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake.

    Attributes:
        name: what is done.
        kind: the error that tells of it; None where it must do no harm, and there is nothing to tell.
        ours: makes it on a sync database.
        ours_async: makes it on an async one.
        plain: makes it with plain SQLAlchemy, and returns what came of it where nothing was raised.
        is_placed: the error names a line of this file.
    """

    name: str
    kind: type[Exception] | None
    ours: Callable[[str], object] | None
    ours_async: Callable[[str], Any] | None
    plain: Callable[[str], str]
    is_placed: bool = True


def opened(url: str, **options: Any) -> Database:
    return Database(url, **({"pool": Pool.server(size=2, overflow=0, timeout=PATIENCE)} | options))


def opened_async(url: str, **options: Any) -> AsyncDatabase:
    return AsyncDatabase(url, **({"pool": Pool.server(size=2, overflow=0, timeout=PATIENCE)} | options))


def engine(url: str, **options: Any) -> Engine:
    made = create_engine(url, **({"pool_size": 2, "max_overflow": 0, "pool_timeout": PATIENCE} | options))
    _MADE.append(made)
    return made


def async_engine(url: str) -> AsyncEngine:
    return create_async_engine(url, pool_size=2, max_overflow=0, pool_timeout=PATIENCE)


_MADE: list[Engine] = []


@contextmanager
def _unheard() -> Generator[None]:
    """Let nobody hear what mistakes leave behind them: what is never closed says so when it is collected."""
    kept, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            for made in _MADE:
                made.dispose()
            _MADE.clear()
            gc.collect()
    finally:
        sys.unraisablehook = kept


# an error is swallowed


def swallowed(url: str) -> None:
    with opened(url) as db, db.begin() as uow, suppress(SQLAlchemyError):
        uow.session.execute(TWICE)


async def swallowed_async(url: str) -> None:
    async with opened_async(url) as db, db.begin() as uow:
        with suppress(SQLAlchemyError):
            await uow.session.execute(TWICE)


def swallowed_plain(url: str) -> str:
    with closing(engine(url).connect()) as connection:
        connection.execute(insert(Writer).values(id=2))
        with suppress(SQLAlchemyError):
            connection.execute(TWICE)
        connection.commit()
        stored = connection.execute(select(Writer.id).where(Writer.id == 2)).first()
    return "" if stored else "commit says yes and stores nothing"


# something is not closed


def left_open(url: str) -> None:
    with opened(url, pool=Pool.server(size=1, overflow=0, timeout=PATIENCE)) as db:
        left = db.begin()
        left.__enter__().one(ONE)
        with ThreadPoolExecutor(1) as other:
            try:
                other.submit(db.one, ONE).result()
            finally:
                left.__exit__(None, None, None)


async def left_open_async(url: str) -> None:
    async with opened_async(url, pool=Pool.server(size=1, overflow=0, timeout=PATIENCE)) as db:
        left = db.begin()
        await (await left.__aenter__()).one(ONE)
        try:
            await asyncio.create_task(_asked(db))
        finally:
            await left.__aexit__(None, None, None)


async def _asked(db: AsyncDatabase) -> Any:
    return await db.one(ONE)


def left_open_plain(url: str) -> str:
    made = engine(url, pool_size=1)
    left = made.connect()
    try:
        made.connect()
    except SQLAlchemyError:
        return "an error after the timeout, which names nobody"
    finally:
        left.close()
    return ""


class WriterId(Shape[Writer]):
    id: int


def stream_left(url: str) -> None:
    with opened(url) as db, ThreadPoolExecutor(1) as other, ExitStack() as stack:
        for _ in range(2):
            next(stack.enter_context(closing(iter(db.stream(WriterId, select(Writer))))))
        other.submit(db.one, ONE).result()


async def stream_left_async(url: str) -> None:
    async with opened_async(url) as db, AsyncExitStack() as stack:
        for _ in range(2):
            await anext(await stack.enter_async_context(aclosing(aiter(db.stream(WriterId, select(Writer))))))
        await asyncio.create_task(_asked(db))


def stream_left_plain(url: str) -> str:
    made = engine(url)
    streams = [made.connect().execution_options(stream_results=True).execute(select(Writer.id)) for _ in range(2)]
    try:
        made.connect()
    except SQLAlchemyError:
        return "an error after the timeout, which names nobody"
    finally:
        for each in streams:
            each.close()
    return ""


# a generator is abandoned


def abandoned(url: str) -> None:
    with opened(url) as db:

        def walk() -> Iterator[int]:
            with db.begin() as uow:
                yield uow.one(ONE)

        next(walk())
        _assert_free(db.engine)
        db.one(ONE)


async def abandoned_async(url: str) -> None:
    async with opened_async(url) as db:

        async def walk() -> AsyncIterator[int]:
            async with db.begin() as uow:
                yield await uow.one(ONE)

        async for _ in walk():
            break
        gc.collect()
        for _ in range(100):
            await asyncio.sleep(0.001)
        _assert_free(db.engine.sync_engine)
        await db.one(ONE)


def _assert_free(made: Any) -> None:
    assert made.pool.checkedout() == 0, "a connection is lost"


def abandoned_plain(url: str) -> str:
    made = async_engine(url.replace("+psycopg", "+asyncpg"))
    kept = []

    async def walk() -> AsyncIterator[int]:
        connection = await made.connect()
        kept.append(connection)
        yield (await connection.execute(ONE)).scalar()
        await connection.close()

    async def main() -> str:
        async for _ in walk():
            break
        gc.collect()
        for _ in range(100):
            await asyncio.sleep(0.001)
        pool: Any = made.sync_engine.pool
        is_lost = pool.checkedout() > 0
        for each in kept:
            await each.close()
        await made.dispose()
        return "a connection is out until it is collected" if is_lost else ""

    return asyncio.run(main())


# more connections than there are


def nested(url: str) -> None:
    with opened(url, pool=Pool.server(size=1, overflow=0, timeout=30)) as db, db.begin() as uow:
        uow.one(ONE)
        db.one(ONE)


async def nested_async(url: str) -> None:
    async with opened_async(url, pool=Pool.server(size=1, overflow=0, timeout=30)) as db, db.begin() as uow:
        await uow.one(ONE)
        await db.one(ONE)


def nested_plain(url: str) -> str:
    made = engine(url, pool_size=1, pool_timeout=SOON)
    with made.connect() as connection:
        connection.execute(ONE)
        with suppress(SQLAlchemyError):
            made.connect()
    return "waits for itself until the timeout, 30 s by default"


# one unit, many users


def of_threads(url: str) -> None:
    with opened(url) as db, db.begin() as uow, ThreadPoolExecutor(1) as other:
        uow.one(ONE)
        other.submit(uow.one, ONE).result()


async def of_tasks_async(url: str) -> None:
    async with opened_async(url) as db, db.begin() as uow:
        await asyncio.gather(uow.one(ONE), uow.one(ONE))


def of_threads_plain(url: str) -> str:
    with Session(engine(url)) as session, ThreadPoolExecutor(1) as other:
        session.add(Writer(id=3))
        other.submit(session.rollback).result()
        session.commit()
        return "" if session.get(Writer, 3) else "another thread rolls back, and commit says yes"


# processes and event loops


def second_loop(url: str) -> None:
    db = opened_async(url)
    with asyncio.Runner() as first, asyncio.Runner() as other:
        first.run(_asked(db))
        try:
            other.run(_asked(db))
        finally:
            first.run(db.close())


def second_loop_plain(url: str) -> str:
    made = async_engine(url.replace("+psycopg", "+asyncpg"))

    async def ask() -> None:
        async with made.connect() as connection:
            await connection.execute(ONE)

    with asyncio.Runner() as first, asyncio.Runner() as other:
        first.run(ask())
        try:
            other.run(ask())
        except Exception as error:
            return f"{type(error).__name__}, which names no place and no fix"
        finally:
            first.run(made.dispose())
    return ""


def forked(url: str) -> None:
    found = fork.fork(fork.Ours, url, 40, 20)
    assert found.wrong + found.failed + found.missing + found.shared == 0, f"{found}"


async def forked_async(url: str) -> None:
    found = fork.fork(fork.OursAsync, url, 40, 20)
    assert found.wrong + found.failed + found.missing + found.shared == 0, f"{found}"


def forked_plain(url: str) -> str:
    found = fork.fork(fork.Plain, url, 40, SOON)
    return f"{found.wrong} wrong rows, {found.failed} errors, {found.missing} never answered"


def forked_inside(url: str) -> None:
    with opened(url) as db, db.begin() as uow:
        uow.one(ONE)

        def body(tell: Callable[[object], None]) -> None:
            try:
                uow.one(ONE)
            except HermeticError as error:
                tell(pickle.dumps(error).hex())

        child = Child(body)
        told = child.told(10)
        child.end()
        uow.one(ONE)
        if told:
            raise pickle.loads(bytes.fromhex(told[0]))


def forked_inside_plain(url: str) -> str:
    def program(tell: Callable[[object], None]) -> None:
        with engine(url).connect() as connection:
            first = 0 if os.fork() else 100
            for number in range(first, first + 40):
                tell(connection.scalar(select(literal(number))) == number)

    child = Child(program)
    told = child.told(SOON)
    child.end()
    right = sum(told)
    return "" if right == 80 else f"{right} of 80 answers were right"


# a unit outlives its block


def captured(url: str) -> None:
    with opened(url) as db:
        with db.begin() as uow:
            later = [lambda: uow.one(ONE)]
        later[0]()


async def captured_async(url: str) -> None:
    async with opened_async(url) as db:
        async with db.begin() as uow:
            later = uow
        await later.one(ONE)


def captured_plain(url: str) -> str:
    made = engine(url)
    with Session(made) as session, session.begin():
        session.execute(ONE)
    session.execute(ONE)
    lost = made.pool.checkedout()
    session.close()
    return "begins anew and keeps a connection" if lost else ""


def lazy(url: str) -> None:
    with opened(url) as db:
        with db.begin() as uow:
            writer = uow.get_one(Writer, 1)
            _ = writer.letters


async def lazy_async(url: str) -> None:
    async with opened_async(url) as db:
        async with db.begin() as uow:
            writer = await uow.get_one(Writer, 1)
            _ = writer.letters


def lazy_plain(url: str) -> str:
    made = engine(url)
    sent: list[str] = []
    event.listen(made, "before_cursor_execute", lambda *each: sent.append(each[2]))
    with Session(made) as session:
        for writer in session.scalars(select(Writer)):
            _ = writer.letters
    return f"{len(sent)} statements, silently" if len(sent) > 1 else ""


def passed(url: str) -> None:
    with opened(url) as db:
        with db.begin() as uow:
            writer = uow.get_one(Writer, 1)
        db.run(_rename, writer)


def _rename(uow: UnitOfWork, writer: Writer) -> None:
    uow.add(writer)


async def passed_async(url: str) -> None:
    async with opened_async(url) as db:
        async with db.begin() as uow:
            writer = await uow.get_one(Writer, 1)
        await db.run(_rename, writer)  # type: ignore[arg-type]  # refused before it is called


def passed_plain(url: str) -> str:
    made = engine(url)
    with Session(made) as first:
        writer = first.get(Writer, 1)
        with Session(made) as second:
            try:
                second.add(writer)
            except SQLAlchemyError as error:
                return f"{type(error).__name__}, which names no fix"
    return ""


def committed(url: str) -> None:
    with opened(url) as db, db.begin() as uow:
        uow.session.commit()


async def committed_async(url: str) -> None:
    async with opened_async(url) as db, db.begin() as uow:
        await uow.session.commit()


def committed_plain(url: str) -> str:
    with suppress(ZeroDivisionError), Session(engine(url)) as session, session.begin_nested():
        session.execute(insert(Writer).values(id=4))
        session.commit()
        raise ZeroDivisionError
    with Session(engine(url)) as session:
        return "half of it is stored" if session.get(Writer, 4) else ""


# waits


def blocking(url: str) -> None:
    async def main() -> None:
        with opened(url) as db:
            db.one(ONE)

    with warnings.catch_warnings():
        warnings.simplefilter("error", BlockedLoop)
        asyncio.run(main())


def blocking_plain(url: str) -> str:
    async def main() -> None:
        with engine(url).connect() as connection:
            connection.execute(ONE)

    asyncio.run(main())
    return "stops the loop, silently"


def full(url: str) -> None:
    with opened(url) as db, ThreadPoolExecutor(3) as others:
        units = [others.submit(_held, db) for _ in range(2)]
        time.sleep(PATIENCE / 3)
        try:
            others.submit(db.one, ONE).result()
        finally:
            for each in units:
                each.result()


def _held(db: Database) -> None:
    with db.begin() as uow:
        uow.one(ONE)
        time.sleep(3 * PATIENCE)


async def full_async(url: str) -> None:
    async with opened_async(url) as db:
        units = [asyncio.create_task(_held_async(db)) for _ in range(2)]
        await asyncio.sleep(PATIENCE / 3)
        try:
            await db.one(ONE)
        finally:
            await asyncio.gather(*units)


async def _held_async(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        await uow.one(ONE)
        await asyncio.sleep(3 * PATIENCE)


def full_plain(url: str) -> str:
    made = engine(url)
    with made.connect(), made.connect():
        try:
            made.connect()
        except SQLAlchemyError:
            return "an error after the timeout, which names nobody"
    return ""


def slow(url: str) -> None:
    with opened(url, deadline=PATIENCE) as db, db.begin() as uow:
        uow.one(ONE)
        time.sleep(2 * PATIENCE)  # a mail, a call of another service
        uow.one(ONE)


async def slow_async(url: str) -> None:
    async with opened_async(url, deadline=PATIENCE) as db, db.begin() as uow:
        await uow.one(ONE)
        await asyncio.sleep(2 * PATIENCE)
        await uow.one(ONE)


def slow_plain(url: str) -> str:
    with Session(engine(url)) as session:
        session.execute(ONE)
        time.sleep(2 * PATIENCE)
        session.execute(ONE)
    return "holds its connection and its locks, silently"


MISTAKES = (
    Mistake("an error swallowed before the commit", SwallowedFailure, swallowed, swallowed_async, swallowed_plain),
    Mistake("a unit of work never ended", PoolExhausted, left_open, left_open_async, left_open_plain),
    Mistake("a generator abandoned inside a unit", None, abandoned, abandoned_async, abandoned_plain),
    Mistake("a stream left in the middle", PoolExhausted, stream_left, stream_left_async, stream_left_plain),
    Mistake("a second connection asked for inside the only one", PoolExhausted, nested, nested_async, nested_plain),
    Mistake("a unit used by two threads or tasks", UnitShared, of_threads, of_tasks_async, of_threads_plain),
    Mistake("a database in a second event loop", WrongLoop, None, second_loop, second_loop_plain),
    Mistake("a fork with a warm pool", None, forked, forked_async, forked_plain),
    Mistake("a fork inside a unit", UnitShared, forked_inside, None, forked_inside_plain),
    Mistake("a unit used after its end", UnitClosed, captured, captured_async, captured_plain),
    Mistake("an attribute that nothing has loaded", NotLoaded, lazy, lazy_async, lazy_plain),
    Mistake("an entity passed into another transaction", EntityPassed, passed, passed_async, passed_plain, False),
    Mistake("a commit in the middle of a unit", NotTheOwner, committed, committed_async, committed_plain),
    Mistake("a sync database inside an event loop", BlockedLoop, blocking, None, blocking_plain),
    Mistake("more users than connections", PoolExhausted, full, full_async, full_plain),
    Mistake("a transaction open over a slow call", DeadlineExceeded, slow, slow_async, slow_plain),
)


def prepare(url: str) -> None:
    """Create the tables, and the one writer."""
    made = engine(url)
    MisuseBase.metadata.create_all(made)
    with made.begin() as connection:
        connection.execute(TWICE)
    made.dispose()


def told(mistake: Mistake, url: str, *, is_async: bool) -> tuple[float, str]:
    """Make a mistake with hermetic; return the seconds until it was told, and what was wrong with that, or nothing."""
    make = mistake.ours_async if is_async else mistake.ours
    assert make is not None
    begun, error = time.monotonic(), None
    try:
        made = make(url)
        if asyncio.iscoroutine(made):
            asyncio.run(made)
    except Exception as raised:
        error = raised
    seconds = time.monotonic() - begun
    return seconds, _wrong(mistake, error)


def _wrong(mistake: Mistake, error: Exception | None) -> str:
    if mistake.kind is None or error is None:
        return "" if mistake.kind is None and error is None else f"{mistake.name}: {error!r}"
    words = str(error)
    if not isinstance(error, mistake.kind) or not isinstance(error, HermeticError):
        return f"{mistake.name}: {type(error).__name__} in place of {mistake.kind.__name__}: {words}"
    if mistake.is_placed and not PLACE.search(words):
        return f"{mistake.name}: no place in {words}"
    return "" if "\nwhy: " in words and "\nfix: " in words else f"{mistake.name}: no fix in {words}"


def _measure(place: Place, is_long: bool) -> Iterator[Row]:
    drivers = {"psycopg": False, "asyncpg": True}
    if is_long:
        drivers |= {"psycopg async": True} | ({"pymysql": False, "asyncmy": True} if place.mariadb() else {})
    for driver, is_async in drivers.items():
        server: Any = place.mariadb() if "my" in driver else place.cluster
        database = server.new_database()
        prepare(server.direct(database, "pymysql" if "my" in driver else "psycopg"))
        url = server.direct(database, driver.partition(" ")[0])
        made = [each for each in MISTAKES if (each.ours_async if is_async else each.ours) is not None]
        with _unheard():
            found = [told(each, url, is_async=is_async) for each in made]
        wrong = [each for _, each in found if each]
        slowest = max(seconds for seconds, _ in found)
        placed = sum(each.is_placed and each.kind is not None for each in made)
        said = f"{len(made) - len(wrong)} of {len(made)} are told, or do no harm; {placed} name the line, all the fix"
        said += f"; slowest {slowest:.1f} s"
        yield Row(f"hermetic, {driver}", "; not ".join([said, *wrong]), not wrong and slowest < 3)
    database = place.cluster.new_database()
    prepare(place.cluster.direct(database))
    with _unheard():
        harm = {each.name: each.plain(place.cluster.direct(database)) for each in MISTAKES}
    listed = [f"{name}: {came}" for name, came in harm.items() if came]
    yield Row("SQLAlchemy", f"{len(harm) - len(listed)} of {len(harm)}; {'; '.join(listed)}", not listed, True)


FIGURE = Figure(
    "misuse",
    "whoever makes a mistake is told at once, where and what to do, or it does no harm",
    f"{len(MISTAKES)} mistakes that people make: errors swallowed, units shared, kept or left open, forks, event loops",
    _measure,
)
