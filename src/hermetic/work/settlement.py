"""Settle a commit whose answer was lost: ask what became of it until the server tells, then say it the caller's way."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from hermetic.engine import Aborted, Commit, CommitOutcome, Committed, Deadline, Outcomes, Unknown
from hermetic.errors import OutcomeUnknown

_CANCELLED = 5.0
"""Seconds to ask after a cancellation, which is waited for."""


class Settlement:
    """The questions after one lost answer.

    `failure` is what the connection was lost by, or the cancellation, or one that came while it was asked; `patience`
    how many seconds the server may be away.
    """

    def __init__(self, failure: BaseException, commit: Commit, outcomes: Outcomes, patience: float) -> None:
        self.outcome: CommitOutcome = Unknown(str(commit.token or ""))
        if commit.is_answered:
            self.outcome = Committed() if commit.tag == "COMMIT" else Aborted()
        self.failure = failure
        self._commit = commit
        self._outcomes = outcomes
        if isinstance(failure, TimeoutError):
            patience = 0.0  # the deadline has passed
        elif not isinstance(failure, Exception):
            patience = min(patience, _CANCELLED)
        self._until = time.monotonic() + patience
        self._asked = 0

    def ask(self) -> float | None:
        """Ask once; return how many seconds to wait before the next question, or None when there is none.

        A transaction that changed nothing is as good as rolled back: whoever repeats it changes nothing twice.
        """
        if not self._commit.writes:
            self.outcome = Aborted()
        left = self._until - time.monotonic()
        if left > 0 and isinstance(self.outcome, Unknown) and self._commit.token is not None:
            try:
                with Deadline("the question what became of a commit", left):
                    if self._commit.origin is not None:
                        self._outcomes.end_session(self._commit.origin)
                    self.outcome = self._outcomes.ask(self._commit.token)
            except (SQLAlchemyError, OSError):  # the server is still away
                self._asked += 1
                wait = min(0.5, 0.02 * 2.0 ** min(self._asked, 10)) * random.uniform(0.5, 1.0)
                return wait if time.monotonic() + wait < self._until else None
        return None

    def finish(self) -> None:
        """Return if the transaction is committed; else raise.

        Raises:
            OutcomeUnknown: nobody can tell.
            Whatever the connection was lost by: the transaction is rolled back. A cancellation or a deadline is raised
                in any case, with the outcome in its notes and as its attribute `outcome`.
        """
        failure, outcome = self.failure, self.outcome
        if not isinstance(failure, Exception) or isinstance(failure, TimeoutError):
            failure.__dict__["outcome"] = outcome
            failure.add_note(f"hermetic: the transaction that was being committed: {_told(outcome)}")
            raise failure
        match outcome:
            case Committed():
                return
            case Aborted():
                raise failure
            case Unknown(""):
                raise OutcomeUnknown(
                    "",
                    "no token was kept, because the table hermetic_outcome is not there",
                    "look whether what it wrote is there before it is repeated\n"
                    "and create the table: outcome_table(Base.metadata) for migrations,\n"
                    "[await] db.create_all(Base) in tests",
                ) from failure
            case Unknown(token):
                raise OutcomeUnknown(
                    token,
                    "the server did not answer since",
                    f"ask again when it does, before anything is repeated: [await] db.outcome({token!r})",
                ) from failure


@dataclass(frozen=True, slots=True)
class Settling:
    """How the units of a database settle: whom they ask, and for how many seconds the server may be away."""

    outcomes: Outcomes
    patience: float

    def of(self, failure: BaseException, commit: Commit, seconds_left: float) -> Settlement:
        """Return the settlement of a commit whose answer was lost, and on whose deadline there are `seconds_left`."""
        return Settlement(failure, commit, self.outcomes, min(self.patience, seconds_left))


def _told(outcome: CommitOutcome) -> str:
    match outcome:
        case Committed():
            return "committed"
        case Aborted():
            return "rolled back"
        case Unknown(token):
            return f"not known; db.outcome({token!r}) asks" if token else "not known"
