"""The attempts of one use case: what may be passed to it, when it is tried again, and what was tried at the end."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

from sqlalchemy import Engine, inspect
from sqlalchemy.orm import InstanceState

from hermetic.engine import FailedAttempt, Origin, Retry, name_of, remaining, told
from hermetic.errors import EntityPassed, SwallowedFailure


class Lossy(Protocol):
    """A unit of work of either kind."""

    @property
    def left(self) -> Origin | None: ...


U = TypeVar("U", bound=Lossy)

_running: ContextVar[tuple[Engine, ...]] = ContextVar("hermetic_running", default=())


class Course:
    """The attempts of one call of `run`; inside another one on the same database there is only one attempt, because the
    outer one is repeated as a whole.
    """

    def __init__(self, retry: Retry, engine: Engine, use_case: Callable[..., Any], is_async: bool) -> None:
        self.number = 1
        self._retry = Retry.never() if engine in _running.get() else retry
        self._engine = engine
        self._use_case = use_case
        self._is_async = is_async
        self._attempts: list[FailedAttempt] = []
        self._unit: Lossy | None = None
        self._begun = time.monotonic()
        self._token: Token[tuple[Engine, ...]] | None = None

    def __enter__(self) -> Self:
        self._token = _running.set((*_running.get(), self._engine))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _running.reset(self._token)

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Refuse entities among the arguments, and in lists, sets and dicts of them.

        Raises:
            EntityPassed: there is one.
        """
        for value in (*args, *kwargs.values()):
            for each in _within(value):
                state = inspect(each, raiseerr=False)
                if isinstance(state, InstanceState):
                    name = getattr(self._use_case, "__qualname__", "the use case")
                    raise EntityPassed(type(each).__name__, name).worded(is_async=self._is_async)

    def attempt(self, unit: U) -> U:
        """Return the unit of the next attempt, and remember it."""
        self._unit = unit
        return unit

    @property
    def lost(self) -> Origin | None:
        """The session that the last attempt lost, which must end before it can hold up the next one."""
        return self._unit.left if self._unit is not None else None

    def after(self, failure: Exception) -> float | None:
        """Return how many seconds to wait before the next attempt; None ends the course, and `failure` says what was
        tried: in a note, and as its attribute `attempts`.
        """
        elapsed = time.monotonic() - self._begun
        cause = failure.__cause__ if isinstance(failure, SwallowedFailure) and failure.__cause__ else failure
        self._attempts.append(FailedAttempt(name_of(cause), elapsed))
        wait = self._retry.delay(cause, self.number, elapsed, random.random())
        left = remaining()
        if wait is not None and left is not None and wait >= left:
            wait = None  # the deadline of the call would pass before the next attempt
        if wait is None:
            failure.__dict__["attempts"] = tuple(self._attempts)
            if len(self._attempts) > 1:
                failure.add_note(told(self._attempts))
        self.number += 1
        return wait


def _within(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return (*value.keys(), *value.values())
    return value if isinstance(value, (list, tuple, set, frozenset)) else (value,)
