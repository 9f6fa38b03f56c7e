"""Time several ways of doing one thing, turn by turn, so that a drifting machine hits all of them alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping

Work = Callable[[], Awaitable[object]]


async def interleaved(ways: Mapping[str, Work], *, rounds: int, seconds: float = 0.05) -> dict[str, float]:
    """Return the median seconds of one call of each way.

    Each round runs every way for about `seconds`, in turn; the median is over the rounds.
    """
    repeats: dict[str, int] = {}
    for name, work in ways.items():
        await work()
        begun = time.perf_counter()
        await work()
        repeats[name] = max(1, int(seconds / max(time.perf_counter() - begun, 1e-6)))
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            gc.collect()
            begun = time.perf_counter()
            for _ in range(repeats[name]):
                await work()
            taken[name].append((time.perf_counter() - begun) / repeats[name])
    return {name: statistics.median(values) for name, values in taken.items()}
