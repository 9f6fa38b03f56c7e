"""`--check`: every way of every workload once, on few rows; all must return the same data. Nothing is timed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.graph import DRIVERS

ROOTS, PROFILES, EVENTS = 7, 30, 30
SIZE = 5


async def differences(url: str, workloads: Mapping[str, Any]) -> list[str]:
    """Print how many ways of each workload were compared; return those whose data differ from the first, hermetic's."""
    wrong = []
    for name, workload in workloads.items():
        for driver in DRIVERS:
            async with workload.opened(url, driver) as ways:
                found = {way.name: way.plain(await way.run(SIZE)) for way in ways}
            expected = next(iter(found.values()))
            assert expected
            wrong += [f"{name}, {driver}: {way}" for way, data in found.items() if data != expected]
            print(f"{name}, {driver}: {len(found)} ways compared")
    return wrong
