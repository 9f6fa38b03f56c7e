"""The table of `docs/survival.md` is what was measured, and all that was measured is there.

`BLESS=1` makes the table again from `tests/survival/results`, e.g. after a promise was worded anew or a merge.
"""

from __future__ import annotations

import os

from survival import catalogue, report
from survival.figures import FIGURES


def test_the_page_shows_the_last_measurement_of_each_figure() -> None:
    text = report.PAGE.read_text("utf-8")
    expected = report.page(text, FIGURES, report.kept())
    if os.environ.get("BLESS"):
        report.PAGE.write_text(expected, "utf-8")
        return
    assert text == expected, "run with BLESS=1, or measure: python3 dev.py survive --short --write NAME"


def test_every_figure_was_measured_and_its_promise_kept() -> None:
    results = report.kept()
    assert list(results) == sorted(figure.name for figure in FIGURES)
    broken = [f"{name}: {row.way}" for name, found in results.items() for row in found.rows if _is_broken(row)]
    assert broken == []


def test_the_page_lists_every_fault_of_the_catalogue() -> None:
    assert f"\n\n{catalogue.listed()}\n" in report.PAGE.read_text("utf-8"), f"paste:\n{catalogue.listed()}"


def _is_broken(row: report.Row) -> bool:
    return row.is_kept if row.is_control else not row.is_kept
