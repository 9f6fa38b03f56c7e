"""The one bridge from the sync core to the async shell; the only place that calls `run_sync`."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

P = ParamSpec("P")
R = TypeVar("R")


async def cross(bridge: AsyncSession, call: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Return what `call` returns; the driver's awaits inside it are awaited here."""
    return await bridge.run_sync(lambda _: call(*args, **kwargs))
