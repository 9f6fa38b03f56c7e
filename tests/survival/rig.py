"""One database object under fault: use cases of steps, what their callers were told, and what holds after each fault.

A use case is a row of steps, the same for sync and async drivers: a statement is executed, a function is called between
two statements. `WRITE` stands for the insert by which a use case is found again.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psycopg
from sqlalchemy import (
    Column,
    Executable,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    insert,
    literal,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database, HermeticError, Pool, Retry, UnitOfWork
from survival.cluster import Cluster, until
from survival.history import History, reckon
from survival.mariadb import MariaDB
from survival.ways import Naive

SIZE = 2
SECONDS = 20.0

METADATA = MetaData()
MARK = Table("mark", METADATA, Column("name", Text, nullable=False))
SEAT = Table(
    "seat",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("count", Integer, nullable=False),
)

Step = Any
"""A statement, a function of nothing, or one of the following."""

WRITE = object()
TOUCH = update(SEAT).where(SEAT.c.id == 1).values(count=SEAT.c.count + 1)
READ = select(func.count()).select_from(SEAT)
TAKEN = insert(SEAT).values(id=1, count=0)


class Once:
    """A step of the first attempt alone."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.is_done = False


class Later:
    """A step of every attempt but the first."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.is_first = True


class Swallowed:
    """A statement whose error is caught and forgotten."""

    def __init__(self, statement: Executable) -> None:
        self.statement = statement


class File:
    """An SQLite file, in the place of a server."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._count = 0

    def new_database(self) -> str:
        self._count += 1
        return f"rig{self._count}.db"

    def url(self, database: str, driver: str = "sqlite") -> str:
        """Return the SQLAlchemy URL of a file."""
        return (
            f"sqlite+aiosqlite:///{self._folder / database}"
            if driver == "aiosqlite"
            else f"sqlite:///{self._folder / database}"
        )

    def sql(self, statement: str, *values: Any, database: str) -> list[Any]:
        """Run one statement on a connection of its own."""
        with self.other(database) as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def other(self, database: str) -> Generator[sqlite3.Connection]:
        """Yield a connection of somebody else, which waits for nothing."""
        connection = sqlite3.connect(self._folder / database, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            yield connection
        finally:
            connection.close()

    def wait_quiet(self, database: str) -> None:
        """Return when nobody holds the lock of the file."""

        def is_free() -> bool:
            with self.other(database) as connection:
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("ROLLBACK")
                except sqlite3.OperationalError:
                    return False
            return True

        until(is_free, 5, "the file is locked")

    def sessions(self, database: str) -> list[tuple[int, str]]:
        """Return nothing: there is no server."""
        return []


class SyncDesk:
    """The door of a sync database."""

    def __init__(self, url: str, **options: Any) -> None:
        self.db = Database(url, **options)
        self.engine = self.db.engine

    def run(self, name: str, steps: tuple[Step, ...], **using: Any) -> None:
        self.db.using(**using).run(_use, name, steps)

    def begin(self, name: str, steps: tuple[Step, ...]) -> None:
        with self.db.begin() as uow:
            _use(uow, name, steps)

    def one(self, statement: Any) -> Any:
        return self.db.one(statement)

    def create(self, base: Any) -> None:
        self.db.create_all(base)

    def close(self) -> None:
        self.db.close()


class AsyncDesk:
    """The door of an async database, with the event loop it belongs to.

    Attributes:
        unseen: what went wrong in the loop and nobody was told of.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self.runner = asyncio.Runner()
        self.unseen: list[str] = []
        self.runner.get_loop().set_exception_handler(lambda _, context: self.unseen.append(str(context["message"])))
        self.db = AsyncDatabase(url, **options)
        self.engine = self.db.engine.sync_engine

    def run(self, name: str, steps: tuple[Step, ...], **using: Any) -> None:
        self.runner.run(self.db.using(**using).run(_use_async, name, steps))

    def begin(self, name: str, steps: tuple[Step, ...]) -> None:
        async def main() -> None:
            async with self.db.begin() as uow:
                await _use_async(uow, name, steps)

        self.runner.run(main())

    def one(self, statement: Any) -> Any:
        return self.runner.run(self.db.one(statement))

    def create(self, base: Any) -> None:
        self.runner.run(self.db.create_all(base))

    def close(self) -> None:
        self.runner.run(self.db.close())
        self.runner.close()


class PlainDesk:
    """The control: a session of SQLAlchemy, again when the connection was lost, as many code bases have it."""

    def __init__(self, url: str) -> None:
        self.way = Naive(url, SIZE)
        self.engine = self.way.engine

    def run(self, name: str, steps: tuple[Step, ...], **_: Any) -> None:
        self.way.run(_use_session, name, steps)

    def begin(self, name: str, steps: tuple[Step, ...]) -> None:
        self.way.attempt(_use_session, name, steps)

    def one(self, statement: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.scalar(statement)

    def create(self, base: MetaData) -> None:
        base.create_all(self.engine)

    def close(self) -> None:
        self.way.close()


def _use(uow: UnitOfWork, name: str, steps: tuple[Step, ...]) -> None:
    _use_session(uow.session, name, steps)


def _use_session(session: Session, name: str, steps: tuple[Step, ...]) -> None:
    for step in _due(name, steps):
        if isinstance(step, Swallowed):
            with suppress(Exception):
                session.execute(step.statement)
        elif callable(step):
            step()
        else:
            session.execute(step)


async def _use_async(uow: AsyncUnitOfWork, name: str, steps: tuple[Step, ...]) -> None:
    for step in _due(name, steps):
        if isinstance(step, Swallowed):
            with suppress(Exception):
                await uow.session.execute(step.statement)
        elif callable(step):
            step()
        else:
            await uow.session.execute(step)


def _due(name: str, steps: tuple[Step, ...]) -> Iterator[Any]:
    for step in steps:
        if isinstance(step, Once):
            if step.is_done:
                continue
            step.is_done = True
            yield step.step
        elif isinstance(step, Later):
            if not step.is_first:
                yield step.step
            step.is_first = False
        else:
            yield insert(MARK).values(name=name) if step is WRITE else step


class Rig:
    """A database object on one driver, and all that its callers were told.

    Attributes:
        place: the server.
        driver: as in a URL, with the word `async` behind it where it has two kinds.
        errors: what callers were raised.
    """

    def __init__(self, place: Any, driver: str, *, is_control: bool = False) -> None:
        self.place, self.driver, self.is_control = place, driver, is_control
        self.database: str = place.new_database()
        self.is_async = driver.endswith("async") or driver in ("asyncpg", "asyncmy", "aiosqlite")
        self.url: str = place.url(self.database, driver.partition(" ")[0])
        self.errors: list[Exception] = []
        self.history = History()
        self._count = 0
        self._threads: list[threading.Thread] = []
        self._unseen: list[str] = []
        if isinstance(place, Cluster):  # as docs/databases.md advises: nobody works for a client that is gone
            place.sql(f"ALTER DATABASE {self.database} SET client_connection_check_interval = '200ms'")
        self.desk = self.opened()
        self.desk.create(METADATA)
        with self._unraisable():
            self.desk.run("", tuple(insert(SEAT).values(id=number, count=0) for number in range(1, 6)))

    def opened(self, url: str = "", **options: Any) -> Any:
        """Return another door to the database."""
        if self.is_control:
            return PlainDesk(url or self.url)
        settings = {
            "pool": Pool.server(size=SIZE, overflow=0, timeout=SECONDS),
            "retry": Retry(attempts=60, longest=0.2),
        }
        return (AsyncDesk if self.is_async else SyncDesk)(url or self.url, **(settings | options))

    @contextmanager
    def other(self, url: str = "", **options: Any) -> Generator[Self]:
        """Let another door serve inside the block."""
        kept, self.desk = self.desk, self.opened(url, **options)
        try:
            yield self
        finally:
            self._leave(self.desk)
            self.desk = kept

    def close(self) -> None:
        """Close the database; raise AssertionError where something was not told to anybody."""
        with self._unraisable():
            self._leave(self.desk)
            gc.collect()
        assert not self._unseen, f"nobody was told of: {self._unseen}"

    def _leave(self, desk: Any) -> None:
        desk.close()
        if isinstance(desk, AsyncDesk):
            self._unseen += desk.unseen

    # what callers do

    def kept(self, *steps: Step, **using: Any) -> None:
        """Run a use case, which must succeed whatever happens to it, and be there once."""
        name = self._named(steps)
        self.desk.run(name, steps, **using)
        self._tell(name, "ok")

    def refused(self, kind: type[Exception], *steps: Step, how: str = "begin", **using: Any) -> Exception:
        """Try a use case that must end in one kind of error, and leave nothing; return the error."""
        name = self._named(steps)
        try:
            if how == "run":
                self.desk.run(name, steps, **using)
            else:
                self.desk.begin(name, steps)
        except Exception as error:
            self._tell(name, "fail")
            self.errors.append(error)
            is_told = isinstance(error, kind) or self.is_control
            assert is_told, f"{type(error).__name__} in place of {kind.__name__}: {error}"
            return error
        self._tell(name, "ok")
        raise AssertionError(f"no error in place of {kind.__name__}")

    def read(self) -> None:
        """Read outside a transaction, which must succeed."""
        self._count += 1
        assert self.desk.one(select(literal(self._count))) == self._count, "an answer to another question"

    def noted(self, kind: type[BaseException], error: BaseException | None) -> None:
        """Note an error that a caller was raised elsewhere."""
        assert isinstance(error, kind), f"{error!r} in place of {kind.__name__}"
        if isinstance(error, Exception):
            self.errors.append(error)

    def _named(self, steps: tuple[Step, ...]) -> str:
        self._count += 1
        name = f"{self.driver} {self._count}"
        if any(step is WRITE for step in steps):
            self.history.invoke(name)
        return name

    def _tell(self, name: str, told: Any) -> None:
        if name in self.history.invoked:
            self.history.tell(name, told)

    # what is done to them

    def kill(self) -> None:
        """End every session of the database, as an administrator does."""
        there = {number for number, _ in self.place.sessions(self.database)}
        (self.place.terminate_all if isinstance(self.place, Cluster) else self.place.kill_all)(self.database)
        if isinstance(self.place, Cluster):
            until(lambda: not there & {number for number, _ in self.place.sessions(self.database)}, 10, "they live on")

    def meanwhile(self, action: Callable[[], object]) -> None:
        """Call in another thread; `check` waits for it."""
        thread = threading.Thread(target=action)
        self._threads.append(thread)
        thread.start()

    def when_asleep(self, action: Callable[[], object]) -> Callable[[], None]:
        """Return the step that lets `action` happen while the next one, `sleep`, is at work on the server."""
        if isinstance(self.place, Cluster):
            asked = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event = 'PgSleep'"
        else:
            asked = "SELECT 1 FROM information_schema.processlist WHERE db = %s AND state = 'User sleep'"

        def act() -> None:
            until(lambda: bool(self.place.sql(asked, self.database)), 10, "no statement is at work")
            action()

        return lambda: self.meanwhile(act)

    @property
    def sleep(self) -> Executable:
        """A statement that takes long; MariaDB does not look whether its client is still there."""
        return text("SELECT pg_sleep(30)" if isinstance(self.place, Cluster) else "SELECT SLEEP(3)")

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run one statement as somebody else."""
        return self.place.sql(statement, *values, database=self.database)

    # what must hold

    def check(self) -> None:
        """Raise AssertionError where one of the common invariants does not hold."""
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive(), "what was done meanwhile has not ended"
        self._threads.clear()
        if not isinstance(self.place, File):
            self.place.proxy.heal()
        with self._unraisable():
            self.kept(WRITE)
            self.read()
            gc.collect(1)
        if isinstance(self.desk, AsyncDesk):
            self._unseen += self.desk.unseen
            self.desk.unseen.clear()
        assert not self._unseen, f"nobody was told of: {self._unseen}"
        pool: Any = self.desk.engine.pool
        assert pool.checkedout() == 0, "a connection did not come back"
        self.place.wait_quiet(self.database)
        until(lambda: len(self.place.sessions(self.database)) <= SIZE, 5, "there are more sessions than the pool has")
        found = reckon(self.history, [name for (name,) in self.sql("SELECT name FROM mark")])
        assert found.wrong + found.unknown == 0, f"{found}"
        for error in self.errors:
            words = str(error)
            is_ours = isinstance(error, HermeticError) and "\nwhy: " in words and "\nfix: " in words
            assert is_ours or self.is_control, f"{type(error).__name__} is not explained: {words[:200]}"

    @contextmanager
    def _unraisable(self) -> Generator[None]:
        kept = sys.unraisablehook
        sys.unraisablehook = lambda each: self._unseen.append(f"{each.err_msg}: {each.exc_value!r}")
        try:
            yield
        finally:
            sys.unraisablehook = kept


@contextmanager
def raw(rig: Rig) -> Generator[Any]:
    """Yield a driver's connection of somebody else, in a transaction that is rolled back."""
    if isinstance(rig.place, File):
        with rig.place.other(rig.database) as connection:
            yield connection
        return
    url = make_url(rig.place.direct(rig.database))
    if isinstance(rig.place, MariaDB):
        import pymysql

        connection: Any = pymysql.connect(
            host=url.host, port=url.port, user=url.username, password=url.password or "", database=url.database
        )
    else:
        connection = psycopg.connect(
            host=url.host,
            port=url.port,
            user=url.username,
            password=url.password,
            dbname=url.database,
            application_name="administrator",
        )
    try:
        yield connection
    finally:
        with suppress(Exception):
            connection.rollback()
        connection.close()
