"""Close a database: hand out nothing any more, wait for the connections that are out, close them all."""

from __future__ import annotations

import asyncio
import threading
import warnings
from time import monotonic

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from hermetic._lift import to_its_end
from hermetic.engine.custody import Custody, custody_of
from hermetic.engine.deadline import Deadline
from hermetic.engine.enforce import CLOSE_TIMEOUT
from hermetic.errors import ConnectionsLeft


def close_engine(engine: Engine, timeout: float) -> None:
    """Close an engine for good; what is still out after `timeout` seconds is closed when it comes back."""
    custody = custody_of(engine)
    returned = threading.Event()
    custody.close(returned.set)
    end = monotonic() + timeout
    while custody.others() and returned.wait(max(0.0, end - monotonic())):
        returned.clear()
    _report(custody, timeout)
    engine.dispose(close=not custody.gate.is_elsewhere)


async def close_async_engine(engine: AsyncEngine, timeout: float) -> None:  # noqa: ASYNC109  # as its twin
    """The async twin of `close_engine`."""
    custody = custody_of(engine.sync_engine)
    returned = asyncio.Event()
    custody.close(returned.set)
    try:
        async with asyncio.timeout(timeout):
            while custody.others():
                await returned.wait()
                returned.clear()
    except TimeoutError:
        pass
    finally:  # cancelled too
        try:
            _report(custody, timeout)
        finally:
            with Deadline(None, CLOSE_TIMEOUT):  # for all of them together
                await to_its_end(engine.dispose(close=not custody.gate.is_elsewhere))


def _report(custody: Custody, timeout: float) -> None:
    custody.end()
    left = custody.holders()
    if left and not custody.gate.is_elsewhere:
        warnings.warn(ConnectionsLeft(custody.gate.closed_at, f"{timeout:g}", left), stacklevel=4)
