"""What a figure of the suite is: a promise, what is done to it, and what each way to write the same makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from survival.history import Reckoning
from survival.place import Place
from survival.ways import ADVANCED_ALCHEMY, PLAIN, Kind, has_advanced_alchemy


@dataclass(frozen=True, slots=True)
class Row:
    """What one way made of it.

    Attributes:
        way: who, and on which driver.
        found: the numbers.
        is_kept: whether the promise holds.
        is_control: whether it is one of those that must fail, which shows that the oracle sees.
    """

    way: str
    found: str
    is_kept: bool
    is_control: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """One promise and its measurement.

    Attributes:
        name: short, as the command line takes it.
        promise: what must hold.
        fault: what is done.
        measure: yields the rows; of the long form where asked for.
    """

    name: str
    promise: str
    fault: str
    measure: Callable[[Place, bool], Iterable[Row]]


def others() -> list[Kind]:
    """Return the ways without a retry that a run compares with; the tests do not see the rival."""
    return [PLAIN, ADVANCED_ALCHEMY] if has_advanced_alchemy() else [PLAIN]


def said(reckoning: Reckoning) -> str:
    """Return what the callers were told against what is there, in words."""
    words = [f"{reckoning.acked:,} acknowledged", f"{reckoning.lost} lost", f"{reckoning.duplicated} duplicated"]
    words += [f"{reckoning.phantom} phantom", f"{reckoning.unknown} not known to their callers"]
    return ", ".join([*words, f"{reckoning.failed} failed"])
