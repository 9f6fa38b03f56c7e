"""Where in the application's own code something happened."""

from __future__ import annotations

import sys
from pathlib import Path
from types import FrameType

import greenlet

_FOREIGN = ("hermetic", "sqlalchemy", "greenlet", "asyncio", "contextlib", "concurrent", "threading", "uvloop")


def caller() -> str:
    """Return `file:line in function` of the innermost frame that belongs to the application, or "unknown"."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # documented, and the only way in
    bridge = greenlet.getcurrent()
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in _FOREIGN:
            return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno} in {frame.f_code.co_name}"
        frame = frame.f_back
        if frame is None and bridge.parent is not None:
            # inside the async bridge the application's frames hang on the greenlet that waits
            bridge = bridge.parent
            frame = bridge.gr_frame
    return "unknown"


def _short(filename: str) -> str:
    path = Path(filename)
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else filename
