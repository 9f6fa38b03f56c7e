"""The figures: what is promised, what is done to it, and what each way to write the same makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from survival import bank, clients, conflicts, cuts, fork, pooler
from survival.history import Reckoning
from survival.place import Place
from survival.ways import ADVANCED_ALCHEMY, HERMETIC, HERMETIC_ONCE, NAIVE, PLAIN, Kind, has_advanced_alchemy


@dataclass(frozen=True, slots=True)
class Row:
    """What one way made of it.

    Attributes:
        way: who, and on which driver.
        found: the numbers.
        is_kept: whether the promise holds.
        is_control: whether it is one of those that must fail, which shows that the oracle sees.
    """

    way: str
    found: str
    is_kept: bool
    is_control: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise and its measurement.

    Attributes:
        name: short, as the command line takes it.
        promise: what must hold.
        fault: what is done.
        measure: yields the rows; of the long form where asked for.
    """

    name: str
    promise: str
    fault: str
    measure: Callable[[Place, bool], Iterable[Row]]


def others(*, is_long: bool) -> list[Kind]:
    """Return the ways without a retry that a run compares with: one in the short form."""
    return [PLAIN, ADVANCED_ALCHEMY] if is_long and has_advanced_alchemy() else [PLAIN]


def _said(reckoning: Reckoning) -> str:
    words = [f"{reckoning.acked:,} acknowledged", f"{reckoning.lost} lost", f"{reckoning.duplicated} duplicated"]
    words += [f"{reckoning.phantom} phantom", f"{reckoning.unknown} not known to their callers"]
    return ", ".join([*words, f"{reckoning.failed} failed"])


def _bank(place: Place, is_long: bool) -> Iterator[Row]:
    for kind in (HERMETIC, NAIVE, *others(is_long=is_long)):
        seconds = (120 if kind is HERMETIC else 30) if is_long else (6 if kind is HERMETIC else 3)
        found = bank.burn(place.cluster, kind, bank.Fire(seconds, seed=11))
        faults, crashes = found.faults.total(), found.faults["kill -9"] + found.faults["immediate restart"]
        told = f"{_said(found.reckoning)}; {faults} faults, {crashes} of them crashes; total {found.total:,}"
        is_whole = found.total == bank.ACCOUNTS * bank.BALANCE and found.lent == 0
        is_kept = found.reckoning.wrong == 0 and found.reckoning.unknown == 0 and found.reckoning.failed == 0
        yield Row(f"{kind.name}, 24 tasks and 8 threads", told, is_whole and is_kept, kind is not HERMETIC)


def _cuts(place: Place, is_long: bool) -> Iterator[Row]:
    drivers = ["psycopg", "asyncpg"] + (["pymysql", "asyncmy"] if place.mariadb() is not None else [])
    for kind in (HERMETIC, HERMETIC_ONCE, NAIVE, *others(is_long=is_long)):
        is_ours = kind in (HERMETIC, HERMETIC_ONCE)
        for driver in drivers if kind is HERMETIC or is_long else drivers[:1]:
            server = place.mariadb() if "my" in driver else place.cluster
            assert server is not None
            stride, last = (1, 0) if is_long else (150, 10)
            found = cuts.sweep(server, kind, driver, stride, last)
            told = f"{found.points} bytes, {found.reckoning.wrong} wrong verdicts, {_said(found.reckoning)}"
            is_kept = found.reckoning.wrong == 0 and found.reckoning.unknown == 0
            is_kept = is_kept and (kind is HERMETIC_ONCE or found.reckoning.failed == 0)
            yield Row(f"{kind.name}, {driver}", told, is_kept, not is_ours)


def _deadlocks(place: Place, is_long: bool) -> Iterator[Row]:
    for kind in (HERMETIC, *others(is_long=is_long)):
        for driver in ("asyncpg", "psycopg") if kind is HERMETIC or is_long else ("asyncpg",):
            found = conflicts.storm(place.cluster, kind, driver, tasks=16, each=60 if is_long else 6)
            told = f"{_said(found.reckoning)}; {found.deadlocks} deadlocks, slowest caller {found.slowest:.1f} s"
            is_kept = found.reckoning.wrong == 0 and found.reckoning.failed == 0 and found.deadlocks > 0
            is_kept = is_kept and found.total == 4 * bank.BALANCE
            yield Row(f"{kind.name}, {driver}", told, is_kept, kind is not HERMETIC)


def _skew(place: Place, is_long: bool) -> Iterator[Row]:
    for kind, serializable in ((HERMETIC, True), (PLAIN, True), (PLAIN, False)):
        for driver in ("asyncpg", "psycopg") if kind is HERMETIC or is_long else ("asyncpg",):
            shifts = 60 if is_long else 4
            found = conflicts.skew(place.cluster, kind, driver, serializable=serializable, tasks=16, shifts=shifts)
            told = f"{found.requests} requests, {found.answered} answered, {found.anomalies} shifts without a doctor"
            is_kept = found.anomalies == 0 and found.answered == found.requests
            level = "SERIALIZABLE" if serializable else "READ COMMITTED"
            yield Row(f"{kind.name}, {driver}, {level}", told, is_kept, kind is not HERMETIC)


def _fork(place: Place, is_long: bool) -> Iterator[Row]:
    drivers = ["psycopg", "asyncpg"] + (["pymysql", "asyncmy"] if place.mariadb() is not None else [])
    ways: list[tuple[str, Callable[[str], fork.Asking], str]] = []
    for driver in drivers:
        ways.append(("hermetic", fork.Ours if driver in ("psycopg", "pymysql") else fork.OursAsync, driver))
    for name, make, driver in (*ways, ("SQLAlchemy", fork.Plain, "psycopg")):
        server = place.mariadb() if "my" in driver else place.cluster
        assert server is not None
        url, is_ours = server.url(server.new_database(), driver), name == "hermetic"
        found = fork.fork(make, url, 5000 if is_long else 200, 60 if is_ours else 2)
        told = f"{found.right:,} right answers, {found.wrong} wrong rows, {found.failed} errors"
        told += f", {found.missing} without an answer, {found.shared} sessions of two processes"
        is_kept = found.wrong + found.failed + found.missing + found.shared == 0
        yield Row(f"{name}, {driver}", told, is_kept, not is_ours)


def _pgbouncer(place: Place, is_long: bool) -> Iterator[Row]:
    if not pooler.is_there():
        return
    ways: list[tuple[str, Callable[[str], pooler.Way], str]] = [
        ("hermetic", pooler.Ours, "asyncpg"),
        ("hermetic", pooler.Ours, "psycopg"),
        ("SQLAlchemy", pooler.Plain, "asyncpg"),
        ("SQLAlchemy", pooler.Plain, "psycopg"),
    ]
    for name, make, driver in ways:
        found = pooler.lend(place.cluster, make, driver, 400 if is_long else 10)
        failed = found.reckoning.failed + found.reasons.total()
        told = (
            f"{found.reads} reads, {found.reckoning.acked:,} transactions, {failed} failures, {found.wrong} wrong rows"
        )
        told += (
            f", {found.foreign} saw what another worker had set, {found.refused} settings refused, {found.held} left"
        )
        is_kept = failed + found.wrong + found.foreign + found.held + found.reckoning.wrong == 0
        yield Row(f"{name}, {driver}", told, is_kept, name != "hermetic")


def _client(place: Place, is_long: bool) -> Iterator[Row]:
    rounds = 100 if is_long else 5
    found = {"hermetic, 4 clients on psycopg and asyncpg": clients.kill(place.cluster, HERMETIC, clients.FOUR, rounds)}
    if (mariadb := place.mariadb()) is not None:
        found["hermetic, pymysql and asyncmy"] = clients.kill(mariadb, HERMETIC, ("pymysql", "asyncmy"), rounds)
    with TemporaryDirectory() as folder:
        found["hermetic, sqlite"] = clients.kill_writers(HERMETIC, Path(folder), rounds)
    piecemeal = Kind("SQLAlchemy, each statement committed", clients.Piecemeal, clients.AsyncPiecemeal)
    found[f"{piecemeal.name}, 4 clients"] = clients.kill(place.cluster, piecemeal, clients.FOUR, rounds)
    for name, killed in found.items():
        told = (
            f"{killed.kills} killed, {killed.inside} of them in a transaction; {killed.reckoning.acked:,} acknowledged"
        )
        told += f", {killed.reckoning.lost} lost, {killed.reckoning.duplicated} duplicated, {killed.half} half stored"
        told += f"; all locks free after {killed.slowest:.2f} s at most"
        is_whole = killed.half + killed.total + killed.reckoning.wrong == 0
        yield Row(name, told, is_whole and killed.slowest < 1, name.startswith(piecemeal.name))
    for interval, driver in (("500ms", "psycopg"), ("500ms", "asyncpg"), ("0", "psycopg")):
        held, is_free = clients.kill_waiting(place.cluster, HERMETIC, driver, interval, seconds=1.5)
        told = f"locks free after {held:.2f} s" if is_free else f"locks still held after {held:.1f} s"
        way = f"hermetic, {driver}, killed during a statement, client_connection_check_interval = {interval}"
        yield Row(way, told, is_free, interval == "0")


FIGURES = (
    Figure(
        "bank",
        "nothing acknowledged is lost, nothing happens twice, nobody is left not knowing",
        "transfers while the server is killed and restarted, backends are terminated, connections are reset, and the "
        "connection is cut before, during and after COMMIT",
        _bank,
    ),
    Figure(
        "cuts",
        "wherever a connection breaks, the caller is told the truth",
        "the stream of a transaction of three statements is cut behind every byte, in both directions",
        _cuts,
    ),
    Figure(
        "deadlocks",
        "transactions that deadlock all commit in the end",
        "16 tasks move money between 4 accounts, in both orders",
        _deadlocks,
    ),
    Figure(
        "skew",
        "SERIALIZABLE has no anomaly, and everybody is answered",
        "16 doctors of a shift ask at once to go, each of whom may if another stays",
        _skew,
    ),
    Figure(
        "fork",
        "the child of a fork never gets an answer that belongs to another process",
        "a process forks twice while its pool is warm, and all three ask 200 questions side by side",
        _fork,
    ),
    Figure(
        "pgbouncer",
        "behind a pooler in transaction mode nothing fails, and nobody sees what another client has set",
        "20 workers share 2 sessions of PgBouncer, read and write, and each tries once to leave a setting behind",
        _pgbouncer,
    ),
    Figure(
        "client",
        "a client that dies leaves nothing half stored, and its locks within a second",
        "client processes are killed with SIGKILL in the middle of their transactions",
        _client,
    ),
)
