"""Transactions that collide: a storm of deadlocks, and the write skew that only SERIALIZABLE prevents.

Invariant: everybody is answered, and the outcome is one that some order of the transactions has.
Oracle: the deadlocks that the server counted, the sum of the accounts, and the shifts without a doctor.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Boolean, Column, Integer, MetaData, Table, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from survival import bank
from survival.cluster import SERIALIZABLE, Cluster
from survival.figure import Figure, Row, others, said
from survival.history import History, Reckoning, reckon
from survival.place import Place
from survival.ways import HERMETIC, PLAIN, Aborted, AsyncWay, Kind, Unknown, noted

METADATA = MetaData()
DUTY = Table(
    "duty",
    METADATA,
    Column("shift", Integer, primary_key=True, autoincrement=False),
    Column("doctor", Integer, primary_key=True, autoincrement=False),
    Column("is_on", Boolean, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Storm:
    """What a storm of deadlocks left.

    Attributes:
        reckoning: the callers against the ledger.
        deadlocks: how many the server broke up.
        total: of all balances.
        slowest: seconds of the caller who waited longest.
        reasons: what callers were told beside `ok`.
    """

    reckoning: Reckoning
    deadlocks: int
    total: int
    slowest: float
    reasons: Counter[str]


def storm(cluster: Cluster, kind: Kind, driver: str, *, tasks: int, each: int, accounts: int = 4) -> Storm:
    """Let tasks move money between very few accounts, in both orders."""
    database = cluster.new_database()
    bank.prepare(cluster, kind, database, accounts)
    history, waited = History(), [0.0]

    async def work(number: int, way: AsyncWay) -> None:
        numbers = random.Random(number)
        for count in range(each):
            name, (source, target) = f"{number}/{count}", numbers.sample(range(accounts), 2)
            begun = time.monotonic()
            with noted(history, name):
                await way.run(_slow_transfer, name, source, target)
            waited.append(time.monotonic() - begun)

    async def run() -> None:
        way = kind.asynchronous(cluster.url(database, driver), tasks)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(tasks):
                    group.create_task(work(number, way))
        finally:
            await way.close()

    asyncio.run(run())
    cluster.wait_quiet(database)
    asked = "SELECT deadlocks FROM pg_stat_database WHERE datname = %s"
    (deadlocks,) = cluster.sql(asked, database)[0]
    stored, total = bank.left_of(cluster, database)
    return Storm(reckon(history, stored), deadlocks, total, max(waited), history.reasons)


async def _slow_transfer(session: AsyncSession, name: str, source: int, target: int) -> None:
    await session.execute(bank.paid(source, -1))
    await asyncio.sleep(0)  # the others have their turn between the two locks
    await session.execute(bank.paid(target, 1))
    await session.execute(bank.entered(name, 1))


class Meeting:
    """All have read before the first one writes: each waits for all others, and a later attempt waits no more."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._here: set[int] = set()
        self._full = asyncio.Event()

    async def attend(self, who: int) -> None:
        self._here.add(who)
        if len(self._here) == self._count:
            self._full.set()
        await self._full.wait()


@dataclass(frozen=True, slots=True)
class Skew:
    """What is left of the shifts.

    Attributes:
        requests: doctors who asked to go.
        answered: those who were told yes or no.
        anomalies: shifts without a doctor.
    """

    requests: int
    answered: int
    anomalies: int


def skew(cluster: Cluster, kind: Kind, driver: str, *, serializable: bool, tasks: int, shifts: int) -> Skew:
    """Let all doctors of a shift ask at once to go, each of whom may if another stays."""
    database = cluster.new_database()
    opened = kind.sync(cluster.url(database), 1)
    opened.create(METADATA)
    with opened.engine.begin() as connection:
        everyone = [{"shift": s, "doctor": d, "is_on": True} for s in range(shifts) for d in range(tasks)]
        connection.execute(insert(DUTY), everyone)
    opened.close()
    answers: list[bool] = []

    async def run() -> None:
        user = SERIALIZABLE if serializable else "postgres"
        way = kind.asynchronous(cluster.url(database, driver, user=user), tasks)

        async def ask(shift: int, doctor: int, meeting: Meeting) -> None:
            try:
                answers.append(await way.run(_leave, shift, doctor, meeting))
            except (Aborted, Unknown):
                await meeting.attend(doctor)  # who failed on the way there is not waited for

        try:
            for shift in range(shifts):
                meeting = Meeting(tasks)
                async with asyncio.TaskGroup() as group:
                    for doctor in range(tasks):
                        group.create_task(ask(shift, doctor, meeting))
        finally:
            await way.close()

    asyncio.run(run())
    cluster.wait_quiet(database)
    asked = "SELECT count(*) FROM (SELECT shift FROM duty GROUP BY shift HAVING NOT bool_or(is_on)) AS empty"
    (anomalies,) = cluster.sql(asked, database=database)[0]
    return Skew(tasks * shifts, len(answers), anomalies)


async def _leave(session: AsyncSession, shift: int, doctor: int, meeting: Meeting) -> bool:
    left = await session.scalar(select(func.count()).where(DUTY.c.shift == shift, DUTY.c.is_on))
    await meeting.attend(doctor)
    if left is None or left < 2:
        return False
    await session.execute(update(DUTY).where(DUTY.c.shift == shift, DUTY.c.doctor == doctor).values(is_on=False))
    return True


def _storm_rows(place: Place, is_long: bool) -> Iterator[Row]:
    for kind in (HERMETIC, *others()):
        for driver in ("asyncpg", "psycopg") if kind is HERMETIC or is_long else ("asyncpg",):
            found = storm(place.cluster, kind, driver, tasks=16, each=60 if is_long else 6)
            told = f"{said(found.reckoning)}; {found.deadlocks} deadlocks, slowest caller {found.slowest:.1f} s"
            is_kept = found.reckoning.wrong == 0 and found.reckoning.failed == 0 and found.deadlocks > 0
            is_kept = is_kept and found.total == 4 * bank.BALANCE
            yield Row(f"{kind.name}, {driver}", told, is_kept, kind is not HERMETIC)


DEADLOCKS = Figure(
    "deadlocks",
    "transactions that deadlock all commit in the end",
    "16 tasks move money between 4 accounts, in both orders",
    _storm_rows,
)


def _skew_rows(place: Place, is_long: bool) -> Iterator[Row]:
    for kind, serializable in ((HERMETIC, True), (PLAIN, True), (PLAIN, False)):
        for driver in ("asyncpg", "psycopg") if kind is HERMETIC or is_long else ("asyncpg",):
            shifts = 60 if is_long else 4
            found = skew(place.cluster, kind, driver, serializable=serializable, tasks=16, shifts=shifts)
            told = f"{found.requests} requests, {found.answered} answered, {found.anomalies} shifts without a doctor"
            is_kept = found.anomalies == 0 and found.answered == found.requests
            level = "SERIALIZABLE" if serializable else "READ COMMITTED"
            yield Row(f"{kind.name}, {driver}, {level}", told, is_kept, kind is not HERMETIC)


SKEW = Figure(
    "skew",
    "SERIALIZABLE has no anomaly, and everybody is answered",
    "16 doctors of a shift ask at once to go, each of whom may if another stays",
    _skew_rows,
)
