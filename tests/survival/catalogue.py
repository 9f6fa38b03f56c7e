"""The catalogue: each kind of fault that an ordinary user can cause on one machine, and what is promised about it.

Invariant: after each fault the error is of the kind that is stated, or there is none, and what `Rig.check` asks holds.
Not here: what needs root or another machine (lost packets, a disk that is really full on PostgreSQL, a second server, a
name server, a clock).
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from sqlalchemy import func, literal, make_url, select, text, update

from hermetic import (
    BlockedLoop,
    CannotConnect,
    DeadlineExceeded,
    Deadlock,
    DiskFull,
    LockTimeout,
    LostConnection,
    Pool,
    PoolExhausted,
    ReadOnlyServer,
    Retry,
    SerializationFailure,
    StatementTimeout,
    SwallowedFailure,
    TransactionTimeout,
    UnitShared,
    WrongLoop,
)
from survival import clients, fork, pooler
from survival.cluster import Cluster, until
from survival.figure import Figure, Row
from survival.mariadb import MariaDB
from survival.place import Place
from survival.rig import READ, SEAT, SIZE, TAKEN, TOUCH, WRITE, AsyncDesk, File, Later, Once, Rig, Swallowed, raw
from survival.ways import HERMETIC, NAIVE

POSTGRESQL = ("psycopg", "psycopg async", "asyncpg")
MARIADB = ("pymysql", "asyncmy")
SQLITE = ("sqlite", "aiosqlite")
SERVERS = POSTGRESQL + MARIADB
ALL = SERVERS + SQLITE
ASYNC = ("psycopg async", "asyncpg", "asyncmy", "aiosqlite")
SOON = 3.0
"""Seconds that a caller may be told later than at the deadline, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        number: its name in docs/survival.md.
        name: what is done.
        promise: what a caller is told of it.
        drivers: where it can happen.
        happen: does it and asserts what is promised; the common invariants are asked behind it.
    """

    number: str
    name: str
    promise: str
    drivers: tuple[str, ...]
    happen: Callable[[Rig], None]


# the server ends


def killed(rig: Rig) -> None:
    rig.refused(LostConnection, WRITE, rig.place.crash, TOUCH)
    rig.kept(WRITE, Once(rig.place.crash), TOUCH)


def stopped_at_once(rig: Rig) -> None:
    rig.refused(LostConnection, WRITE, rig.place.bounce, TOUCH)
    rig.kept(WRITE, Once(rig.place.bounce), TOUCH)


def stopped_fast(rig: Rig) -> None:
    rig.kept(WRITE, Once(rig.place.server.restart), TOUCH)
    rig.kept(WRITE, lambda: rig.place.signal(signal.SIGTERM), TOUCH)  # what is open may end
    with rig.other() as late:
        late.refused(CannotConnect, WRITE)
    rig.place.server.restart()


def starting(rig: Rig) -> None:
    rig.place.server.kill()
    rig.meanwhile(rig.place.server.restart)
    rig.kept(WRITE)


# connections end


def ended_idle(rig: Rig) -> None:
    rig.kill()
    rig.read()
    rig.kill()
    rig.kept(WRITE)


def ended_at_work(rig: Rig) -> None:
    rig.refused(LostConnection, WRITE, rig.when_asleep(rig.kill), rig.sleep)
    rig.kept(WRITE, Once(rig.when_asleep(rig.kill)), Once(rig.sleep))


def ended_between(rig: Rig) -> None:
    rig.refused(LostConnection, WRITE, rig.kill, TOUCH)
    rig.kept(WRITE, Once(rig.kill), TOUCH)


def cut_at_commit(rig: Rig) -> None:
    for deed in ("drop", "swallow", "abandon"):
        trap = rig.place.proxy.set_trap(b"COMMIT", deed)
        rig.kept(WRITE)
        assert trap.sprung.wait(5), "the trap was not sprung"


def orphaned(rig: Rig) -> None:
    trap = rig.place.proxy.set_trap(b"COMMIT", "orphan")
    rig.kept(WRITE, TOUCH)
    assert trap.sprung.wait(5), "the trap was not sprung"


def reset(rig: Rig) -> None:
    rig.place.proxy.reset_all()
    rig.read()
    rig.place.proxy.reset_all()
    rig.kept(WRITE)
    rig.refused(LostConnection, WRITE, rig.when_asleep(rig.place.proxy.reset_all), rig.sleep)
    rig.kept(WRITE, Once(rig.when_asleep(rig.place.proxy.reset_all)), Once(rig.sleep))


def frozen(rig: Rig) -> None:
    with rig.other(deadline=0.4) as hurried:
        hurried.read()
        begun = time.monotonic()
        hurried.refused(DeadlineExceeded, WRITE, rig.place.proxy.freeze, TOUCH)
        assert time.monotonic() - begun < 0.4 + SOON
        rig.place.proxy.thaw()
        hurried.read()


def never_answered(rig: Rig) -> None:
    rig.place.proxy.freeze()
    with rig.other(pool=Pool.server(size=SIZE, overflow=0, connect_timeout=0.3)) as late:
        begun = time.monotonic()
        late.refused(CannotConnect, WRITE)
        assert time.monotonic() - begun < 0.3 + SOON
        threading.Timer(0.2, rig.place.proxy.thaw).start()
        late.kept(WRITE)


def slowed(rig: Rig) -> None:
    rig.place.proxy.latency = 0.02
    rig.read()
    rig.kept(WRITE, TOUCH)


# the server refuses


def demoted(rig: Rig) -> None:
    rig.sql(f"ALTER DATABASE {rig.database} SET default_transaction_read_only = on")
    rig.kill()
    rig.read()
    rig.refused(ReadOnlyServer, WRITE)
    rig.read()

    def promoted() -> None:
        rig.place.sql(f"ALTER DATABASE {rig.database} RESET default_transaction_read_only")

    rig.kept(Later(promoted), WRITE)


def crowded(rig: Rig) -> None:
    role = f"crowd_{rig.database}"
    rig.sql(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT {SIZE} PASSWORD '{rig.place.server.password}'")
    rig.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
    with rig.other(rig.place.url(rig.database, rig.driver.partition(" ")[0], user=role)) as late:
        late.read()  # a login that has worked
        rig.kill()
        with _crowd(rig, role):
            rig.noted(CannotConnect, _raised(late.read))
            late.refused(CannotConnect, WRITE)
            begun = len(rig.place.proxy.asked)
            end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            threading.Timer(0.4, lambda: rig.place.sql(end, role)).start()
            late.kept(WRITE)
            assert len(rig.place.proxy.asked) - begun < 40, "the server was hammered"


@contextmanager
def _crowd(rig: Rig, role: str) -> Generator[None]:
    url = make_url(rig.place.direct(rig.database)).set(drivername="postgresql", username=role)
    text = url.update_query_dict({"application_name": role}).render_as_string(hide_password=False)
    there = [psycopg.connect(text) for _ in range(SIZE)]
    try:
        yield
    finally:
        for each in there:
            each.close()


def full(rig: Rig) -> None:
    if isinstance(rig.place, File):
        pages = rig.sql("PRAGMA page_count")[0][0]
        full = (
            text(f"PRAGMA max_page_count = {pages}"),
            *[TOUCH, text("INSERT INTO mark VALUES (hex(zeroblob(100000)))")],
        )
    else:
        full = (text("DO $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$"),)
    error = rig.refused(DiskFull, WRITE, *full, how="run")
    assert len(error.attempts) == 1  # type: ignore[attr-defined]  # given by run


def too_slow(rig: Rig) -> None:
    if isinstance(rig.place, File):
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with rig.other(deadline=0.3) as hurried:
            hurried.refused(DeadlineExceeded, WRITE, text(endless))
    elif isinstance(rig.place, MariaDB):
        rig.refused(StatementTimeout, WRITE, text("SET STATEMENT max_statement_time = 0.05 FOR SELECT SLEEP(10)"))
    else:
        rig.refused(StatementTimeout, WRITE, text("SET LOCAL statement_timeout = 50"), rig.sleep)


def locked(rig: Rig) -> None:
    with raw(rig) as other:
        other.cursor().execute("UPDATE seat SET count = 0 WHERE id = 1")
        if isinstance(rig.place, MariaDB):
            waiting: tuple[Any, ...] = (
                text("SET STATEMENT innodb_lock_wait_timeout = 1 FOR UPDATE seat SET count = 1 WHERE id = 1"),
            )
        else:
            waiting = (text("SET LOCAL lock_timeout = 50"), TOUCH)
        rig.refused(LockTimeout, WRITE, *waiting)
        rig.refused(SwallowedFailure, WRITE, *waiting[:-1], Swallowed(waiting[-1]), READ)
        rig.refused(LockTimeout, WRITE, select(SEAT).where(SEAT.c.id == 1).with_for_update(nowait=True))


def left_open(rig: Rig) -> None:
    for setting in ("idle_in_transaction_session_timeout", "transaction_timeout"):

        def gone() -> None:
            until(lambda: not any("transaction" in state for _, state in rig.place.sessions(rig.database)), 5, "open")

        kind = LostConnection if rig.driver == "asyncpg" else TransactionTimeout  # asyncpg does not say why
        rig.refused(kind, WRITE, text(f"SET LOCAL {setting} = 50"), gone, TOUCH)


# transactions that meet


def deadlocked(rig: Rig) -> None:
    def cross() -> Callable[[], None]:
        """Return the step after which somebody else holds seat 2 and waits for seat 1."""

        def act() -> None:
            has_two = threading.Event()
            rig.meanwhile(lambda: other(has_two))
            assert has_two.wait(10)
            until(is_waiting, 10, "nobody waits")

        def other(has_two: threading.Event) -> None:
            with raw(rig) as connection:
                cursor = connection.cursor()
                if isinstance(rig.place, Cluster):
                    cursor.execute("SET LOCAL deadlock_timeout = '1min'")  # the other one is to notice it
                cursor.execute("UPDATE seat SET count = count + 1 WHERE id >= 2")  # more than the other one has done
                has_two.set()
                with suppress(Exception):  # the other one's session may be ended
                    cursor.execute("UPDATE seat SET count = 0 WHERE id = 1")

        return act

    def is_waiting() -> bool:
        if isinstance(rig.place, Cluster):
            return bool(rig.sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
        return bool(rig.place.active(rig.database, "LOCK WAIT"))

    second = update(SEAT).where(SEAT.c.id == 2).values(count=5)
    rig.refused(Deadlock, WRITE, TOUCH, cross(), second)
    rig.kept(WRITE, TOUCH, Once(cross()), second)


def skewed(rig: Rig) -> None:
    def overtake(sql: str) -> Callable[[], None]:
        def act() -> None:
            with raw(rig) as other:
                other.cursor().execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                other.cursor().execute("SELECT sum(count) FROM seat").fetchall()
                other.cursor().execute(sql)
                other.commit()

        return act

    level: Any = {"isolation": "SERIALIZABLE"}
    seen = select(SEAT)
    at_statement = (seen, overtake("UPDATE seat SET count = 7 WHERE id = 1"), TOUCH)
    at_commit = (seen, TOUCH, overtake("UPDATE seat SET count = 7 WHERE id = 2"))
    for steps in (at_statement, at_commit):
        never: Any = {**level, "retry": Retry.never()}
        rig.refused(SerializationFailure, WRITE, *steps, how="run", **never)
        rig.kept(WRITE, *[Once(step) if callable(step) else step for step in steps], **level)


def stale(rig: Rig) -> None:
    rig.sql("CREATE TABLE changing (a integer)")
    seen = text("SELECT * FROM changing")
    for _ in range(8):
        rig.kept(seen, TOUCH)
    rig.sql("ALTER TABLE changing ADD COLUMN b integer")
    rig.kept(WRITE, seen, TOUCH)
    rig.sql("DROP TABLE changing")


# clients


def waiter_left(rig: Rig) -> None:
    desk = rig.desk
    if isinstance(desk, AsyncDesk):
        desk.runner.run(_cancelled_waiters(desk.db))
        return
    with rig.other(pool=Pool.server(size=1, overflow=0, timeout=0.1)) as late, late.desk.db.begin() as uow:
        _ = uow.session.connection()
        with ThreadPoolExecutor(1) as waiting:
            rig.noted(PoolExhausted, waiting.submit(late.desk.one, select(literal(1))).exception())


async def _cancelled_waiters(db: Any) -> None:
    has_all, end = asyncio.Barrier(SIZE + 1), asyncio.Event()

    async def hold() -> None:
        async with db.begin() as uow:
            await uow.one(select(literal(1)))
            await has_all.wait()
            await end.wait()

    holders = [asyncio.create_task(hold()) for _ in range(SIZE)]
    await has_all.wait()
    waiting = [asyncio.create_task(db.one(select(literal(1)))) for _ in range(5)]
    await asyncio.sleep(0)
    for each in waiting:
        each.cancel()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in found)
    end.set()
    await asyncio.gather(*holders)


def client_killed(rig: Rig) -> None:
    if isinstance(rig.place, File):
        with TemporaryDirectory() as folder:
            found = clients.kill_writers(HERMETIC, Path(folder), 2)
    else:
        found = clients.kill(rig.place, HERMETIC, (rig.driver.partition(" ")[0],), 2)
    assert found.half + found.total + found.reckoning.wrong == 0
    assert found.slowest < SOON


def forked(rig: Rig) -> None:
    found = fork.fork(fork.OursAsync if rig.is_async else fork.Ours, rig.url, 40, 20)
    assert found.wrong + found.failed + found.missing + found.shared == 0, f"{found}"


def shared(rig: Rig) -> None:
    desk = rig.desk
    if isinstance(desk, AsyncDesk):

        async def main() -> list[Any]:
            async with desk.db.begin() as uow:
                return await asyncio.gather(uow.one(READ), uow.one(READ), return_exceptions=True)

        for each in desk.runner.run(main()):
            rig.noted(UnitShared, each)
        return
    with desk.db.begin() as uow, ThreadPoolExecutor(1) as other:
        uow.one(READ)
        rig.noted(UnitShared, other.submit(uow.one, READ).exception())


def second_loop(rig: Rig) -> None:
    desk = rig.desk
    if isinstance(desk, AsyncDesk):
        desk.one(READ)
        with asyncio.Runner() as other:
            rig.noted(WrongLoop, _raised(lambda: other.run(desk.db.one(READ))))
        return

    async def main() -> None:
        desk.one(READ)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", BlockedLoop)
        asyncio.run(main())
    rig.noted(BlockedLoop, caught[0].message if caught else None)  # type: ignore[arg-type]  # a warning of ours


def _raised(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except Exception as error:
        return error
    return None


def nested(rig: Rig) -> None:
    begun = time.monotonic()
    with rig.other(pool=Pool.server(size=1, overflow=0, timeout=60)) as narrow:
        desk = narrow.desk

        def ask() -> None:
            with desk.db.begin() as uow:
                uow.one(READ)
                desk.db.one(READ)

        async def ask_async() -> None:
            async with desk.db.begin() as uow:
                await uow.one(READ)
                await desk.db.one(READ)

        call = (lambda: desk.runner.run(ask_async())) if isinstance(desk, AsyncDesk) else ask
        rig.noted(PoolExhausted, _raised(call))
    assert time.monotonic() - begun < SOON


def pooled(rig: Rig) -> None:
    found = pooler.lend(rig.place, pooler.Ours, rig.driver.partition(" ")[0], 2)
    assert found.wrong + found.foreign + found.held + found.reasons.total() + found.reckoning.failed == 0, f"{found}"


def swallowed(rig: Rig) -> None:
    rig.refused(SwallowedFailure, WRITE, Swallowed(TAKEN))
    rig.refused(SwallowedFailure, WRITE, Swallowed(TAKEN), how="run")


# SQLite and MariaDB


def busy(rig: Rig) -> None:
    with rig.place.other(rig.database) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE seat SET count = 0")
        rig.refused(LockTimeout, text("PRAGMA busy_timeout = 50"), WRITE)
        other.execute("ROLLBACK")

        def overtake() -> None:
            other.execute("UPDATE seat SET count = count + 1")

        rig.refused(SerializationFailure, READ, overtake, WRITE)
        rig.kept(READ, Once(overtake), WRITE)


def gone_away(rig: Rig) -> None:
    url = make_url(rig.url).update_query_dict({"init_command": "SET SESSION wait_timeout = 1"})
    (limit,) = rig.sql("SELECT @@max_allowed_packet")[0]
    rig.refused(LostConnection, WRITE, select(func.length("x" * (int(limit) + 1000))))
    before = len(rig.place.sessions(rig.database))
    with rig.other(url.render_as_string(hide_password=False)) as late:
        late.read()
        until(lambda: len(rig.place.sessions(rig.database)) == before, 10, "the server has not closed it")
        late.read()
        late.kept(WRITE)


CATALOGUE = (
    Fault("1", "the server is killed with SIGKILL", "LostConnection; run() repeats", POSTGRESQL, killed),
    Fault("2", "immediate shutdown and start", "LostConnection; run() repeats", POSTGRESQL, stopped_at_once),
    Fault(
        "3",
        "fast shutdown; smart shutdown",
        "run() repeats; what is open ends, what is late is CannotConnect",
        POSTGRESQL,
        stopped_fast,
    ),
    Fault("4", "a session ended while idle in the pool", "nothing", SERVERS, ended_idle),
    Fault("5", "a session ended while a statement runs", "LostConnection; run() repeats", SERVERS, ended_at_work),
    Fault("6", "a session ended between two statements", "LostConnection; run() repeats", SERVERS, ended_between),
    Fault("7", "cut before, during and after COMMIT", "nothing: the outcome is settled", SERVERS, cut_at_commit),
    Fault(
        "9",
        "the client is cut off, the server goes on waiting in the transaction",
        "nothing: that session is ended",
        SERVERS,
        orphaned,
    ),
    Fault("10", "TCP reset, idle and while a statement runs", "LostConnection; run() repeats", SERVERS, reset),
    Fault("13", "a peer that acknowledges and never answers", "DeadlineExceeded in time", SERVERS, frozen),
    Fault(
        "14", "a server that accepts and never answers", "CannotConnect in time; run() repeats", SERVERS, never_answered
    ),
    Fault("15", "a slow network", "nothing", SERVERS, slowed),
    Fault("20", "the primary is demoted", "ReadOnlyServer; run() finds the new one", POSTGRESQL, demoted),
    Fault(
        "24", "no connection left on the server", "CannotConnect; run() waits, and does not hammer", POSTGRESQL, crowded
    ),
    Fault("25", "the server is starting", "nothing: run() waits", POSTGRESQL, starting),
    Fault("26", "no room on the disk", "DiskFull, not repeated", POSTGRESQL + SQLITE, full),
    Fault("28", "a statement that takes too long", "StatementTimeout; on SQLite DeadlineExceeded", ALL, too_slow),
    Fault("29", "a lock that is not free", "LockTimeout, and nothing half stored", SERVERS, locked),
    Fault("30", "a transaction left open", "TransactionTimeout; LostConnection on asyncpg", POSTGRESQL, left_open),
    Fault("31", "a deadlock", "Deadlock; run() repeats", SERVERS, deadlocked),
    Fault(
        "32",
        "a serialization failure, at a statement and at COMMIT",
        "SerializationFailure; run() repeats",
        POSTGRESQL,
        skewed,
    ),
    Fault("34", "a waiter for the pool gives up", "no connection is lost", ALL, waiter_left),
    Fault(
        "36",
        "a client killed inside its transaction",
        "nothing half stored, locks free within a second",
        SERVERS,
        client_killed,
    ),
    Fault("37", "a fork with a warm pool", "nothing", SERVERS, forked),
    Fault("38", "a unit of work shared by tasks or threads", "UnitShared", ALL, shared),
    Fault("39", "a second event loop; a sync database in a loop", "WrongLoop; BlockedLoop", SERVERS, second_loop),
    Fault("40", "a nested checkout of the only connection", "PoolExhausted at once", ALL, nested),
    Fault("43", "PgBouncer in transaction mode", "nothing", ("psycopg async", "asyncpg"), pooled),
    Fault("44", "a table changed under a prepared statement", "nothing: run() repeats", POSTGRESQL, stale),
    Fault("45", "an error swallowed before COMMIT", "SwallowedFailure", ALL, swallowed),
    Fault(
        "S1",
        "a file locked by somebody else, and a snapshot overtaken",
        "LockTimeout; SerializationFailure; run() repeats",
        SQLITE,
        busy,
    ),
    Fault("S2", "the writer of a file killed", "nothing lost, the lock is free at once", ("sqlite",), client_killed),
    Fault(
        "M1",
        "a statement above max_allowed_packet; an idle connection closed by the server",
        "LostConnection; nothing",
        MARIADB,
        gone_away,
    ),
)


CONTROLS = ("7", "20", "44", "45")
"""What plain SQLAlchemy is tried with: the rest is a matter of words, or would hang."""


def meet(place: Place, driver: str, folder: Path, *, is_long: bool, is_control: bool = False) -> tuple[int, list[str]]:
    """Let the faults happen to one driver; return their number, and those that went otherwise than promised.

    In the short form without those that have a figure of their own.
    """
    server: Any = File(folder / driver) if driver in SQLITE else place.mariadb() if driver in MARIADB else place.cluster
    rig, count, broken = Rig(server, driver, is_control=is_control), 0, []
    for fault in CATALOGUE:
        is_missing = fault.happen is pooled and not pooler.is_there()
        is_missing = is_missing or (not is_long and fault.happen in (client_killed, forked, pooled))
        if driver not in fault.drivers or is_missing or (is_control and fault.number not in CONTROLS):
            continue
        count += 1
        try:
            fault.happen(rig)
            rig.check()
        except Exception as error:
            said = str(error).partition("\n")[0] or type(error).__name__
            broken.append(f"{fault.number} ({said[:160]})")
            rig = _anew(rig)
    rig.close()
    return count, broken


def _anew(rig: Rig) -> Rig:
    """Return another rig: one fault does not spoil the next."""
    if not isinstance(rig.place, File):
        rig.place.proxy.heal()
    with suppress(Exception):
        rig.close()
    if isinstance(rig.place, Cluster):
        rig.place.server.restart()  # it may have been left in any state
    return Rig(rig.place, rig.driver, is_control=rig.is_control)


def _measure(place: Place, is_long: bool) -> Iterator[Row]:
    drivers = [*(POSTGRESQL if is_long else ("psycopg", "asyncpg")), *SQLITE]
    if place.mariadb() is not None:
        drivers += MARIADB if is_long else MARIADB[:1]
    with TemporaryDirectory() as folder:
        for driver in drivers:
            yield _row(f"hermetic, {driver}", *meet(place, driver, Path(folder), is_long=is_long))
        control = meet(place, "psycopg", Path(folder), is_long=is_long, is_control=True)
        yield _row(f"{NAIVE.name}, psycopg", *control, is_control=True)


def _row(way: str, count: int, broken: list[str], *, is_control: bool = False) -> Row:
    told = f"{count - len(broken)} of {count} kinds behave as promised"
    return Row(way, "; not ".join([told, *broken]), not broken, is_control)


def listed() -> str:
    """Return the catalogue as a table of docs/survival.md."""
    families = {"PostgreSQL": POSTGRESQL, "MariaDB": MARIADB, "SQLite": SQLITE}
    lines = ["| | fault | what a caller is told | on |", "| --- " * 4 + "|"]
    for fault in CATALOGUE:
        where = ", ".join(name for name, drivers in families.items() if set(drivers) & set(fault.drivers))
        lines.append(f"| {fault.number} | {fault.name} | {fault.promise} | {where} |")
    return "\n".join(lines)


FIGURE = Figure(
    "catalogue",
    "of each kind of fault the caller is told what is stated below, or nothing, and nothing is left behind",
    "one fault after the other, from a killed server to a swallowed error; after each: what was told is there once, "
    "no connection is out or idle in a transaction, the next operation works, every error says why and the fix",
    _measure,
)
