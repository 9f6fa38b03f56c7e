"""Who has the connections of a pool: what an exhausted pool says, and who would wait for ever.

The site of a checkout costs two microseconds, so it is taken only once more than half of the connections are out. Of
those taken before it is told where their task or thread is now, which is where they are kept.

Source: SQLAlchemy manual, "Connection Pool Events"; HikariCP, "leakDetectionThreshold".
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from sqlalchemy import Engine, event, exc
from sqlalchemy.pool import AsyncAdaptedQueuePool, ConnectionPoolEntry, NullPool, PoolProxiedConnection, QueuePool
from sqlalchemy.pool import Pool as AnyPool

from hermetic.engine.gate import Gate
from hermetic.engine.queue import AsyncTimedQueue, TimedQueue, call_next
from hermetic.errors import HermeticError, Holder, PoolExhausted
from hermetic.guard import Spot, caller, hand, is_over, owner_name, placed, spot, whereabouts

User = asyncio.Task[Any] | tuple[threading.Thread, object | None] | None
"""A task; or a thread, and the request whose part it runs, which goes from thread to thread."""

_beginning = threading.Lock()


class Custody:
    """The connections of one database that are out.

    Attributes:
        gate: who may take one at all.
        check: compares the pool with its server.
        explain: returns the error to raise for a connection that was lost before it could be used, or None.
    """

    def __init__(self, engine: Engine, gate: Gate, capacity: int | None, timeout: float) -> None:
        self.gate = gate
        self.capacity = capacity
        self.timeout = timeout
        self.check: Callable[[], None] = _nothing
        self.explain: Callable[[Exception], HermeticError | None] = _unknown
        self._engine = engine
        self._user = _task if engine.dialect.is_async else _thread
        self._left: list[AnyPool] = []
        self._on_return: Callable[[], object] = _nothing
        self._is_over = False
        self._forget()

    def watch(self) -> None:
        """Note each connection that is taken and given back; installed behind what else happens at a checkout."""
        engine = self._engine
        pool: Any = engine.pool  # one of the pools below
        pool.custody = self
        event.listen(engine, "checkout", self._taken)
        event.listen(engine, "checkin", self._returned)
        event.listen(engine, "detach", self._returned)

    def kept(self) -> int:
        """Return how many connections the pool has, those that are out included."""
        pool = self._engine.pool
        return len(self._held) + (pool.checkedin() if isinstance(pool, QueuePool) else 0)

    def begin_anew(self) -> AnyPool:
        """Return a new pool for this process or event loop; what the old one has is left alone, and never closed here.

        In the child of a fork its sockets are those of the parent, and a lock may be held for ever.
        """
        with _beginning:
            if self.gate.is_elsewhere:
                self._left.append(self._engine.pool)
                self._forget()
                self._engine.dispose(close=False)
                self.gate.move()
        return self._engine.pool

    def close(self, returned: Callable[[], object]) -> None:
        """Hand out nothing any more, and call `returned` for each connection that comes back."""
        self.gate.close()
        self._on_return = returned

    def others(self) -> bool:
        """Return whether another task or thread than this one has a connection, which can come back."""
        here = self._user()
        return any(user != here for user, _, _ in list(self._held.values()))

    def end(self) -> None:
        """Close from now on what comes back."""
        self._is_over = True

    def _forget(self) -> None:
        self._held: dict[ConnectionPoolEntry, tuple[User, float, Spot | None]] = {}
        self._waiting: set[User] = set()
        self._asking = threading.Lock()

    def ask(self) -> None:
        """Note that this task or thread asks for a connection.

        Raises:
            PoolExhausted: none can come back, because whoever holds one waits for another.
        """
        if self.capacity is None or 2 * len(self._held) < self.capacity:
            return  # nobody waits yet; where many still connect it may be too early, and then the timeout tells
        user = self._user()
        with self._asking:
            self._waiting.add(user)
            if len(self._held) < self.capacity:
                return
            if all(holder in self._waiting and holder is not None for holder, _, _ in list(self._held.values())):
                self._waiting.discard(user)
                raise self._exhausted(is_deadlock=True)

    def give_up(self) -> None:
        """Note that this task or thread got no connection."""
        self._waiting.discard(self._user())

    def waited(self) -> PoolExhausted:
        """Return the error for a connection that did not come back in time."""
        return self._exhausted(is_deadlock=False)

    def holders(self) -> list[Holder]:
        """Return who has a connection, and where; longest first."""
        now, here = monotonic(), self._user()
        held = sorted(self._held.values(), key=lambda each: each[1])
        return [_holder(user, now - since, site, here) for user, since, site in held]

    def _exhausted(self, *, is_deadlock: bool) -> PoolExhausted:
        error = PoolExhausted(self.capacity or 0, f"{self.timeout:g}", is_deadlock, self.holders())
        return error.worded(is_async=self._engine.dialect.is_async)

    def _taken(self, connection: Any, record: ConnectionPoolEntry, proxy: Any) -> None:
        user = self._user()
        is_scarce = self.capacity is not None and 2 * len(self._held) + 2 > self.capacity
        self._held[record] = user, monotonic(), spot() if is_scarce else None
        if self._waiting:
            self._waiting.discard(user)

    def _returned(self, connection: Any, record: ConnectionPoolEntry) -> None:
        self._held.pop(record, None)
        if self.gate.is_closed:
            if self._is_over and connection is not None:
                record.close()
            self._on_return()


class _Watched(AnyPool):
    """The part of every pool that tells its custody; the custody goes with it when SQLAlchemy makes the pool anew."""

    custody: Custody

    def connect(self) -> PoolProxiedConnection:
        custody = self.custody
        if not custody.gate.admit(custody.kept):
            return custody.begin_anew().connect()
        custody.ask()
        begun = monotonic()
        try:
            return super().connect()
        except exc.TimeoutError as error:
            custody.give_up()
            if monotonic() - begun < 0.9 * custody.timeout:  # it was called, and another one was faster
                return self.connect()
            raise custody.waited() from error
        except BaseException as error:  # looked at, and passed through where it is not known
            custody.give_up()
            call_next(self, custody.capacity)
            if isinstance(error, HermeticError) or not isinstance(error, Exception):
                raise
            explained = custody.explain(error)
            if explained is None:
                raise
            raise explained from error

    def recreate(self) -> Any:
        made: Any = super().recreate()
        made.custody = self.custody
        return made


class WatchedQueue(_Watched, QueuePool):
    """The pool of a `Database`."""

    _queue_class = TimedQueue


class WatchedAsyncQueue(_Watched, AsyncAdaptedQueuePool):
    """The pool of an `AsyncDatabase`."""

    _queue_class = AsyncTimedQueue


class WatchedNone(_Watched, NullPool):
    """No pool: each use has a connection of its own."""


def custody_of(engine: Engine) -> Custody:
    """Return the custody of an engine that `make_engine` or `make_async_engine` made."""
    pool: Any = engine.pool  # one of the pools above
    custody: Custody = pool.custody
    return custody


def _nothing() -> None:
    """Do nothing: there is no server to ask."""


def _unknown(error: Exception) -> None:
    """Explain nothing."""


def _task() -> User:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # there is no event loop, and SQLAlchemy says so


def _thread() -> User:
    return threading.current_thread(), hand()


def _holder(user: User, seconds: float, site: Spot | None, here: User) -> Holder:
    owner = user[0] if isinstance(user, tuple) else user
    if owner is None:
        return Holder("nobody known", seconds, "place unknown")
    taken = [f"taken at {placed(site)}"] if site is not None else []
    return Holder(owner_name(owner), seconds, ", ".join([*taken, *_now(owner, is_here=user == here)]))


def _now(owner: asyncio.Task[Any] | threading.Thread, *, is_here: bool) -> list[str]:
    if is_over(owner):
        return ["and has ended"]
    place = caller() if is_here else whereabouts(owner)
    return [f"now at {place}"] if place != "unknown" else []
