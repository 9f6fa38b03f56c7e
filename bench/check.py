"""`--check`: every way of every workload once, on few rows; all must return the same data. Nothing is timed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import ours
from bench.graph import DRIVERS

ROOTS, PROFILES = 7, 30
SIZE = 5


async def differences(url: str, workloads: Mapping[str, Any]) -> list[str]:
    """Print what each way of each workload returns the same as hermetic's; return those that do not."""
    wrong = []
    for name, workload in workloads.items():
        for driver in DRIVERS:
            async with workload.opened(url, driver) as ways:
                found = {way.name: way.plain(await way.run(SIZE)) for way in ways}
            expected = found.pop(ours.BEST)
            wrong += [f"{name}, {driver}: {way}" for way, data in found.items() if data != expected]
            print(f"{name}, {driver}: {len(found) + 1} ways read {len(expected)} rows")
    return wrong
