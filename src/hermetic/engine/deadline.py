"""`deadline()`: one instant by which what runs inside is over, whatever the server does."""

from __future__ import annotations

import time
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from hermetic.engine.watchdog import Watch
from hermetic.errors import DeadlineExceeded

POOL = "it waited for a connection of the pool"
CONNECT = "it connected to the server"
PING = "it asked an idle connection for a sign of life"
STATEMENT = "it waited for the answer to a statement"
COMMIT = "it waited for the answer to COMMIT"
ROLLBACK = "it waited for the answer to ROLLBACK"
BETWEEN = "no statement was running"

_current: ContextVar[Deadline | None] = ContextVar("hermetic_deadline", default=None)


class Deadline:
    """One stated deadline, for the time of a block; inside another one, the earlier instant holds.

    The context carries it to what is called inside, tasks that are started there included, until the block ends.

    Attributes:
        call: what is to be over; None for a block of the application.
        at: the monotonic instant, once the block has begun.
        has_ended: the block is over.
        parent: the deadline around it.
    """

    __slots__ = ("_seconds", "_watches", "at", "call", "has_ended", "parent")

    def __init__(self, call: str | None, seconds: float) -> None:
        if seconds <= 0:
            raise ValueError(f"a deadline of {seconds} s has passed before anything begins; state more than 0")
        self.call = call
        self.at = 0.0
        self._seconds = seconds
        self.parent: Deadline | None = None
        self.has_ended = False
        self._watches: set[Watch] = set()

    def __enter__(self) -> Self:
        self.at = time.monotonic() + self._seconds
        self.parent = parent = current()
        if parent is not None and parent.at < self.at:
            self.at, self._seconds = parent.at, parent._seconds
            self.call = parent.call or self.call
        _current.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.has_ended = True
        if _current.get() is self:  # not so where a block is left in another context than it was entered in
            _current.set(self.parent)
        for watch in self._watches:
            if watch.holder is self:
                _hold(watch, current())
        self._watches.clear()

    @property
    def remaining(self) -> float:
        """The seconds that are left, 0 once it has passed."""
        return max(0.0, self.at - time.monotonic())

    def follow(self) -> None:
        """Carry the deadline into this context, where it was not entered: another thread that goes on with the work."""
        found = current()
        while found is not None and found is not self:
            found = found.parent
        if found is None and not self.has_ended:
            _current.set(self)

    def hold(self, watch: Watch) -> None:
        """Hold a connection to the deadline while the block lasts, or until it is given back."""
        if watch.holder is not self:
            self._watches.add(watch)
            watch.set(self.at, self)

    def exceeded(self, phase: str) -> DeadlineExceeded:
        """Return the error that says so."""
        return DeadlineExceeded(self.call or "a call", self._seconds, phase)


def _hold(watch: Watch, deadline: Deadline | None) -> None:
    if deadline is not None:
        deadline.hold(watch)
    else:
        watch.holder = None
        watch.lay_down()


def deadline(seconds: float) -> Deadline:
    """Return a block by whose deadline every call of hermetic inside it is over.

        with deadline(2):
            card = await db.get(UserCard, 5)

    It bounds the wait for a connection, connecting, the check of an idle one, statements and commits alike, sync and
    async, also where the server takes everything and never answers. A connection that is cut off is never used again.

    Args:
        seconds: from now, more than 0.
    Raises:
        DeadlineExceeded: by the call inside that had not ended; it is a `TimeoutError` too.
    """
    return Deadline(None, seconds)


def current() -> Deadline | None:
    """Return the deadline that holds here, or None."""
    found = _current.get()
    while found is not None and found.has_ended:
        found = found.parent
    return found


def remaining() -> float | None:
    """Return the seconds that are left for what runs here, 0 to n, or None where no deadline was stated."""
    found = current()
    return None if found is None else found.remaining
