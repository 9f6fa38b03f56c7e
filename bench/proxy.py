"""A TCP proxy in a process of its own: what a client sends is held for a while, and round trips are counted.

The delay is on the way to the server only, so that an answer of many packets is not slowed more than a short one. The
answer passes at once, and a round trip takes `delay` seconds longer. Threads that sleep, because an event loop waits
in whole milliseconds.
"""

from __future__ import annotations

import multiprocessing
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing.sharedctypes import Synchronized
from typing import Any


class Trips:
    """How often a client sent something after it had been answered, over all connections."""

    def __init__(self, counter: Synchronized[int]) -> None:
        self._counter = counter

    @property
    def count(self) -> int:
        return int(self._counter.value)


@contextmanager
def slow_proxy(host: str, port: int, delay: float) -> Generator[tuple[int, Trips]]:
    """Yield the port of a proxy before `host:port`, and its count of round trips."""
    context = multiprocessing.get_context("spawn")
    counter: Any = context.Value("q", 0)
    ready, told = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(host, port, delay, counter, told), daemon=True)
    process.start()
    try:
        yield ready.recv(), Trips(counter)
    finally:
        process.kill()
        process.join()


def _serve(host: str, port: int, delay: float, counter: Any, told: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        told.send(listener.getsockname()[1])
        while True:
            client, _ = listener.accept()
            _Link(client, socket.create_connection((host, port)), delay, counter).start()


class _Link:
    """One connection: a thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket, delay: float, counter: Any) -> None:
        self._client, self._server = client, server
        self._delay, self._counter = delay, counter
        self._is_answered = True
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        threading.Thread(target=self._there, daemon=True).start()
        threading.Thread(target=self._back, daemon=True).start()

    def _there(self) -> None:
        with suppress(OSError):
            while data := self._client.recv(1 << 16):
                if self._is_answered:
                    self._is_answered = False
                    with self._counter.get_lock():
                        self._counter.value += 1
                    time.sleep(self._delay)
                self._server.sendall(data)
            self._server.shutdown(socket.SHUT_WR)

    def _back(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(1 << 16):
                self._is_answered = True
                self._client.sendall(data)
            self._client.shutdown(socket.SHUT_RDWR)
