"""A TCP proxy that does to a connection what networks, balancers and dying servers do.

It is made of blocking threads, two for each connection, so that a fault hits between two known bytes and no event loop
of the code under test is involved.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self

HOST = "127.0.0.1"

Way = Literal["up", "down"]
"""The direction of bytes: up to the server, or down to the client."""

Deed = Literal["drop", "swallow", "abandon", "orphan"]
"""What a trap does when its token comes by on the way up.

    drop     the token does not arrive; both ends are reset
    swallow  it arrives, and its answer does not come back; both ends are reset when the server has answered
    abandon  it arrives, and both ends are reset at once, while the server is at work
    orphan   it does not arrive; the client is reset, and the server goes on waiting
"""


@dataclass(eq=False)
class Trap:
    """A fault that waits for a token, once."""

    token: bytes
    deed: Deed
    sprung: threading.Event = field(default_factory=threading.Event)


class Proxy:
    """A running proxy before a server.

    Args:
        port: of the server.
        host: of the server.
        at: address to listen on; without one, a free port of 127.0.0.1.

    Attributes:
        port: TCP port to connect to.
        latency: seconds that each piece is held, in both directions.
        bandwidth: bytes in a second, in each direction; 0: no limit.
        is_down: whether new connections are reset at once.
        passed: bytes that were passed on until now, by direction.
        asked: the monotonic instant of each connection that a client has made or tried to make.
    """

    def __init__(self, port: int, host: str = HOST, at: tuple[str, int] = (HOST, 0)) -> None:
        self.latency = 0.0
        self.bandwidth = 0
        self.is_down = False
        self.passed: dict[Way, int] = {"up": 0, "down": 0}
        self.asked: list[float] = []
        self._target = (host, port)
        self._lock = threading.Lock()
        self._traps: list[Trap] = []
        self._links: list[Link] = []
        self._cut: tuple[Way, int] | None = None
        self.gates: dict[Way, threading.Event] = {"up": threading.Event(), "down": threading.Event()}
        self.thaw()
        self._listener = socket.create_server(at, backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name="proxy").start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def links(self) -> list[Link]:
        """The connections that are open now."""
        with self._lock:
            self._links = [link for link in self._links if not link.over.is_set()]
            return list(self._links)

    def set_trap(self, token: bytes, deed: Deed) -> Trap:
        """Wait for the next piece on the way up that holds the token, on whichever connection."""
        trap = Trap(token, deed)
        with self._lock:
            self._traps.append(trap)
        return trap

    def clear_traps(self) -> None:
        """Forget the traps that nothing has sprung."""
        with self._lock:
            self._traps.clear()

    def cut_after(self, way: Way, count: int) -> None:
        """Reset the one connection that passes `count` more bytes in this direction, right behind the last of them."""
        with self._lock:
            self._cut = (way, count)

    @property
    def is_cut(self) -> bool:
        """Whether the cut that was ordered last is done."""
        return self._cut is None

    def heal(self) -> None:
        """Take back every fault that can be taken back."""
        with self._lock:
            self._traps.clear()
            self._cut = None
        self.latency, self.bandwidth, self.is_down = 0.0, 0, False
        self.thaw()

    def freeze(self, *ways: Way) -> None:
        """Pass nothing on in these directions, both without any; what is sent is still acknowledged."""
        for way in ways or ("up", "down"):
            self.gates[way].clear()

    def thaw(self) -> None:
        """Pass on again, what was held first."""
        for gate in self.gates.values():
            gate.set()

    def reset_all(self) -> None:
        """Reset every open connection, at both ends, and return when it is done."""
        links = self.links
        for link in links:
            link.reset()
        for link in links:
            link.over.wait(1)

    def close(self) -> None:
        """Stop: every connection is reset, and new ones are refused."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.thaw()
        self.reset_all()

    def trapped(self, piece: bytes) -> Trap | None:
        """Return the trap that this piece springs, and take it away."""
        if not self._traps:
            return None
        with self._lock:
            for trap in self._traps:
                if trap.token in piece:
                    self._traps.remove(trap)
                    return trap
        return None

    def admitted(self, way: Way, length: int) -> tuple[int, bool]:
        """Return how many of `length` bytes may pass, and whether the connection is cut behind them."""
        if self._cut is None:
            return length, False
        with self._lock:
            if self._cut is None or self._cut[0] != way:
                return length, False
            left = self._cut[1]
            if length < left:
                self._cut = (way, left - length)
                return length, False
            self._cut = None
            return left, True

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.asked.append(time.monotonic())
            if self.is_down:
                _reset(client)
                continue
            threading.Thread(target=self._open, args=(client,), daemon=True, name="proxy").start()

    def _open(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        link = Link(self, client, server)
        with self._lock:
            self._links = [each for each in self._links if not each.over.is_set()]
            self._links.append(link)
        link.start()


class Link:
    """One connection through the proxy.

    Attributes:
        over: set when both directions have ended and both ends are closed.
    """

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.over = threading.Event()
        self._proxy, self._client, self._server = proxy, client, server
        self._answer_trap: Trap | None = None
        self._is_reset = False
        self._running = 2
        self._lock = threading.Lock()
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start(self) -> None:
        ways: tuple[Way, Way] = ("up", "down")
        for way in ways:
            threading.Thread(target=self._pump, args=(way,), daemon=True, name=f"proxy {way}").start()

    def reset(self) -> None:
        """Order both ends to be reset; `over` tells when they are.

        The threads close the sockets: one that is closed here, while a thread reads from it, could be another by then.
        """
        self._is_reset = True
        for end in (self._client, self._server):
            with suppress(OSError):
                _arm(end)
            with suppress(OSError):
                end.shutdown(socket.SHUT_RD)  # wakes the thread that reads, and sends nothing

    def _pump(self, way: Way) -> None:
        source, sink = (self._client, self._server) if way == "up" else (self._server, self._client)
        try:
            while piece := source.recv(1 << 16):
                self._hold(way, len(piece))
                if self._is_reset or not self._pass(way, piece, sink):
                    break
            else:
                if not self._is_reset:
                    sink.shutdown(socket.SHUT_WR)
        except OSError:  # one end was reset: the other learns of it
            self.reset()
        with self._lock:
            self._running -= 1
            if self._running:
                return
        self._client.close()
        self._server.close()
        self.over.set()

    def _hold(self, way: Way, length: int) -> None:
        proxy = self._proxy
        while not proxy.gates[way].wait(0.05) and not self._is_reset:
            pass
        if proxy.latency:
            time.sleep(proxy.latency)
        if proxy.bandwidth:
            time.sleep(length / proxy.bandwidth)

    def _pass(self, way: Way, piece: bytes, sink: socket.socket) -> bool:
        """Pass a piece on, or what the faults leave of it; return whether the direction goes on."""
        if way == "down" and self._answer_trap is not None:
            return self._spring(self._answer_trap)
        trap = self._proxy.trapped(piece) if way == "up" else None
        if trap is not None:
            return self._obey(trap, piece)
        count, is_cut = self._proxy.admitted(way, len(piece))
        sink.sendall(piece[:count])
        self._proxy.passed[way] += count
        if is_cut:
            self.reset()
        return not is_cut

    def _obey(self, trap: Trap, piece: bytes) -> bool:
        if trap.deed == "orphan":  # no other thread reads from the client
            _arm(self._client)
            self._client.close()
            trap.sprung.set()
            return False
        if trap.deed == "swallow":
            self._answer_trap = trap
        if trap.deed != "drop":
            self._server.sendall(piece)
        return trap.deed == "swallow" or self._spring(trap)

    def _spring(self, trap: Trap) -> bool:
        self.reset()
        trap.sprung.set()
        return False


def _arm(end: socket.socket) -> None:
    """Make the close of a socket a reset: RST in place of FIN, so the other side cannot take it for an end."""
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _reset(end: socket.socket) -> None:
    with suppress(OSError):
        _arm(end)
    end.close()
