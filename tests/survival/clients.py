"""Clients that are killed in the middle of their transactions.

Invariant: a transfer is there as a whole or not at all, one that was acknowledged is there, and what the dead held is
free again. Oracle: the entries of both accounts of a transfer against the lines that its client wrote before it died,
and the sessions that the server still has.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from survival.children import Child
from survival.cluster import Cluster, until
from survival.figure import Figure, Row
from survival.history import History, Reckoning, reckon
from survival.mariadb import MariaDB
from survival.place import Place
from survival.ways import HERMETIC, AsyncPlain, Kind, Plain

ACCOUNTS = 20
BALANCE = 1000
PATIENCE = 10.0
FOUR = ("psycopg", "asyncpg", "psycopg", "asyncpg")

METADATA = MetaData()
PURSE = Table(
    "purse",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("balance", Integer, nullable=False),
)
ENTRY = Table(
    "entry",
    METADATA,
    Column("transfer", Text, nullable=False),
    Column("purse", Integer, nullable=False),
    Column("amount", Integer, nullable=False),
)

Tell = Callable[[object], None]


@dataclass(frozen=True, slots=True)
class Killed:
    """What the dead left.

    Attributes:
        kills: how many clients were killed; `inside` of them in a transaction.
        reckoning: what they had told against the entries.
        half: transfers that are there in part.
        total: of all balances and of all entries; 0 when nothing was half done.
        slowest: seconds until the server had no session of the dead any more.
    """

    kills: int
    inside: int
    reckoning: Reckoning
    half: int
    total: int
    slowest: float


class Piecemeal(Plain):
    """A session whose statements are committed one by one."""

    def __init__(self, url: str, size: int) -> None:
        super().__init__(url, size)
        self.engine = create_engine(url, pool_size=size, isolation_level="AUTOCOMMIT")


class AsyncPiecemeal(AsyncPlain):
    """The async twin of `Piecemeal`."""

    def __init__(self, url: str, size: int) -> None:
        super().__init__(url, size)
        self.engine = create_async_engine(url, pool_size=size, isolation_level="AUTOCOMMIT")


def transfer(session: Session, name: str, source: int, target: int) -> None:
    for statement in _statements(name, source, target):
        session.execute(statement)


async def transfer_async(session: AsyncSession, name: str, source: int, target: int) -> None:
    for statement in _statements(name, source, target):
        await session.execute(statement)


def _statements(name: str, source: int, target: int) -> Iterator[Any]:
    for purse, amount in sorted(((source, -1), (target, 1))):
        yield update(PURSE).where(PURSE.c.id == purse).values(balance=PURSE.c.balance + amount)
        yield insert(ENTRY).values(transfer=name, purse=purse, amount=amount)


def client(kind: Kind, url: str, seed: int) -> Callable[[Tell], None]:
    """Return the body of a client, which transfers until it is killed and tells of each before and after."""

    def orders(tell: Tell) -> Iterator[tuple[str, int, int]]:
        numbers = random.Random(seed)
        for count in range(1_000_000):
            name, (source, target) = f"{seed}/{count}", numbers.sample(range(ACCOUNTS), 2)
            tell(["begun", name])
            yield name, source, target
            tell(["ok", name])

    def body(tell: Tell) -> None:
        way = kind.sync(url, 1)
        for order in orders(tell):
            way.run(transfer, *order)

    def body_async(tell: Tell) -> None:
        async def main() -> None:
            way = kind.asynchronous(url, 1)
            for order in orders(tell):
                await way.run(transfer_async, *order)

        asyncio.run(main())

    return body_async if "asyncpg" in url or "asyncmy" in url else body


def kill(place: Cluster | MariaDB, kind: Kind, drivers: tuple[str, ...], rounds: int, seed: int = 7) -> Killed:
    """Start a client for each driver, kill all of them at a moment of chance, and do it again."""
    database = place.new_database()
    prepare(kind, place.direct(database, "pymysql" if "my" in drivers[0] else "psycopg"))
    slain = _slay(
        lambda turn: [client(kind, place.direct(database, each), 100 * turn + n) for n, each in enumerate(drivers)],
        lambda: not place.sessions(database),
        rounds,
        seed,
    )
    entries = place.sql("SELECT transfer, amount FROM entry", database=database)
    (balance,) = place.sql("SELECT sum(balance) FROM purse", database=database)[0]
    return _killed(*slain, entries, int(balance))


def kill_writers(kind: Kind, folder: Path, rounds: int, seed: int = 7) -> Killed:
    """Do the same to the writers of an SQLite file; the next one must get the lock."""
    file = folder / "killed.db"
    url = f"sqlite:///{file}"
    prepare(kind, url)

    def is_free() -> bool:
        with sqlite3.connect(file, timeout=0, isolation_level=None) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return False
            other.execute("ROLLBACK")
        return True

    slain = _slay(lambda turn: [client(kind, url, 100 * turn)], is_free, rounds, seed)
    with sqlite3.connect(file) as reader:
        assert reader.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        entries = reader.execute("SELECT transfer, amount FROM entry").fetchall()
        (balance,) = reader.execute("SELECT sum(balance) FROM purse").fetchone()
    return _killed(*slain, entries, balance)


def prepare(kind: Kind, url: str) -> None:
    """Fill the purses."""
    opened = kind.sync(url, 1)
    opened.create(METADATA)
    with opened.engine.begin() as connection:
        connection.execute(insert(PURSE), [{"id": number, "balance": BALANCE} for number in range(ACCOUNTS)])
    opened.close()


def _slay(
    bodies: Callable[[int], list[Callable[[Tell], None]]], is_free: Callable[[], bool], rounds: int, seed: int
) -> tuple[History, int, int, float]:
    numbers, history, slowest, kills, inside = random.Random(seed), History(), 0.0, 0, 0
    for turn in range(rounds):
        children = [Child(body) for body in bodies(turn)]
        for child in children:
            assert len(child.told(30, enough=4)) >= 4, "a client did not begin"
        time.sleep(numbers.uniform(0, 0.03))
        for child in children:
            child.signal(signal.SIGKILL)
        slowest = max(slowest, until(is_free, PATIENCE, "the server still has a session of the dead"))
        for child in children:
            told = child.told(1)
            assert child.end() == -signal.SIGKILL, "a client ended by itself"
            for word, name in told:
                if word == "begun":
                    history.invoke(name)
                else:
                    history.tell(name, "ok")
            kills += 1
            inside += told[-1][0] == "begun"
    return history, kills, inside, slowest


def _killed(history: History, kills: int, inside: int, slowest: float, entries: list[Any], balance: int) -> Killed:
    parts = Counter(name for name, _ in entries)
    half = sum(count % 2 for count in parts.values())
    stored = [name for name, count in parts.items() for _ in range(max(1, count // 2))]
    total = abs(sum(amount for _, amount in entries)) + abs(balance - ACCOUNTS * BALANCE)
    return Killed(kills, inside, reckon(history, stored), half, total, slowest)


# a client that dies while the server works for it


def kill_waiting(cluster: Cluster, kind: Kind, driver: str, interval: str, seconds: float) -> tuple[float, bool]:
    """Kill a client that holds a lock while a statement of it runs; return how long the lock was held beyond, and
    whether it was free within `seconds`.
    """
    database = cluster.new_database()
    prepare(kind, cluster.direct(database))
    cluster.sql(f"ALTER DATABASE {database} SET client_connection_check_interval = '{interval}'")

    def body(tell: Tell) -> None:
        if driver == "psycopg":
            kind.sync(cluster.direct(database, driver), 1).run(_hold)
        else:
            asyncio.run(_run_async(kind, cluster.direct(database, driver)))

    holder = Child(body)

    def is_held() -> bool:
        return bool(
            cluster.sql(
                "SELECT 1 FROM purse WHERE id NOT IN (SELECT id FROM purse FOR UPDATE SKIP LOCKED)", database=database
            )
        )

    until(is_held, 30, "the client has not begun")
    holder.end()
    begun = time.monotonic()
    while is_held() and time.monotonic() - begun < seconds:
        time.sleep(0.01)
    held = time.monotonic() - begun
    is_free = not is_held()
    cluster.terminate_all(database)
    return held, is_free


async def _run_async(kind: Kind, url: str) -> None:
    await kind.asynchronous(url, 1).run(_hold_async)


def _hold(session: Session) -> None:
    session.execute(select(PURSE).with_for_update())
    session.execute(select(text("pg_sleep(60)")))


async def _hold_async(session: AsyncSession) -> None:
    await session.execute(select(PURSE).with_for_update())
    await session.execute(select(text("pg_sleep(60)")))


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    rounds = 100 if is_long else 5
    found = {"hermetic, 4 clients on psycopg and asyncpg": kill(place.cluster, HERMETIC, FOUR, rounds)}
    if (mariadb := place.mariadb()) is not None:
        found["hermetic, pymysql and asyncmy"] = kill(mariadb, HERMETIC, ("pymysql", "asyncmy"), rounds)
    with TemporaryDirectory() as folder:
        found["hermetic, sqlite"] = kill_writers(HERMETIC, Path(folder), rounds)
    piecemeal = Kind("SQLAlchemy, each statement committed", Piecemeal, AsyncPiecemeal)
    found[f"{piecemeal.name}, 4 clients"] = kill(place.cluster, piecemeal, FOUR, rounds)
    for name, killed in found.items():
        told = (
            f"{killed.kills} killed, {killed.inside} of them in a transaction; {killed.reckoning.acked:,} acknowledged"
        )
        told += f", {killed.reckoning.lost} lost, {killed.reckoning.duplicated} duplicated, {killed.half} half stored"
        told += f"; all locks free after {killed.slowest:.2f} s at most"
        is_whole = killed.half + killed.total + killed.reckoning.wrong == 0
        yield Row(name, told, is_whole and killed.slowest < 1, name.startswith(piecemeal.name))
    for interval, driver in (("500ms", "psycopg"), ("500ms", "asyncpg"), ("0", "psycopg")):
        held, is_free = kill_waiting(place.cluster, HERMETIC, driver, interval, seconds=1.5)
        told = f"locks free after {held:.2f} s" if is_free else f"locks still held after {held:.1f} s"
        way = f"hermetic, {driver}, killed during a statement, client_connection_check_interval = {interval}"
        yield Row(way, told, is_free, interval == "0")


FIGURE = Figure(
    "client",
    "a client that dies leaves nothing half stored, and its locks within a second",
    "client processes are killed with SIGKILL in the middle of their transactions",
    _rows,
)
