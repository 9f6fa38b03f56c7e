"""One task or thread for each unit of work: a transaction has one order of statements, and one of the two alone would
know it.

Source: SQLAlchemy manual, "Is the Session thread-safe? Is AsyncSession safe to share in concurrent tasks?".
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextvars import ContextVar
from typing import Any

from hermetic.errors import UnitShared
from hermetic.guard.origin import caller

_hand: ContextVar[object | None] = ContextVar("hermetic_hand", default=None)


_process = object()
"""Stands for this process: the child of a fork has another one."""


def _begin_child() -> None:
    global _process
    _process = object()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_child)


def join_hands() -> None:
    """Let the threads that copy this context from now on use one sync unit of work, one after the other.

    For frameworks that run the parts of one request on several threads, each awaited before the next.
    """
    _hand.set(object())


def hand() -> object | None:
    """Return what the threads of one request have in common, or None where they have nothing."""
    return _hand.get()


class Owner:
    """The task of an async unit or the thread of a sync one; another one takes over only when it is finished."""

    __slots__ = ("_hand", "_is_async", "_name", "_own", "_process", "place")

    def __init__(self, place: str, *, is_async: bool) -> None:
        self.place = place
        self._is_async = is_async
        self._take()

    def check(self) -> None:
        """Refuse a second user while the first is alive; under a microsecond.

        Raises:
            UnitShared: this task, thread or process is another one.
        """
        here = _task() if self._is_async else threading.current_thread()
        if here is not self._own or self._process is not _process:
            self._check_other()

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is the child of a fork: the connection is that of its parent."""
        return self._process is not _process

    def _take(self) -> None:
        self._own: Any = _task() if self._is_async else threading.current_thread()
        self._name = owner_name(self._own)
        self._hand = _hand.get()
        self._process = _process

    def _check_other(self) -> None:
        if self.is_elsewhere:
            child = f"process {os.getpid()}, the child of a fork,"
            raise UnitShared(child, caller(), self._name, self.place).worded(is_async=self._is_async)
        if self._hand is not None and self._hand is _hand.get() and not (self._is_async and _task() is not None):
            return
        if is_over(self._own):
            self._take()
            return
        here = _task() if self._is_async else threading.current_thread()
        shared = UnitShared(owner_name(here), _place(here), self._name, self.place)
        raise shared.worded(is_async=self._is_async)


def _task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None  # on a thread without an event loop


def is_over(owner: asyncio.Task[Any] | threading.Thread | None) -> bool:
    """Return whether a task or thread has come to its end."""
    if isinstance(owner, threading.Thread):
        return not owner.is_alive()
    return owner is None or owner.done()


def _place(user: asyncio.Task[Any] | threading.Thread | None) -> str:
    place = caller()
    if place == "unknown" and isinstance(user, asyncio.Task):  # of a verb itself, given to gather
        return f"in {getattr(user.get_coro(), '__qualname__', 'a coroutine')}"
    return place


def owner_name(owner: asyncio.Task[Any] | threading.Thread | None) -> str:
    """Return `task confirm-7` or `thread worker_3`."""
    if owner is None:
        return f"thread {threading.current_thread().name}"
    kind = "thread" if isinstance(owner, threading.Thread) else "task"
    return f"{kind} {owner.name if isinstance(owner, threading.Thread) else owner.get_name()}"
