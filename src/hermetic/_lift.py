"""The one bridge from the sync core to the async shell; the only place that calls `run_sync`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

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
