"""How often a use case is tried, and how long is waited between: arithmetic, without a clock of its own.

Source: AWS Architecture Blog, "Exponential Backoff and Jitter" (full jitter).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hermetic.errors import (
    CannotConnect,
    DatabaseFailure,
    LostConnection,
    ReadOnlyServer,
    StalePlan,
    TransactionConflict,
    VersionConflict,
)

# attempts in a row that one kind is worth, where the whole budget allows them
_WORTH: Mapping[type[Exception], int] = {
    TransactionConflict: 1000,
    VersionConflict: 1000,
    LostConnection: 1000,
    CannotConnect: 1000,
    ReadOnlyServer: 1000,  # a failover: the next connection may find the new primary
    StalePlan: 2,
}
_SERVER = (LostConnection, CannotConnect, ReadOnlyServer)
"""What takes a server some time to come back from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """The budget of `Database.run`: how often and for how long a use case is tried.

    A conflict (`SerializationFailure`, `Deadlock`, `VersionConflict`), a lost connection, a server that is not there or
    only reads, and once a `StalePlan`, are tried again; nothing else is, except what `also` names.

    Attributes:
        attempts: how often, 1 to n; 1 never repeats.
        seconds: after this time no new attempt begins.
        first: longest wait before the second attempt, in seconds; it doubles with each further one.
        longest: longest wait of all.
        also: further kinds worth another attempt, e.g. `(LockTimeout,)`.
    """

    attempts: int = 20
    seconds: float = 30.0
    first: float = 0.01
    longest: float = 1.0
    also: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"Retry attempts={self.attempts} would never begin; use 1 or more")
        for name in ("seconds", "first", "longest"):
            if getattr(self, name) < 0:
                raise ValueError(f"Retry {name}={getattr(self, name)} is negative; use 0 or more")

    @classmethod
    def never(cls) -> Retry:
        """Return the budget of one attempt."""
        return cls(attempts=1)

    def delay(self, failure: BaseException, attempt: int, elapsed: float, draw: float) -> float | None:
        """Return how many seconds to wait before the next attempt, or None where there is none.

        Args:
            failure: what ended the attempt.
            attempt: which attempt it was, from 1.
            elapsed: seconds since the first attempt began.
            draw: a random number from 0 to 1.
        """
        worth = self._worth(failure)
        if attempt >= min(self.attempts, worth):
            return None
        first = max(self.first, 0.05) if isinstance(failure, _SERVER) else self.first
        wait = min(self.longest, first * 2.0 ** min(attempt - 1, 30)) * draw
        return wait if elapsed + wait <= self.seconds else None

    def _worth(self, failure: BaseException) -> int:
        if isinstance(failure, self.also):
            return self.attempts
        if isinstance(failure, CannotConnect) and not failure.is_passing:
            return 1
        return next((worth for kind, worth in _WORTH.items() if isinstance(failure, kind)), 1)


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """One attempt that failed: which error ended it, and how many seconds after the first had begun."""

    failure: str
    seconds: float


def told(attempts: list[FailedAttempt]) -> str:
    """Return the attempts as one line."""
    kinds = [attempt.failure for attempt in attempts]
    counted = ", ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))
    times = "1 attempt" if len(attempts) == 1 else f"{len(attempts)} attempts"
    return f"hermetic: given up after {times} in {attempts[-1].seconds:.2f} s: {counted}"


def name_of(failure: BaseException) -> str:
    """Return the kind of a failure, with its code where it has one."""
    state = failure.state if isinstance(failure, DatabaseFailure) else ""
    return f"{type(failure).__name__} {state}".strip()
