"""Children of this process by fork(2): what each found comes back, also from one that hangs or is killed."""

from __future__ import annotations

import json
import os
import select
import signal
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any


class Child:
    """A running child, which writes lines.

    Attributes:
        number: its process.
    """

    def __init__(self, body: Callable[[Callable[[object], None]], object]) -> None:
        """Run `body(tell)` in a child; `tell` sends a value of JSON to this process."""
        source, sink = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that this process has threads is known
            self.number = os.fork()
        if self.number == 0:
            status = 1
            try:
                os.close(source)
                os.setsid()  # children of its own end with it
                body(lambda told: _write(sink, told))
                status = 0
            except BaseException as error:
                os.write(2, f"{error!r}\n".encode())
            finally:
                os._exit(status)  # nothing that belongs to the parent is ended here
        os.close(sink)
        self._source = source
        self._text = b""
        self._is_open = True

    def told(self, seconds: float, enough: int = 1 << 30) -> list[Any]:
        """Return what the child has told until now: when there are `enough` values, it has ended, or time is over."""
        end = time.monotonic() + seconds
        while self._is_open and self._text.count(b"\n") < enough and (left := end - time.monotonic()) > 0:
            if select.select([self._source], [], [], left)[0]:
                piece = os.read(self._source, 1 << 16)
                self._text += piece
                self._is_open = bool(piece)
        return [json.loads(line) for line in self._text.splitlines(keepends=True) if line.endswith(b"\n")]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.number, number)

    def end(self) -> int:
        """Kill the child where it has not ended, and return its status: negative is the signal that ended it."""
        with suppress(ProcessLookupError):
            os.killpg(self.number, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.kill(self.number, signal.SIGKILL)  # before it had its group
        status = os.waitstatus_to_exitcode(os.waitpid(self.number, 0)[1])
        os.close(self._source)
        return status


def _write(sink: int, told: object) -> None:
    os.write(sink, json.dumps(told).encode() + b"\n")  # atomic: a line is shorter than a pipe's buffer
