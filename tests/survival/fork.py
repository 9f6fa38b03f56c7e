"""A process that forks while its pool is warm: parent and children ask at once, each for numbers of its own.

Invariant: everybody gets the number asked for. Oracle: the number itself, which nobody else asks for; and the sessions
that the server saw, none of them used by two processes.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, Self

from sqlalchemy import Engine, Select, create_engine, func, literal, select, text

from hermetic import AsyncDatabase, Database, Pool
from survival.children import Child
from survival.figure import Figure, Row
from survival.place import Place

CHILDREN = 2


@dataclass(frozen=True, slots=True)
class Forked:
    """What the processes got.

    Attributes:
        right: answers.
        wrong: answers to the question of somebody else.
        failed: questions that ended in an error.
        missing: questions that were never answered, because a process hung.
        shared: sessions of the server that answered to more than one process.
    """

    right: int
    wrong: int
    failed: int
    missing: int
    shared: int


class Asking(Protocol):
    """One of the ways to ask."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def begin_child(self) -> None: ...

    def ask(self, number: int) -> tuple[int, int]:
        """Return the number that was asked for, and the session of the server that answered."""
        ...


def question(number: int, engine: Any) -> Select[Any]:
    """Return the statement that asks for a number, and for the session."""
    session = text("CONNECTION_ID()") if engine.dialect.name == "mariadb" else func.pg_backend_pid()
    return select(literal(number), session)


class Ours:
    """`Database.one`."""

    def __init__(self, url: str) -> None:
        self.db = Database(url, pool=Pool.server(size=1, overflow=0))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()

    def begin_child(self) -> None: ...

    def ask(self, number: int) -> tuple[int, int]:
        found, session = self.db.one(question(number, self.db.engine))
        return found, session


class OursAsync:
    """`AsyncDatabase.one`, in an event loop that ends with the process it began in."""

    def __init__(self, url: str) -> None:
        self.db = AsyncDatabase(url, pool=Pool.server(size=1, overflow=0))
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self.db.close())
        self._runner.close()

    def begin_child(self) -> None:
        self._runner = asyncio.Runner()

    def ask(self, number: int) -> tuple[int, int]:
        found, session = self._runner.run(self.db.one(question(number, self.db.engine)))
        return found, session


class Plain:
    """`Engine.connect` of SQLAlchemy."""

    def __init__(self, url: str) -> None:
        self.engine: Engine = create_engine(url, pool_size=1, max_overflow=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()

    def begin_child(self) -> None: ...

    def ask(self, number: int) -> tuple[int, int]:
        with self.engine.connect() as connection:
            found, session = connection.execute(question(number, self.engine)).one()
            return found, session


def fork(make: Callable[[str], Asking], url: str, each: int, seconds: float) -> Forked:
    """Let a process warm its pool and fork; it and each child ask `each` questions side by side."""

    def program(tell: Callable[[object], None]) -> None:
        with make(url) as asking:
            tell([0, *_asked(asking, 0)])
            children = []
            for process in range(1, CHILDREN + 1):
                children.append(os.fork())
                if not children[-1]:
                    try:
                        asking.begin_child()
                        _ask_all(asking, process, each, tell)
                    finally:
                        os._exit(0)
            _ask_all(asking, 0, each, tell)
            for child in children:
                os.waitpid(child, 0)

    running = Child(program)
    told = running.told(seconds)
    running.end()
    verdicts = Counter(verdict for _, verdict, _ in told)
    users: dict[int, set[int]] = {}
    for process, _, session in told:
        users.setdefault(session, set()).add(process)
    users.pop(0, None)
    missing = 1 + (1 + CHILDREN) * each - len(told)
    shared = sum(len(processes) > 1 for processes in users.values())
    return Forked(verdicts["right"], verdicts["wrong"], verdicts["failed"], missing, shared)


def _ask_all(asking: Asking, process: int, each: int, tell: Callable[[object], None]) -> None:
    for number in range(process * each + 1, (process + 1) * each + 1):
        tell([process, *_asked(asking, number)])


def _asked(asking: Asking, number: int) -> tuple[str, int]:
    try:
        found, session = asking.ask(number)
    except Exception:  # whatever it is, it is no answer
        return "failed", 0
    return ("right" if found == number else "wrong"), session


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    drivers = ["psycopg", "asyncpg"] + (["pymysql", "asyncmy"] if place.mariadb() is not None else [])
    ways: list[tuple[str, Callable[[str], Asking], str]] = []
    for driver in drivers:
        ways.append(("hermetic", Ours if driver in ("psycopg", "pymysql") else OursAsync, driver))
    for name, make, driver in (*ways, ("SQLAlchemy", Plain, "psycopg")):
        server = place.mariadb() if "my" in driver else place.cluster
        assert server is not None
        url, is_ours = server.url(server.new_database(), driver), name == "hermetic"
        found = fork(make, url, 5000 if is_long else 200, 60 if is_ours else 2)
        told = f"{found.right:,} right answers, {found.wrong} wrong rows, {found.failed} errors"
        told += f", {found.missing} without an answer, {found.shared} sessions of two processes"
        is_kept = found.wrong + found.failed + found.missing + found.shared == 0
        yield Row(f"{name}, {driver}", told, is_kept, not is_ours)


FIGURE = Figure(
    "fork",
    "the child of a fork never gets an answer that belongs to another process",
    "a process forks twice while its pool is warm, and all three ask 200 questions side by side",
    _rows,
)
