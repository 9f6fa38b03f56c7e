"""Where in the application's own code something happened, or is happening."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import greenlet

_FOREIGN = frozenset(
    ("hermetic", "sqlalchemy", "greenlet", "asyncio", "contextlib", "concurrent", "threading", "uvloop", "anyio")
)

Spot = tuple[CodeType, int]
"""A line of code; it holds no variables alive, as a frame would."""


def spot() -> Spot | None:
    """Return the line of the innermost frame that belongs to the application; about two microseconds."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # documented, and the only way in
    bridge = greenlet.getcurrent()
    while frame is not None:
        if _is_own(frame):
            return frame.f_code, frame.f_lineno
        frame = frame.f_back
        if frame is None and bridge.parent is not None:
            # inside the async bridge the application's frames hang on the greenlet that waits
            bridge = bridge.parent
            frame = bridge.gr_frame
    return None


def caller() -> str:
    """Return `file:line in function` of the innermost frame that belongs to the application, or "unknown"."""
    return placed(spot())


def placed(found: Spot | None) -> str:
    """Return `file:line in function`, or "unknown"."""
    if found is None:
        return "unknown"
    code, line = found
    return f"{_short(code.co_filename)}:{line} in {code.co_name}"


def whereabouts(user: asyncio.Task[Any] | threading.Thread) -> str:
    """Return `file:line in function` where a task waits or a thread is at this moment, or "unknown"."""
    frame = _waiting(user) if isinstance(user, asyncio.Task) else _running(user)
    return placed((frame.f_code, frame.f_lineno) if frame is not None else None)


def _running(thread: threading.Thread) -> FrameType | None:
    frame = sys._current_frames().get(thread.ident or 0)  # pyright: ignore[reportPrivateUsage]  # documented
    while frame is not None and not _is_own(frame):
        frame = frame.f_back
    return frame


def _waiting(task: asyncio.Task[Any]) -> FrameType | None:
    own: FrameType | None = None
    awaited: Any = task.get_coro()
    while awaited is not None:  # from the outermost coroutine inwards, to what the innermost waits for
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "ag_frame", None)
        if frame is not None and _is_own(frame):
            own = frame
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "ag_await", None)
    return own


def _is_own(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] not in _FOREIGN


def _short(filename: str) -> str:
    try:
        return _below(filename, os.getcwd())
    except FileNotFoundError:  # the directory that the process works in was deleted
        return filename


@lru_cache(maxsize=4096)
def _below(filename: str, directory: str) -> str:
    """Return the path from the directory; as it is where it leads out. Uncached it took 80 of a unit's microseconds."""
    path = Path(filename)
    return str(path.relative_to(directory)) if path.is_relative_to(directory) else filename
