"""A TCP proxy before a server that can freeze: it goes on to accept and to acknowledge, and passes nothing on."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self

from sqlalchemy import URL, make_url


class Freezer:
    """A running proxy; `url` is the database behind it."""

    def __init__(self, url: str) -> None:
        target = make_url(url)
        assert target.host is not None and target.port is not None
        self._target = (target.host, target.port)
        self._is_frozen = False
        self._gates: list[threading.Event] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._ends: list[socket.socket] = []
        self.url: URL = target.set(port=self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url_text(self) -> str:
        """The URL with its password."""
        return self.url.render_as_string(hide_password=False)

    def freeze(self) -> None:
        """Pass nothing on."""
        self._is_frozen = True
        self.freeze_open()

    def freeze_open(self) -> None:
        """Pass nothing on of the connections that there are; new ones work."""
        for gate in self._gates:
            gate.clear()

    def thaw(self) -> None:
        """Pass on again, what was held first."""
        self._is_frozen = False
        for gate in self._gates:
            gate.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.thaw()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                gate = threading.Event()
                if not self._is_frozen:
                    gate.set()
                self._gates.append(gate)
                self._ends += [client, server]
                running = [None, None]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(source, sink, gate, running), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, gate: threading.Event, running: list[None]) -> None:
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                gate.wait()
                sink.sendall(piece)
        with suppress(OSError):
            gate.wait()
            sink.shutdown(socket.SHUT_WR)
        running.pop()
        if not running:
            source.close()
            sink.close()
