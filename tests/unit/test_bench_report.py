"""How the measurements compare and report."""

from __future__ import annotations

import asyncio

import pytest
from bench import report
from bench.measure import Timings, Way, interleaved


def test_each_way_runs_in_every_round() -> None:
    called: list[str] = []

    def way(name: str) -> Way:
        async def run(size: int) -> None:
            called.append(f"{name} {size}")

        return Way(name, run, lambda found: found)

    timings = asyncio.run(interleaved([way("a"), way("b")], 3, rounds=4, seconds=0))
    assert {len(taken) for taken in (*timings.wall.values(), *timings.cpu.values())} == {4}
    assert called[-4:] == ["a 3", "b 3", "b 3", "a 3"]  # each round begins with another way


def test_a_ratio_compares_the_same_round() -> None:
    timings = Timings({"a": [1.0, 20.0, 3.0], "b": [2.0, 10.0, 6.0]}, {"a": [], "b": []})
    assert timings.ratio("a", "b") == 0.5
    assert timings.ms("a") == pytest.approx(3000)


def test_the_report_says_which_bars_are_met() -> None:
    bars = [report.at_most("a read", [1.2, 1.3], [1.25, 1.25]), report.at_least("a read", [12.0], [10])]
    section = report.Section("Reads", "Of one kind.", ("way", "ms"), [("hermetic", "1.00"), ("other", "—")], bars)
    page = report.page([section], ["a rival, because it is not installed"], "bench", 3)
    assert "| a read | ≤ 1.25x / 1.25x | 1.20x / 1.30x | **missed** |" in page
    assert "| a read | ≥ 10.0x | 12.0x | met |" in page
    assert "| --- | ---: |\n| hermetic | 1.00 |" in page
    assert "Left out: a rival, because it is not installed." in page
