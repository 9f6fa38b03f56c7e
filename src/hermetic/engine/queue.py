"""The queues of a pool, which wait no longer than the deadline that holds, and know how many wait.

SQLAlchemy's pools take the class of their queue from `_queue_class` and have no public place for another timeout with
each checkout; the tests of a full pool (tests/db/test_deadline.py) notice when it no longer counts.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty, Queue

from hermetic.engine.deadline import POOL, current


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
        if deadline is None and not block:
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
        except Empty:
            if block and is_nearer and deadline is not None:
                raise deadline.exceeded(POOL) from None
            raise
        finally:
            self.waiting.discard(ticket)


class TimedQueue(_Line, Queue[Any]):
    """That of threads."""


class AsyncTimedQueue(_Line, AsyncAdaptedQueue[Any]):
    """That of tasks."""


def waiting(pool: Any) -> int:
    """Return how many tasks or threads wait for a connection of a pool."""
    queue = getattr(pool, "_pool", None)  # under no public name; the tests of a full pool notice another one
    return len(queue.waiting) if isinstance(queue, _Line) else 0
