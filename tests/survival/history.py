"""What the callers were told, and what the database holds: the first against the second.

The words are Jepsen's: an operation is `ok`, `fail` (it certainly did not happen) or `info` (nobody knows).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

Told = Literal["ok", "fail", "info"]


@dataclass
class History:
    """The log of all callers of one run: each operation by its id, and what its caller was told; and the monotonic
    instants at which one was told `ok`.
    """

    invoked: set[str] = field(default_factory=set)
    told: dict[str, Told] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def invoke(self, operation: str) -> None:
        with self._lock:
            self.invoked.add(operation)

    def tell(self, operation: str, told: Told, reason: str = "") -> None:
        with self._lock:
            self.told[operation] = told
            if told == "ok":
                self.times.append(time.monotonic())
            if reason:
                self.reasons[f"{told}: {reason}"] += 1


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What the two together say.

    Attributes:
        acked: callers that were told `ok`.
        failed: callers that were told it did not happen.
        unknown: callers that were left not knowing; `recovered` of them did happen.
        lost: told `ok`, and not there.
        duplicated: there more than once.
        phantom: told that it did not happen, and there.
    """

    acked: int
    failed: int
    unknown: int
    recovered: int
    lost: int
    duplicated: int
    phantom: int

    @property
    def wrong(self) -> int:
        """How many promises were broken."""
        return self.lost + self.duplicated + self.phantom


def reckon(history: History, stored: Iterable[str]) -> Reckoning:
    """Compare the log of the callers with the ids that the database holds, each as often as it is there."""
    there = Counter(stored)
    strange = there.keys() - history.invoked
    assert not strange, f"nobody asked for {sorted(strange)[:3]}"
    told = {word: {each for each, said in history.told.items() if said == word} for word in ("ok", "fail", "info")}
    # who was told nothing, e.g. because the process was killed, does not know either
    unknown = told["info"] | (history.invoked - history.told.keys())
    return Reckoning(
        acked=len(told["ok"]),
        failed=len(told["fail"]),
        unknown=len(unknown),
        recovered=len(unknown & there.keys()),
        lost=len(told["ok"] - there.keys()),
        duplicated=sum(count > 1 for count in there.values()),
        phantom=len(told["fail"] & there.keys()),
    )
