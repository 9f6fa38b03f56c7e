"""Each figure in its short form: the promise holds for hermetic, and the controls show that the oracle sees."""

from __future__ import annotations

import pytest

from survival.figure import Figure
from survival.figures import FIGURES
from survival.place import Place


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_the_promise_is_kept(figure: Figure, place: Place, found: list[str]) -> None:
    rows = list(figure.measure(place, False))
    if not rows:
        pytest.skip(f"{figure.name}: what it needs is not installed")
    found += [f"{figure.name}: {row.way}: {row.found}" for row in rows]
    assert [f"{row.way}: {row.found}" for row in rows if not row.is_control and not row.is_kept] == []
    assert [f"{row.way}: {row.found}" for row in rows if row.is_control and row.is_kept] == []
