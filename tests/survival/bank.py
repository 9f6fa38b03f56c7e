"""A bank under fire: transfers by tasks and threads while the server is killed and connections are cut at COMMIT.

Invariant: what a caller was told is what the ledger holds, once; the sum of all accounts never changes.
Oracle: the ledger, which has no unique key on the id of a transfer so that a duplicate shows, against the log of the
callers. The sum alone would not do: a transfer that happens twice leaves it as it is.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Column, Identity, Integer, MetaData, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from survival.cluster import SERIALIZABLE, Cluster
from survival.figure import Figure, Row, others, said
from survival.history import History, Reckoning, reckon
from survival.nemesis import Nemesis
from survival.place import Place
from survival.ways import HERMETIC, NAIVE, AsyncWay, Kind, SyncWay, noted

ACCOUNTS = 50
BALANCE = 1000

METADATA = MetaData()
ACCOUNT = Table(
    "account", METADATA, Column("id", Integer, primary_key=True), Column("balance", Integer, nullable=False)
)
LEDGER = Table(
    "ledger",
    METADATA,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("transfer", Text, nullable=False),
    Column("amount", Integer, nullable=False),
)


FIRST = ("COMMIT cut after", "kill -9", "COMMIT cut after", "immediate restart", "COMMIT cut before")
"""The faults that even a short run has, before those of the seed."""


@dataclass(frozen=True, slots=True)
class Fire:
    """How long and how hot.

    Attributes:
        seconds: how long new transfers begin.
        seed: decides transfers and faults.
        crews: tasks on asyncpg, tasks on psycopg, threads on psycopg.
        pool: connections of each database object; there are two for each crew, one of them serializable.
        pause: seconds between two faults.
    """

    seconds: float
    seed: int
    crews: tuple[int, int, int] = (12, 12, 8)
    pool: int = 5
    pause: tuple[float, float] = (0.05, 0.25)


@dataclass(frozen=True, slots=True)
class Burnt:
    """What is left.

    Attributes:
        reckoning: the callers against the ledger.
        faults: how often each was done.
        total: of all balances; `ACCOUNTS * BALANCE` when nothing was half done.
        gap: the longest time, in seconds, in which no transfer was acknowledged.
        drained: seconds after the last fault in which the last caller was answered.
        reasons: what callers were told beside `ok`.
        lent: connections that the pools still lend.
    """

    reckoning: Reckoning
    faults: Counter[str]
    total: int
    gap: float
    drained: float
    reasons: Counter[str]
    lent: int


def transfer(session: Session, name: str, source: int, target: int, amount: int) -> None:
    session.execute(paid(source, -amount))
    session.execute(paid(target, amount))
    session.execute(entered(name, amount))


async def transfer_async(session: AsyncSession, name: str, source: int, target: int, amount: int) -> None:
    await session.execute(paid(source, -amount))
    await session.execute(paid(target, amount))
    await session.execute(entered(name, amount))


def paid(account: int, amount: int) -> Any:
    return update(ACCOUNT).where(ACCOUNT.c.id == account).values(balance=ACCOUNT.c.balance + amount)


def entered(name: str, amount: int) -> Any:
    return insert(LEDGER).values(transfer=name, amount=amount)


def faults(cluster: Cluster, database: str) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the faults of the bank and how often each comes."""
    proxy = cluster.proxy
    done = {
        "COMMIT cut before": lambda: proxy.set_trap(b"COMMIT", "drop"),
        "COMMIT cut after": lambda: proxy.set_trap(b"COMMIT", "swallow"),
        "COMMIT cut during": lambda: proxy.set_trap(b"COMMIT", "abandon"),
        "all backends terminated": lambda: cluster.terminate_all(database),
        "all connections reset": proxy.reset_all,
        "immediate restart": cluster.bounce,
        "kill -9": cluster.crash,
    }
    weights = dict(zip(done, (20, 20, 10, 15, 15, 14, 6), strict=True))
    return done, weights


class _Crew:
    """The workers of one run, and what they share."""

    def __init__(self, fire: Fire) -> None:
        self.fire = fire
        self.history = History()
        self.deadline = 0.0

    def fired(self, cluster: Cluster, database: str) -> Nemesis:
        """Begin now, and return the nemesis of these crews."""
        self.deadline = time.monotonic() + self.fire.seconds
        done, weights = faults(cluster, database)
        return Nemesis(done, weights, self.fire.seed, self.fire.pause, FIRST, self.deadline)

    def is_open(self) -> bool:
        return time.monotonic() < self.deadline

    def order(self, numbers: random.Random) -> tuple[str, int, int, int]:
        name = str(uuid.UUID(int=numbers.getrandbits(128)))
        source, target = numbers.sample(range(ACCOUNTS), 2)
        return name, source, target, numbers.randint(1, 5)

    def work(self, ways: list[SyncWay], number: int) -> None:
        numbers = random.Random(self.fire.seed * 1000 + number)
        while self.is_open():
            order = self.order(numbers)
            with noted(self.history, order[0]):
                numbers.choice(ways).run(transfer, *order)

    async def work_async(self, ways: list[AsyncWay], number: int) -> None:
        numbers = random.Random(self.fire.seed * 1000 + number)
        while self.is_open():
            order = self.order(numbers)
            with noted(self.history, order[0]):
                await numbers.choice(ways).run(transfer_async, *order)


def burn(cluster: Cluster, kind: Kind, fire: Fire) -> Burnt:
    """Run the bank with one kind of way, and reckon."""
    database = cluster.new_database()
    prepare(cluster, kind, database, ACCOUNTS)
    crew = _Crew(fire)
    counts, lent = _run(cluster, kind, crew, database)
    drained = time.monotonic() - crew.deadline
    cluster.proxy.heal()
    cluster.proxy.reset_all()
    cluster.wait_quiet(database)
    stored, total = left_of(cluster, database)
    moments = sorted([crew.deadline - fire.seconds, *crew.history.times, crew.deadline])
    gap = max(later - earlier for earlier, later in itertools.pairwise(moments))
    return Burnt(reckon(crew.history, stored), counts, total, gap, drained, crew.history.reasons, lent)


def prepare(cluster: Cluster, kind: Kind, database: str, accounts: int) -> None:
    """Open the accounts."""
    opened = kind.sync(cluster.url(database), 1)
    opened.create(METADATA)
    with opened.engine.begin() as connection:
        connection.execute(insert(ACCOUNT), [{"id": number, "balance": BALANCE} for number in range(accounts)])
    opened.close()


def left_of(cluster: Cluster, database: str) -> tuple[list[str], int]:
    """Return the transfers of the ledger and the total of the accounts."""
    stored = [name for (name,) in cluster.sql("SELECT transfer FROM ledger", database=database)]
    (total,) = cluster.sql("SELECT sum(balance)::int FROM account", database=database)[0]
    return stored, total


def _run(cluster: Cluster, kind: Kind, crew: _Crew, database: str) -> tuple[Counter[str], int]:
    """Let the crews work under fire; return the faults, and how many connections the pools still lend afterwards."""
    fire, users = crew.fire, ("postgres", SERIALIZABLE)
    asyncpg, psycopg, threads = fire.crews
    ways = [kind.sync(cluster.url(database, user=user), fire.pool) for user in users]

    async def run_async() -> tuple[Counter[str], int]:
        pools = {
            driver: [kind.asynchronous(cluster.url(database, driver, user=user), fire.pool) for user in users]
            for driver in ("asyncpg", "psycopg")
        }
        opened = [way for each in pools.values() for way in each]
        for way in opened:
            await way.run(_hello_async)  # a program that is up and running
        loop = asyncio.get_running_loop()
        try:
            with ThreadPoolExecutor(threads) as executor, crew.fired(cluster, database) as nemesis:
                async with asyncio.TaskGroup() as group:
                    for number in range(asyncpg + psycopg):
                        driver = "asyncpg" if number < asyncpg else "psycopg"
                        group.create_task(crew.work_async(pools[driver], number))
                    for number in range(threads):
                        group.create_task(_done(loop.run_in_executor(executor, crew.work, ways, 100 + number)))
            return nemesis.counts, sum(way.engine.sync_engine.pool.checkedout() for way in opened)
        finally:
            for way in opened:
                await way.close()

    for way in ways:
        way.run(_hello)
    try:
        counts, left = asyncio.run(run_async())
        return counts, left + sum(way.engine.pool.checkedout() for way in ways)
    finally:
        for way in ways:
            way.close()


async def _done(work: Awaitable[None]) -> None:
    await work


def _hello(session: Session) -> None:
    session.execute(select(1))


async def _hello_async(session: AsyncSession) -> None:
    await session.execute(select(1))


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    for kind in (HERMETIC, NAIVE, *others()):
        seconds = (120 if kind is HERMETIC else 30) if is_long else (6 if kind is HERMETIC else 3)
        found = burn(place.cluster, kind, Fire(seconds, seed=11))
        faults, crashes = found.faults.total(), found.faults["kill -9"] + found.faults["immediate restart"]
        told = f"{said(found.reckoning)}; {faults} faults, {crashes} of them crashes; total {found.total:,}"
        is_whole = found.total == ACCOUNTS * BALANCE and found.lent == 0
        is_kept = found.reckoning.wrong == 0 and found.reckoning.unknown == 0 and found.reckoning.failed == 0
        yield Row(f"{kind.name}, 24 tasks and 8 threads", told, is_whole and is_kept, kind is not HERMETIC)


FIGURE = Figure(
    "bank",
    "nothing acknowledged is lost, nothing happens twice, nobody is left not knowing",
    "transfers while the server is killed and restarted, backends are terminated, connections are reset, and the "
    "connection is cut before, during and after COMMIT",
    _rows,
)
