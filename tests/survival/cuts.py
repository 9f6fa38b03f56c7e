"""The stream of a transaction, cut behind every byte in both directions.

Invariant: whatever byte was the last, the caller is told the truth: `ok` is stored once, "nothing was stored" is not
there. Oracle: the table, read when no session is at work any more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from survival.cluster import Cluster
from survival.figure import Figure, Row, others, said
from survival.history import History, Reckoning, reckon
from survival.mariadb import MariaDB
from survival.place import Place
from survival.proxy import Way
from survival.ways import HERMETIC, HERMETIC_ONCE, NAIVE, Kind, noted

METADATA = MetaData()
NOTE = Table("note", METADATA, Column("name", Text))
TALLY = Table("tally", METADATA, Column("id", Integer, primary_key=True), Column("count", Integer, nullable=False))

ASYNC = ("asyncpg", "asyncmy")


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found.

    Attributes:
        points: bytes behind which the stream was cut.
        reckoning: what the callers were told against the table.
        total: bytes of the transaction, up and down.
        reasons: what the callers were told beside `ok`.
    """

    points: int
    reckoning: Reckoning
    total: dict[Way, int]
    reasons: Counter[str]


def write(session: Session, name: str) -> None:
    session.execute(select(TALLY.c.count))
    session.execute(update(TALLY).values(count=TALLY.c.count + 1))
    session.execute(insert(NOTE).values(name=name))


async def write_async(session: AsyncSession, name: str) -> None:
    await session.execute(select(TALLY.c.count))
    await session.execute(update(TALLY).values(count=TALLY.c.count + 1))
    await session.execute(insert(NOTE).values(name=name))


def sweep(place: Cluster | MariaDB, kind: Kind, driver: str, stride: int, last: int) -> Sweep:
    """Cut at every `stride`-th byte, and at each of the `last` ones, where COMMIT and its answer are."""
    database = place.new_database()
    with_tables = kind.sync(place.url(database, "pymysql" if "my" in driver else "psycopg"), 1)
    with_tables.create(METADATA)
    with with_tables.engine.begin() as connection:
        connection.execute(insert(TALLY).values(id=1, count=0))
    with_tables.close()
    if driver in ASYNC:
        return _sweep_async(place, kind, database, driver, stride, last)
    way = kind.sync(place.url(database, driver), 1)
    try:
        return _swept(place, database, lambda name: way.run(write, name), stride, last)
    finally:
        way.close()


def _sweep_async(place: Cluster | MariaDB, kind: Kind, database: str, driver: str, stride: int, last: int) -> Sweep:
    with asyncio.Runner() as runner:
        way = kind.asynchronous(place.url(database, driver), 1)
        try:
            return _swept(place, database, lambda name: runner.run(way.run(write_async, name)), stride, last)
        finally:
            runner.run(way.close())


def _swept(place: Cluster | MariaDB, database: str, run: Callable[[str], Any], stride: int, last: int) -> Sweep:
    history = History()
    names = (f"{number:05}" for number in range(100_000))

    def told() -> None:
        name = next(names)
        with noted(history, name):
            run(name)

    total = _measured(place, told)
    count = 0
    for way in total:
        for point in _points(total[way], stride, last):
            told()
            told()  # the connection has seen it before, and not so often that psycopg prepares it
            place.proxy.cut_after(way, point)
            told()
            if not place.proxy.is_cut:
                place.proxy.reset_all()
            place.proxy.heal()
            count += 1
    place.wait_quiet(database)
    stored = [name for (name,) in place.sql("SELECT name FROM note", database=database)]
    (tally,) = place.sql("SELECT count FROM tally", database=database)[0]
    assert tally == len(stored), "a transaction is there in part"
    return Sweep(count, reckon(history, stored), total, history.reasons)


def _measured(place: Cluster | MariaDB, told: Callable[[], None]) -> dict[Way, int]:
    """Return the bytes of a transaction on a connection that has seen one before, as each is that is cut."""
    for _ in range(3):  # what a dialect asks once is behind us
        told()
    place.proxy.reset_all()
    told()
    told()
    before = dict(place.proxy.passed)
    told()
    return {way: place.proxy.passed[way] - before[way] for way in ("up", "down")}


def _points(total: int, stride: int, last: int) -> Iterable[int]:
    return [point for point in range(total) if point % stride == 0 or point >= total - last]


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    drivers = ["psycopg", "asyncpg"] + (["pymysql", "asyncmy"] if place.mariadb() is not None else [])
    for kind in (HERMETIC, HERMETIC_ONCE, NAIVE, *others()):
        is_ours = kind in (HERMETIC, HERMETIC_ONCE)
        for driver in drivers if kind is HERMETIC or is_long else drivers[:1]:
            server = place.mariadb() if "my" in driver else place.cluster
            assert server is not None
            stride, last = (1, 0) if is_long else (150, 10)
            found = sweep(server, kind, driver, stride, last)
            told = f"{found.points} bytes, {found.reckoning.wrong} wrong verdicts, {said(found.reckoning)}"
            is_kept = found.reckoning.wrong == 0 and found.reckoning.unknown == 0
            is_kept = is_kept and (kind is HERMETIC_ONCE or found.reckoning.failed == 0)
            yield Row(f"{kind.name}, {driver}", told, is_kept, not is_ours)


FIGURE = Figure(
    "cuts",
    "wherever a connection breaks, the caller is told the truth",
    "the stream of a transaction of three statements is cut behind every byte, in both directions",
    _rows,
)
