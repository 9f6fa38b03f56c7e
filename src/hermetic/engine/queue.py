"""The queues of a pool: whoever waits longest is served first, no longer than the deadline that holds.

SQLAlchemy's queues let whoever runs take what was put back for one that is about to wake, who then waits again behind
all others: under load some wait until their time is over while others are served over and over. That of threads tells
time by the wall clock, too. Here what comes back is handed to the one who has waited longest, who is also called when
somebody could not connect: there is room for another attempt then, and nothing comes back.

SQLAlchemy's pools take the class of their queue from `_queue_class`, and that of tasks keeps its own in `_queue`; there
is no public place for either, nor for another timeout with each checkout. The tests of a full pool notice when one no
longer counts (tests/db/test_deadline.py, tests/db/test_turns.py).
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from functools import cached_property
from typing import Any

from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty, Queue

from hermetic.engine.deadline import POOL, current


class _Called(asyncio.QueueEmpty):
    """Raised for one who was called, and has nothing to take."""


_NOTHING = object()


class _Line:
    """What both queues do before and after they wait."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.waiting: set[object] = set()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next connection.

        Raises:
            DeadlineExceeded: there was none before the deadline passed.
            Empty: there was none in time.
        """
        deadline = current()
        if not block and (deadline is None or timeout is None):  # a pool that is emptied states no timeout
            return super().get(block, timeout)  # type: ignore[misc]  # ty: ignore[missing-attribute]  # of the queue beside it
        left = None if deadline is None else deadline.remaining
        if deadline is not None and not left:
            raise deadline.exceeded(POOL)
        is_nearer = left is not None and (timeout is None or left < timeout)
        ticket = object()
        try:
            if block:
                self.waiting.add(ticket)
            return super().get(block, left if is_nearer else timeout)  # type: ignore[misc]  # ty: ignore[missing-attribute]
        except Empty as error:
            if block and is_nearer and deadline is not None and not isinstance(error.__cause__, _Called):
                raise deadline.exceeded(POOL) from None
            raise
        finally:
            self.waiting.discard(ticket)


class _Turn:
    """A thread that waits, and what it is handed."""

    __slots__ = ("is_served", "item")

    def __init__(self) -> None:
        self.item: Any = None
        self.is_served = threading.Event()


class _Turns(Queue[Any]):
    """A queue that hands what comes back to the thread that has waited longest."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._line: deque[_Turn] = deque()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        with self.mutex:
            if not self._line:
                super().put(item, block, timeout)
                return
            turn = self._line.popleft()
            turn.item = item
            turn.is_served.set()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        with self.mutex:
            if not block or not self._empty():
                return super().get(block=False)
            turn = _Turn()
            self._line.append(turn)
        try:
            turn.is_served.wait(timeout)
        except BaseException:  # an interrupt from the keyboard
            if self._is_left(turn):
                self._pass_on(turn.item)
            raise
        if not self._is_left(turn):
            raise Empty
        if turn.item is _NOTHING:
            raise Empty from _Called()
        return turn.item

    def call_next(self) -> None:
        """Let the thread that has waited longest look whether there is room for a new connection."""
        with self.mutex:
            if self._line:
                self.put(_NOTHING, block=False)

    def _pass_on(self, item: Any) -> None:
        if item is _NOTHING:
            self.call_next()
        else:
            self.put(item, block=False)

    def _is_left(self, turn: _Turn) -> bool:
        """Take a turn out of the line; return whether it was served before."""
        with self.mutex:
            if not turn.is_served.is_set():
                self._line.remove(turn)
            return turn.is_served.is_set()


class _AsyncTurns(asyncio.LifoQueue[Any]):
    """A queue that hands what comes back to the task that has waited longest."""

    def __init__(self, maxsize: int) -> None:
        super().__init__(maxsize)
        self._line: deque[asyncio.Future[Any]] = deque()

    def put_nowait(self, item: Any) -> None:
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(item)
                return
        super().put_nowait(item)

    async def get(self) -> Any:
        if not self.empty():
            return self.get_nowait()
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            item = await turn
        except asyncio.CancelledError:
            if not turn.done() or turn.cancelled():
                with suppress(ValueError):
                    self._line.remove(turn)
            elif turn.result() is _NOTHING:  # it was served, and does not want it any more
                self.call_next()
            else:
                self.put_nowait(turn.result())
            raise
        if item is _NOTHING:
            raise _Called
        return item

    def call_next(self) -> None:
        """Let the task that has waited longest look whether there is room for a new connection."""
        if any(not turn.done() for turn in self._line):
            self.put_nowait(_NOTHING)


class TimedQueue(_Line, _Turns):
    """That of threads."""


class AsyncTimedQueue(_Line, AsyncAdaptedQueue[Any]):
    """That of tasks."""

    @cached_property
    def _queue(self) -> _AsyncTurns:  # pyright: ignore[reportIncompatibleVariableOverride]  # that of SQLAlchemy's own kind
        return _AsyncTurns(self.maxsize)

    def call_next(self) -> None:
        self._queue.call_next()


def waiting(pool: Any) -> int:
    """Return how many tasks or threads wait for a connection of a pool."""
    queue = getattr(pool, "_pool", None)  # under no public name; the tests of a full pool notice another one
    return len(queue.waiting) if isinstance(queue, _Line) else 0


def call_next(pool: Any, capacity: int | None) -> None:
    """Let whoever has waited longest connect, where somebody else could not and left room for it."""
    queue = getattr(pool, "_pool", None)
    if not isinstance(queue, TimedQueue | AsyncTimedQueue) or capacity is None:
        return
    if pool.size() + pool.overflow() < capacity:
        queue.call_next()
