"""Deadlines against a server that is silent: whatever a call waits for, it ends in time.

Invariant: a call under `deadline(...)` is over by its instant, the pool lends nothing afterwards, and a COMMIT that was
not answered is never told as undone. Oracle: the monotonic clock, from the call to its return. The silence is made by
the proxy: it accepts and acknowledges until the buffers are full, and neither reads nor passes anything on. To drop
packets takes a network namespace, which an ordinary user may not make everywhere.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

from sqlalchemy import Column, MetaData, Table, Text, func, insert, literal, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from hermetic import AsyncDatabase, Database, Pool, Retry, deadline
from survival.cluster import Cluster
from survival.figure import Figure, Row, others
from survival.place import Place
from survival.proxy import Proxy
from survival.ways import Aborted, AsyncHermetic, AsyncWay, Hermetic, Kind, SyncWay, Unknown

LATE = 0.5
"""Seconds that a call may be late, on a busy machine."""

METADATA = MetaData()
ORDER = Table("ask", METADATA, Column("name", Text, nullable=False))
ONE = select(literal(1))
LARGE = select(func.length("x" * 12 * 2**20))  # more than the buffers of all sockets on the way

WAITS = ("query", "large query", "COMMIT", "check of an idle connection", "connect", "full pool")


class Checking(Hermetic):
    """`Database` that checks each connection before use."""

    def __init__(self, url: str, size: int) -> None:
        self.db = Database(url, pool=Pool.server(size=size, overflow=0, timeout=60, ping_idle=0), retry=Retry())
        self.engine = self.db.engine


class AsyncChecking(AsyncHermetic):
    """The async twin of `Checking`."""

    def __init__(self, url: str, size: int) -> None:
        self.db = AsyncDatabase(url, pool=Pool.server(size=size, overflow=0, timeout=60, ping_idle=0), retry=Retry())
        self.engine = self.db.engine


OURS = Kind("hermetic", Checking, AsyncChecking)


@dataclass
class Kept:
    """How late the calls of one way were.

    Attributes:
        late: seconds beyond the deadline, by what was waited for; of one that was still waiting, those until then.
        hung: what was still waiting when nobody looked on any more.
        untold: calls that gave an answer nobody can have had, or said of a COMMIT that nothing was stored.
        lent: connections that the pool still lends.
    """

    late: dict[str, float] = field(default_factory=dict)
    hung: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    lent: int = 0

    def tell(self, wait: str, late: float, said: BaseException | None, *, is_hung: bool) -> None:
        self.late[wait] = late
        if is_hung:
            self.hung.append(wait)
        elif said is None or (wait == "COMMIT" and not _is_left_open(said)):
            self.untold.append(wait)


def _is_left_open(said: BaseException) -> bool:
    """Return whether an error says of a COMMIT that nobody knows; ours has a token to ask with later."""
    outcome = getattr(said.__cause__, "outcome", None)
    return isinstance(said, Unknown | TimeoutError) or bool(getattr(outcome, "token", ""))


def _ask(session: Session, proxy: Proxy, wait: str) -> None:
    session.execute(insert(ORDER).values(name=wait) if wait == "COMMIT" else ONE)
    if wait in ("query", "large query", "COMMIT"):
        proxy.freeze()
    if wait in ("query", "large query"):
        session.execute(LARGE if wait == "large query" else ONE)


async def _ask_async(session: AsyncSession, proxy: Proxy, wait: str) -> None:
    await session.execute(insert(ORDER).values(name=wait) if wait == "COMMIT" else ONE)
    if wait in ("query", "large query", "COMMIT"):
        proxy.freeze()
    if wait in ("query", "large query"):
        await session.execute(LARGE if wait == "large query" else ONE)


def _hold(session: Session, is_held: threading.Event, over: threading.Event) -> None:
    session.execute(ONE)
    is_held.set()
    over.wait()


async def _hold_async(session: AsyncSession, is_held: asyncio.Event, over: asyncio.Event) -> None:
    await session.execute(ONE)
    is_held.set()
    await over.wait()


def measure(cluster: Cluster, kind: Kind, waits: tuple[str, ...], seconds: float, patience: float) -> Kept:
    """Measure the calls of threads on psycopg; `patience` is how much longer than the deadline is looked on."""
    way, found, proxy = _opened(cluster, kind), Kept(), cluster.proxy
    try:
        for wait in waits:
            way.run(_ask, proxy, "")
            is_held, over = threading.Event(), threading.Event()
            holder = threading.Thread(target=lambda: way.run(_hold, is_held, over))  # noqa: B023  # joined in its round
            if wait == "full pool":
                holder.start()
                is_held.wait()
            if wait == "connect":
                way.engine.dispose()
            if wait in ("connect", "check of an idle connection"):
                proxy.freeze()
            said: list[BaseException | None] = []
            call = threading.Thread(target=_called, args=(way, proxy, wait, seconds, said))
            begun = time.monotonic()
            call.start()
            call.join(seconds + patience)
            late, is_hung = time.monotonic() - begun - seconds, call.is_alive()
            proxy.thaw()
            over.set()
            if is_hung:
                proxy.reset_all()
            call.join()
            if wait == "full pool":
                holder.join()
            found.tell(wait, late, said[0], is_hung=is_hung)
            way.run(_ask, proxy, "")
            found.lent += way.engine.pool.checkedout()  # type: ignore[attr-defined]
    finally:
        proxy.heal()
        way.close()
    return found


def _called(way: SyncWay, proxy: Proxy, wait: str, seconds: float, said: list[BaseException | None]) -> None:
    is_ours = isinstance(way, Hermetic)
    try:
        with deadline(seconds) if is_ours else nullcontext():
            way.run(_ask, proxy, wait)
        said.append(None)
    except (Aborted, Unknown) as error:
        said.append(error)


def _opened(cluster: Cluster, kind: Kind) -> SyncWay:
    way = kind.sync(cluster.url(cluster.new_database()), 1)
    way.create(METADATA)
    return way


def measure_async(
    cluster: Cluster, kind: Kind, driver: str, waits: tuple[str, ...], seconds: float, patience: float
) -> Kept:
    """Measure the calls of tasks."""
    opened, found, proxy = _opened(cluster, kind), Kept(), cluster.proxy
    database = opened.engine.url.database or ""
    opened.close()

    async def run() -> None:
        way = kind.asynchronous(cluster.url(database, driver), 1)
        try:
            for wait in waits:
                await way.run(_ask_async, proxy, "")
                await one(way, wait)
                await way.run(_ask_async, proxy, "")
                found.lent += way.engine.sync_engine.pool.checkedout()  # type: ignore[attr-defined]
        finally:
            proxy.heal()
            await way.close()

    async def one(way: AsyncWay, wait: str) -> None:
        is_held, over = asyncio.Event(), asyncio.Event()
        holder = asyncio.create_task(way.run(_hold_async, is_held, over)) if wait == "full pool" else None
        if holder is not None:
            await is_held.wait()
        if wait == "connect":
            await way.engine.dispose()
        if wait in ("connect", "check of an idle connection"):
            proxy.freeze()
        begun = time.monotonic()
        call = asyncio.create_task(_called_async(way, proxy, wait, seconds))
        await asyncio.wait({call}, timeout=seconds + patience)
        late, is_hung = time.monotonic() - begun - seconds, not call.done()
        proxy.thaw()
        over.set()
        if is_hung:
            await asyncio.to_thread(proxy.reset_all)
        found.tell(wait, late, await call, is_hung=is_hung)
        if holder is not None:
            await holder

    asyncio.run(run())
    return found


async def _called_async(way: AsyncWay, proxy: Proxy, wait: str, seconds: float) -> BaseException | None:
    try:
        if isinstance(way, AsyncHermetic):
            with deadline(seconds):
                await way.run(_ask_async, proxy, wait)
        else:
            async with asyncio.timeout(seconds):
                await way.run(_ask_async, proxy, wait)
    except (Aborted, Unknown, TimeoutError) as error:
        return error
    return None


def _rows(place: Place, is_long: bool) -> Iterator[Row]:
    seconds = 2.0 if is_long else 0.3
    for name, found in _measured(place.cluster, is_long, seconds):
        worst = max(found.late, key=lambda wait: found.late[wait])
        told = f"{len(found.late)} waits of {seconds:g} s, at most {max(0.0, found.late[worst]):.3f} s late ({worst})"
        told += f", {len(found.hung)} of them still waiting then" if found.hung else ""
        told += f", {len(found.untold)} told wrongly, {found.lent} connections left out"
        is_kept = found.late[worst] <= LATE and not found.hung and not found.untold and not found.lent
        yield Row(name, told, is_kept, not name.startswith("hermetic"))


def _measured(cluster: Cluster, is_long: bool, seconds: float) -> Iterator[tuple[str, Kept]]:
    patience = 6.0 if is_long else 2.5
    yield "hermetic, sync psycopg", measure(cluster, OURS, WAITS, seconds, patience)
    for driver in ("asyncpg", "psycopg"):
        yield f"hermetic, {driver}", measure_async(cluster, OURS, driver, WAITS, seconds, patience)
    for kind in others():
        name = kind.name.partition(",")[0]
        waits = WAITS if is_long else WAITS[:1]
        yield f"{name}, sync psycopg", measure(cluster, kind, waits, seconds, patience if is_long else 1.0)
        for driver in ("asyncpg", "psycopg") if is_long else ("asyncpg",):
            with_timeout = measure_async(cluster, kind, driver, waits, seconds, patience)
            yield f"{name} with asyncio.timeout, {driver}", with_timeout


FIGURE = Figure(
    "deadlines",
    "a call is over by its deadline, whatever it waits for",
    "a peer that acknowledges and never answers, before a query, inside one that fills all buffers, before COMMIT, "
    "before the check of an idle connection and before a login; a pool that is full",
    _rows,
)
