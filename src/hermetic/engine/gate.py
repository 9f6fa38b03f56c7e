"""Who may take a connection at all: not after the end, not with the sockets of another process or event loop.

Source: SQLAlchemy manual, "Using Connection Pools with Multiprocessing or os.fork()" and "Using multiple asyncio event
loops"; os.getpid(2).
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable
from os import getpid
from typing import Any

from hermetic.errors import BlockedLoop, DatabaseClosed, WrongLoop
from hermetic.guard import Spot, caller, placed, spot


class Gate:
    """The process and the event loop that the connections of one database belong to, and whether it is open.

    Attributes:
        is_closed: nothing is handed out any more.
        closed_at: where in the application it was closed.
    """

    def __init__(self, *, is_async: bool, is_remote: bool, is_memory: bool) -> None:
        self.is_closed = False
        self.closed_at = ""
        self._process = getpid()
        self._loop: Any = None
        self._first: Spot | None = None
        self._is_async = is_async
        self._is_remote = is_remote
        self._is_memory = is_memory
        self._warned: dict[Any, Any] = {}

    def admit(self, kept: Callable[[], int]) -> bool:
        """Return whether the pool, which has `kept` connections, is of this process and event loop.

        The one connection of an SQLite database in memory is the database: it is used wherever it is reached.

        Raises:
            DatabaseClosed: the database was closed.
            WrongLoop: the connections belong to another event loop.
        """
        if self.is_closed:
            raise DatabaseClosed(caller(), self.closed_at).worded(is_async=self._is_async)
        if self._is_memory:
            return True
        if getpid() != self._process:
            return False
        return self._is_of_loop(kept) if self._is_async else self._is_off_loop()

    def close(self) -> None:
        """Hand out nothing any more."""
        if not self.is_closed:
            self.closed_at = caller()
            self.is_closed = True

    def move(self) -> None:
        """Belong to this process and, from the first use on, to the event loop of that use."""
        self._process = getpid()
        self._loop = None

    @property
    def is_elsewhere(self) -> bool:
        """Whether the connections cannot be closed from here, because their process or event loop is another one."""
        is_of_loop = self._loop is None or self._loop is _running()
        return not self._is_memory and (getpid() != self._process or not is_of_loop)

    def _is_of_loop(self, kept: Callable[[], int]) -> bool:
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return True
        if self._loop is None:
            self._loop, self._first = loop, spot()
            return True
        if not kept():
            return False
        state = "is closed" if self._loop.is_closed() else "is another one"
        raise WrongLoop(caller(), placed(self._first), state)

    def _is_off_loop(self) -> bool:
        if _running() is not None and self._is_remote and "ipykernel" not in sys.modules:
            found = spot()
            if found is not None:
                code, line = found
                warnings.warn_explicit(BlockedLoop(placed(found)), None, code.co_filename, line, registry=self._warned)
        return True


def _running() -> asyncio.AbstractEventLoop | None:
    # asyncio exports it for those who make event loops; the public one raises where there is none, at thrice the cost
    return asyncio._get_running_loop()  # pyright: ignore[reportPrivateUsage]
