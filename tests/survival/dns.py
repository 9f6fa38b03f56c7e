"""A server whose name leads elsewhere after a failover: the application finds it without being started again.

Invariant: every use case is answered, at the new address once the name leads there, and stored once. Oracle: the log of
the callers against the table, and the connections that either address was asked for. The drivers look names up with
`socket.getaddrinfo` (psycopg too, before libpq), which is where the name is changed.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from sqlalchemy import Column, MetaData, Table, Text, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from survival.cluster import Cluster, until
from survival.figure import Figure, Row
from survival.history import History, Reckoning, reckon
from survival.place import Place
from survival.proxy import HOST, Proxy
from survival.restarts import OURS
from survival.ways import PLAIN, AsyncWay, Kind, SyncWay, noted

NAME = "db.survival.test"
OTHER = "127.0.0.2"
CALLERS = 8

METADATA = MetaData()
PARCEL = Table("sent", METADATA, Column("name", Text, nullable=False))


@dataclass(frozen=True, slots=True)
class Moved:
    """What the callers met.

    Attributes:
        reckoning: the callers against the table.
        seconds: from the moment the name leads elsewhere to the first answer from there; infinity without any.
        left: connections that the old address was asked for afterwards.
        found: connections that the new one was.
    """

    reckoning: Reckoning
    seconds: float
    left: int
    found: int


@dataclass
class _Calls:
    """What all callers share."""

    history: History = field(default_factory=History)
    is_over: threading.Event = field(default_factory=threading.Event)


def _send(session: Session, name: str) -> None:
    session.execute(insert(PARCEL).values(name=name))


async def _send_async(session: AsyncSession, name: str) -> None:
    await session.execute(insert(PARCEL).values(name=name))


def _work(way: SyncWay, calls: _Calls, who: int) -> None:
    number = 0
    while not calls.is_over.is_set():
        name, number = f"{who}/{number}", number + 1
        with noted(calls.history, name):
            way.run(_send, name)


async def _work_async(way: AsyncWay, calls: _Calls, who: int) -> None:
    number = 0
    while not calls.is_over.is_set():
        name, number = f"{who}/{number}", number + 1
        with noted(calls.history, name):
            await way.run(_send_async, name)


class _Names:
    """The name service of this process, with one name of its own."""

    def __init__(self) -> None:
        self.address = HOST
        self._known = socket.getaddrinfo

    def look_up(self, host: Any, *arguments: Any, **options: Any) -> Any:
        return self._known(self.address if host == NAME else host, *arguments, **options)


def move(cluster: Cluster, kind: Kind, driver: str, moves: int, host: str = NAME) -> Moved:
    """Let callers write while the name is moved, `moves` times there and back; the old address is gone each time."""
    database = cluster.new_database()
    opened = kind.sync(cluster.url(database), 1)
    opened.create(METADATA)
    opened.close()
    calls, names = _Calls(), _Names()
    with patch("socket.getaddrinfo", names.look_up), Proxy(cluster.server.port) as first:
        url = cluster.url(database, driver.removeprefix("sync "), port=first.port).replace(HOST, host)
        with Proxy(cluster.server.port, at=(OTHER, first.port)) as second:
            failover = _Failover(calls, names, (first, second), moves)
            if driver.startswith("sync "):
                _with_threads(kind, url, calls, failover)
            else:
                asyncio.run(_with_tasks(kind, url, calls, failover))
    cluster.wait_quiet(database)
    stored = [name for (name,) in cluster.sql("SELECT name FROM sent", database=database)]
    return Moved(reckon(calls.history, stored), failover.seconds, failover.left, failover.found)


class _Failover:
    """The moves of one run, and what was seen of them."""

    def __init__(self, calls: _Calls, names: _Names, proxies: tuple[Proxy, Proxy], moves: int) -> None:
        self.seconds = 0.0
        self.left = self.found = 0
        self._calls, self._names, self._proxies, self._moves = calls, names, proxies, moves

    def run(self) -> None:
        try:
            old, new = self._proxies
            for _ in range(self._moves):
                begun = time.monotonic()
                self._wait_for(begun, 50)
                self._move(old, new)
                old, new = new, old
        finally:
            self._calls.is_over.set()

    def _move(self, old: Proxy, new: Proxy) -> None:
        new.heal()
        asked = len(new.asked)
        self._names.address = HOST if new is self._proxies[0] else OTHER
        moved = time.monotonic()
        old.is_down = True
        old.reset_all()
        gone = time.monotonic()
        self._wait_for(gone, 50)
        self.found += len(new.asked) - asked
        # who had looked the name up before may still ask there
        self.left += sum(each > moved + 0.5 for each in old.asked)
        later = [each for each in self._calls.history.times if each > gone]
        self.seconds = max(self.seconds, later[0] - moved if later else float("inf"))

    def _wait_for(self, since: float, count: int) -> None:
        """Wait for so many answers, or until none has come for two seconds: the control gets what was on its way."""
        times = self._calls.history.times
        until(
            lambda: sum(each > since for each in times) >= count or time.monotonic() - max([since, *times[-1:]]) > 2,
            30,
            "callers are not answered",
        )


def _with_threads(kind: Kind, url: str, calls: _Calls, failover: _Failover) -> None:
    way = kind.sync(url, CALLERS)
    try:
        with ThreadPoolExecutor(CALLERS) as threads:
            working = [threads.submit(_work, way, calls, who) for who in range(CALLERS)]
            failover.run()
        for each in working:
            each.result()
    finally:
        way.close()


async def _with_tasks(kind: Kind, url: str, calls: _Calls, failover: _Failover) -> None:
    way = kind.asynchronous(url, CALLERS)
    try:
        async with asyncio.TaskGroup() as group:
            for who in range(CALLERS):
                group.create_task(_work_async(way, calls, who))
            await asyncio.to_thread(failover.run)
    finally:
        await way.close()


def _is_there() -> bool:
    """Return whether this machine has a second address, as Linux does."""
    try:
        socket.create_server((OTHER, 0)).close()
    except OSError:
        return False
    return True


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    if not _is_there():
        return
    ways = [(OURS, "asyncpg", NAME), (OURS, "psycopg", NAME), (OURS, "sync psycopg", NAME), (PLAIN, "asyncpg", HOST)]
    for kind, driver, host in ways:
        found = move(place.cluster, kind, driver, (20 if is_long else 2) if host == NAME else 1, host)
        reckoning = found.reckoning
        told = f"{reckoning.acked:,} answered, {reckoning.failed} failed, {reckoning.unknown} not known, "
        told += f"{reckoning.wrong} lost or twice; " + (
            f"first answer from the new address after {found.seconds:.2f} s at most, {found.found} connects to it, "
            f"{found.left} to the old one"
            if found.found
            else "the new address was never asked"
        )
        is_kept = reckoning.failed + reckoning.unknown + reckoning.wrong + found.left == 0 and found.found > 0
        name = kind.name if host == NAME else f"{kind.name}, address looked up once at the start"
        yield Row(f"{name}, {driver}", told, is_kept, host != NAME)


FIGURE = Figure(
    "dns",
    "new connections go where the name leads now, and no use case fails",
    "the name of the server leads to another address, and the old one refuses and resets all connections",
    _rows,
)
