"""End the waits on connections at their instant: one thread for the process, which looks at the connections in use.

A driver that waits for a silent server can only be ended from outside, and so the socket below it is shut down: the
driver sees a lost connection at once, in whatever call it is, sync or async. `asyncio.timeout` cannot do that, since
drivers and SQLAlchemy answer a cancellation with waits of their own, of 2 to 12 seconds.

One place for each connection, and no list of calls: to take up and lay down a watch costs two assignments and a lock,
and the thread wakes when the nearest instant has come, not for every call.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any
from weakref import WeakSet

End = Callable[[], None]
"""Ends whatever waits on a connection, from any thread; the connection is of no more use."""


class Watch:
    """The watch over one connection.

    Attributes:
        at: the monotonic instant at which waits on the connection end; infinity while there is none.
        is_cut: the instant has come; the connection is never used again.
        holder: who has set the instant.
    """

    __slots__ = ("__weakref__", "_end", "at", "holder", "is_cut")

    def __init__(self, end: End) -> None:
        self._end = end
        self.at = inf
        self.is_cut = False
        self.holder: object = None
        _dog.watches.add(self)

    def set(self, at: float, holder: object = None) -> None:
        """End the waits on the connection at this instant, in place of the one that was set before."""
        self.holder = holder
        self.at = at
        if at < _dog.wakes_at:
            _dog.wake()

    def lay_down(self) -> None:
        """Set no instant; when this returns, the connection has been cut already or will not be."""
        with _dog.changed:
            self.at = inf

    def cut(self) -> None:
        """End the waits on the connection now."""
        with _dog.changed:
            self.at = inf
            self.is_cut = True
            self._end()


class _Watchdog:
    """The thread, started with the first instant that is set."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew; in the child of a fork, whose connections are the parent's and where the thread does not run."""
        self.watches: WeakSet[Watch] = WeakSet()
        self.changed = threading.Condition()  # of a lock that may be taken twice: a finalizer can lay down a watch
        self.wakes_at = inf
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Let the thread look again at what it waits for."""
        with self.changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="hermetic-deadlines", daemon=True)
                with suppress(RuntimeError):  # the interpreter is ending
                    thread.start()
                    self._thread = thread
            self.changed.notify()

    def _run(self) -> None:
        with self.changed:
            while True:
                # whoever sets an instant meanwhile sees infinity, waits for the lock, and wakes this thread again
                self.wakes_at = inf
                nearest = self._cut_due()
                self.wakes_at = nearest
                self.changed.wait(None if nearest == inf else max(0.0, nearest - time.monotonic()))

    def _cut_due(self) -> float:
        """Cut what is due and return the next instant."""
        nearest = inf
        now = time.monotonic()
        for watch in list(self.watches):
            if watch.at <= now:
                watch.cut()
            elif watch.at < nearest:
                nearest = watch.at
        return nearest


_dog = _Watchdog()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_dog.forget)


# how each driver's waits are ended


def _of_socket(number: int) -> End:
    """Return what shuts a socket down: whoever reads it sees its end, whoever writes an error.

    The number may be another file's once the driver has closed the socket, so the copy is compared before it is used.
    """
    own = _identity(number)

    def end() -> None:
        with suppress(OSError):
            copy = os.dup(number)
            if _identity(copy) != own:
                os.close(copy)
                return
            with socket.socket(fileno=copy) as found:
                found.shutdown(socket.SHUT_RDWR)

    return end


def _identity(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_dev, status.st_ino


def _in_loop(call: Callable[[], object]) -> End:
    loop = asyncio.get_running_loop()

    def end() -> None:
        with suppress(RuntimeError):  # the loop is closed, and nothing waits in it
            loop.call_soon_threadsafe(call)

    return end


def _of_aiosqlite(driver: Any) -> End:
    async def interrupt() -> None:
        await driver.interrupt()

    loop = asyncio.get_running_loop()

    def end() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(lambda: loop.create_task(interrupt()))

    return end


# PyMySQL has no public name for its socket, and asyncmy none for its transport: its public `close()` waits until all
# that was written is sent. The tests of a frozen server (tests/db/test_deadline.py) notice when a name changes.
_ENDS: dict[tuple[str, bool], Callable[[Any], End]] = {
    ("psycopg", False): lambda driver: _of_socket(driver.fileno()),
    ("psycopg", True): lambda driver: _of_socket(driver.fileno()),
    ("pymysql", False): lambda driver: _of_socket(driver._sock.fileno()),
    ("asyncpg", True): lambda driver: _in_loop(driver.terminate),
    ("asyncmy", True): lambda driver: _in_loop(driver._transport.abort),
    ("pysqlite", False): lambda driver: driver.interrupt,
    ("aiosqlite", True): _of_aiosqlite,
}


def watch_over(driver: Any, name: str, *, is_async: bool) -> Watch | None:
    """Return the watch over a driver's connection; None for a driver that is not known."""
    make = _ENDS.get((name, is_async))
    return None if make is None else Watch(make(driver))
