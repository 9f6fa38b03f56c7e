"""The one bridge between the sync core and the async shell; the only place that calls `run_sync`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import AdaptedConnection
from sqlalchemy.ext.asyncio import AsyncSession

from hermetic.errors import HermeticError

P = ParamSpec("P")
R = TypeVar("R")


class AsyncCode:
    """Let the errors that leave the block show async code."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, HermeticError):
            error.is_async = True


async def cross(bridge: AsyncSession, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what `call` returns; the driver's awaits inside it are awaited here, and errors show async code."""
    with AsyncCode():
        return await bridge.run_sync(lambda _: call(*args, **kwargs))


async def to_its_end(work: Coroutine[Any, Any, R]) -> R:
    """Return what `work` returns; a cancellation does not break it off, and is raised when it is over."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    try:
        return task.result()
    finally:
        if cancelled is not None:
            raise cancelled


_bridge = AsyncSession()


def finish(connection: AdaptedConnection, call: Callable[[], R]) -> R:
    """Return what `call` returns, inside a crossing; a cancellation does not break it off, and is raised when it is
    over.
    """
    return connection.run_async(lambda _: to_its_end(_bridge.run_sync(lambda _: call())))
