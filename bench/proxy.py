"""A TCP proxy in a process of its own: what a client sends is held for a while, and round trips are counted.

The delay is on the way to the server only, so that an answer of many packets is not slowed more than a short one. The
answer passes at once, and a round trip takes `delay` seconds longer. Threads that sleep, because an event loop waits
in whole milliseconds.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress


class Proxy:
    """A running proxy.

    Attributes:
        port: TCP port on 127.0.0.1.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.port = self._answer()

    @property
    def trips(self) -> int:
        """How often a client sent something after it had been answered, over all connections until now."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def slow_proxy(host: str, port: int, delay: float) -> Generator[Proxy]:
    """Yield a proxy before `host:port` that adds `delay` seconds to a round trip."""
    command = [sys.executable, "-m", "bench.proxy", host, str(port), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Proxy(process)
        finally:
            process.kill()


class _Counter:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.value = 0

    def add(self) -> None:
        with self._lock:
            self.value += 1


def _main(host: str, port: int, delay: float) -> None:
    """Print the port, then the count for each line that is read."""
    counter = _Counter()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        threading.Thread(target=_serve, args=(listener, host, port, delay, counter), daemon=True).start()
        for _ in sys.stdin:
            print(counter.value, flush=True)


def _serve(listener: socket.socket, host: str, port: int, delay: float, counter: _Counter) -> None:
    while True:
        client, _ = listener.accept()
        _Link(client, socket.create_connection((host, port)), delay, counter).start()


class _Link:
    """One connection: a thread for each direction."""

    def __init__(self, client: socket.socket, server: socket.socket, delay: float, counter: _Counter) -> None:
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
                    self._counter.add()
                    time.sleep(self._delay)
                self._server.sendall(data)
            self._server.shutdown(socket.SHUT_WR)

    def _back(self) -> None:
        with suppress(OSError):
            while data := self._server.recv(1 << 16):
                self._is_answered = True
                self._client.sendall(data)
            self._client.shutdown(socket.SHUT_RDWR)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
