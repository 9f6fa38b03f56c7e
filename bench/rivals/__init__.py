"""The rivals, one module each: a function for each piece of work that opens what it needs and yields its ways.

The functions are `graph`, `get` and `flat`; a module has those that its library is compared in. They take the URL of
the database without a driver, and the driver; what the library does not do with that driver it does not yield.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module

from bench.measure import Way

NAMES = (
    "bare",
    "by_hand",
    "orm",
    "with_sqlmodel",
    "with_advanced_alchemy",
    "with_tortoise",
    "with_piccolo",
    "with_django",
)


def missing() -> list[str]:
    """Return a sentence for each rival that is not installed."""
    reasons = []
    for name in NAMES:
        try:
            import_module(f"bench.rivals.{name}")
        except ModuleNotFoundError as error:
            reasons.append(f"{name.removeprefix('with_')}, because the package {error.name} is not installed")
    return reasons


@asynccontextmanager
async def opened(work: str, url: str, driver: str) -> AsyncGenerator[list[Way]]:
    """Yield the ways of all installed rivals for one piece of work."""
    async with AsyncExitStack() as stack:
        ways: list[Way] = []
        for name in NAMES:
            try:
                module = import_module(f"bench.rivals.{name}")
            except ModuleNotFoundError:
                continue
            if hasattr(module, work):
                ways += await stack.enter_async_context(getattr(module, work)(url, driver))
        yield ways
