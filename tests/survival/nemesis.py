"""What makes trouble while a workload runs: faults in an order that a seed decides, and a journal of what was done."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Self

Fault = Callable[[], object]


class Nemesis:
    """A thread that does one fault after the other until its block ends.

    Args:
        faults: what it does, by name.
        weights: how often, by the same names, relative to each other.
        seed: decides the order and the pauses.
        pause: seconds between two faults, at least and at most.
        until: the monotonic instant after which no fault begins.
        first: faults that come before the order of the seed, so that even a short run has them.
    """

    def __init__(
        self,
        faults: Mapping[str, Fault],
        weights: Mapping[str, int],
        seed: int,
        pause: tuple[float, float] = (0.05, 0.25),
        first: tuple[str, ...] = (),
        until: float = float("inf"),
    ) -> None:
        self.journal: list[tuple[float, str]] = []
        self._faults, self._weights, self._pause = faults, weights, pause
        self._random = random.Random(seed)
        self._next = list(first)
        self._until = until
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="nemesis")
        self._failure: BaseException | None = None
        self._begun = time.monotonic()

    @property
    def counts(self) -> Counter[str]:
        """How often each fault was done."""
        return Counter(name for _, name in self.journal)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        names = list(self._faults)
        weights = [self._weights[name] for name in names]
        try:
            while not self._stopped.wait(self._random.uniform(*self._pause)):
                if time.monotonic() > self._until:
                    return
                name = self._next.pop(0) if self._next else self._random.choices(names, weights)[0]
                self.journal.append((time.monotonic() - self._begun, name))
                self._faults[name]()
        except BaseException as error:  # the run fails with it, and not a thread that nobody looks at
            self._failure = error
