"""`attempt`: a part of a unit that may fail; the failure is told, and everything is as it was before."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Session, SessionTransaction
from sqlalchemy.orm.util import object_state

from hermetic._lift import cross
from hermetic.guard import FINAL, GuardedSession, first_told
from hermetic.work.steps import Steps, steps_of

FailureT = TypeVar("FailureT", bound=Exception)
Load = Callable[[list[object], Steps], None]


class Entities:
    """What the entities of a session were before an attempt, as far as flushes inside it change them."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._added: dict[InstanceState[Any], dict[str, Any]] = {}
        self._stored: dict[InstanceState[Any], set[str]] = {}
        event.listen(session, "before_flush", self.note)

    def note(self, *_: Any) -> None:
        """Remember the values of new entities, and which attributes of the others are loaded."""
        for entity in self._session.new:
            state = object_state(entity)
            columns = state.mapper.column_attrs.keys()
            self._added.setdefault(state, {key: state.dict[key] for key in columns if key in state.dict})
        for entity in (*self._session.dirty, *self._session.deleted):
            state = object_state(entity)
            self._stored.setdefault(state, set(state.dict) & set(state.mapper.attrs.keys()))

    def forget(self) -> None:
        """Stop."""
        event.remove(self._session, "before_flush", self.note)

    def put_back(self, load: Load) -> None:
        """Take out of the entities that were added what the flush has put there, generated keys above all, so that they
        can be added again; and read again what the rollback has expired in the others.
        """
        for state, values in self._added.items():
            if state.transient:
                for key in state.mapper.column_attrs.keys():
                    state.dict.pop(key, None)
                state.dict.update(values)
        lost: dict[tuple[type[Any], frozenset[str]], list[object]] = {}
        for entity in self._session:
            keys = self._lost(object_state(entity))
            if keys:
                lost.setdefault((type(entity), keys), []).append(entity)
        for (model, keys), entities in lost.items():
            load(entities, steps_of(getattr(model, key) for key in sorted(keys)))

    def _lost(self, state: InstanceState[Any]) -> frozenset[str]:
        if not state.persistent:
            return frozenset()
        # also what an UPDATE of many rows has changed in the entities that are here
        expired = {each.key for each in state.mapper.column_attrs if not each.deferred} & state.expired_attributes
        return frozenset((self._stored.get(state, set()) | expired) - set(state.dict))


class Trial(Generic[FailureT]):
    """What both kinds of attempt are: a savepoint, and what leaves it."""

    failure: FailureT | None
    """The error that undid the block; None when it went well."""

    def __init__(self, begin: Callable[[], GuardedSession], load: Load, errors: tuple[type[FailureT], ...]) -> None:
        self.failure = None
        self._begun = begin
        self._load = load
        self._errors = errors
        self._session: GuardedSession
        self._savepoint: SessionTransaction
        self._entities: Entities

    def _begin(self) -> None:
        self._session = self._begun()
        self._savepoint = self._session.begin_nested()
        self._entities = Entities(self._session)

    def _end(self, error: BaseException | None) -> bool:
        left = self._undone(error) if error is not None else self._kept()
        if left is None:
            return False
        if isinstance(left, self._errors) and not isinstance(left, FINAL):
            self._entities.put_back(self._load)
            self.failure = left
            return True
        if left is not error:
            raise left
        return False

    def _undone(self, error: BaseException) -> BaseException:
        self._entities.note()
        self._entities.forget()
        with first_told(self._session):
            self._savepoint.__exit__(type(error), error, error.__traceback__)
        return error

    def _kept(self) -> BaseException | None:
        try:
            with first_told(self._session), self._savepoint:
                self._begun()  # refused where the block has caught a failure
                self._session.flush()
        except BaseException as error:  # decided on above
            return error
        finally:
            self._entities.forget()
        return None


class Attempt(Trial[FailureT]):
    """The block of `UnitOfWork.attempt`; `failure` is what undid it, None when it went well."""

    def __enter__(self) -> Self:
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return self._end(error)


class AsyncAttempt(Trial[FailureT]):
    """The async twin of `Attempt`."""

    def __init__(
        self,
        bridge: AsyncSession,
        begin: Callable[[], GuardedSession],
        load: Load,
        errors: tuple[type[FailureT], ...],
    ) -> None:
        super().__init__(begin, load, errors)
        self._bridge = bridge

    async def __aenter__(self) -> Self:
        await cross(self._bridge, self._begin)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        return await cross(self._bridge, self._end, error)
