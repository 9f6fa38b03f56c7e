"""The guarded session: all of SQLAlchemy's 2.0 style, without the parts that end a transaction or load behind one's
back.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import greenlet
from sqlalchemy import Connection, Executable, Update, event
from sqlalchemy import inspect as inspect_mapped
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstanceState, Mapper, ORMExecuteState, RelationshipProperty, Session, SessionTransaction
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.orm.interfaces import UserDefinedOption
from sqlalchemy.orm.util import object_state

from hermetic.errors import NotLoaded, NotTheOwner, SwallowedFailure, UnitClosed, VersionConflict
from hermetic.guard.origin import Spot, caller, placed, spot
from hermetic.guard.ownership import Owner
from hermetic.model import Versioned
from hermetic.shape import gathered, locks_rows

T = TypeVar("T")
StatementT = TypeVar("StatementT", bound=Executable)


class LoadedAt(UserDefinedOption):
    """Carries, with every entity that a statement loads, the place in the application that sent the statement."""

    propagate_to_loaders = True


def loaded_at(statement: StatementT, place: Spot | None) -> StatementT:
    """Return the statement whose entities know the place that sent it."""
    return statement.options(LoadedAt(place))


# what ends the transaction of a connection, hands it out, or gives the connection away
_ENDING = ("commit", "rollback", "close", "detach", "get_transaction")


@dataclass(frozen=True, slots=True)
class Failure:
    """The first database error of a unit that nothing has undone yet, where it happened, and inside which savepoint."""

    error: BaseException
    place: str
    savepoint: SessionTransaction | None


class GuardedSession(Session):
    """The session of a unit of work; `commit`, `rollback` and `close` belong to the unit.

    `owner` is where the unit of work was begun, `claimed` the connection of its transaction, `pending` what whoever
    begins it knows of its commit.
    """

    owner: str = "unknown"
    is_async: bool = False
    is_ending: bool = False
    is_over: bool = False
    failure: Failure | None = None
    holder: Owner | None = None
    claimed: Connection | None = None
    pending: object = None
    _explicit_loads: int = 0
    _crossings: int = 0

    @property
    def autobegin(self) -> bool:
        """Say that nothing begins by itself: SQLAlchemy asks before whatever needs a transaction and finds none.

        Raises:
            UnitClosed: the unit of work has ended.
        """
        self.check_open()
        return False

    @autobegin.setter
    def autobegin(self, wanted: bool) -> None: ...

    def check_open(self) -> None:
        """Refuse a session that was kept beyond its unit.

        Raises:
            UnitClosed: the unit of work has ended.
        """
        if self.is_over:
            raise UnitClosed(self.owner, "has ended").worded(is_async=self.is_async)

    def begin(self, nested: bool = False) -> SessionTransaction:
        """Begin, the unit's transaction or a savepoint in it."""
        self.check_open()
        return super().begin(nested)

    def commit(self) -> NoReturn:
        """Refuse: the unit of work commits."""
        raise self.refused("commit")

    def rollback(self) -> NoReturn:
        """Refuse: the unit of work rolls back."""
        raise self.refused("rollback")

    def close(self) -> NoReturn:
        """Refuse: the unit of work closes."""
        raise self.refused("close")

    def reset(self) -> NoReturn:
        """Refuse: the unit of work ends the transaction."""
        raise self.refused("reset")

    def invalidate(self) -> NoReturn:
        """Refuse: the unit of work ends the transaction."""
        raise self.refused("invalidate")

    def refresh(
        self, instance: object, attribute_names: Iterable[str] | None = None, with_for_update: Any = None
    ) -> None:
        """Load the attributes of an entity again; the explicit way, and therefore allowed."""
        self.check_open()
        with self._loading():
            super().refresh(instance, attribute_names, with_for_update)

    def delete(self, instance: object) -> None:
        """Mark an entity as deleted; what its cascades must know is loaded."""
        with self._loading():
            super().delete(instance)

    def merge(self, instance: T, **options: Any) -> T:
        """Return the entity of this session with the state of `instance`; loads the row, because that is what merging
        means.
        """
        with self._loading():
            return super().merge(instance, **options)

    def flush(self, objects: Any = None) -> None:
        """Send pending changes; what the order of the changes depends on is loaded."""
        self.check_open()
        self.check_holder()
        self.check_failure()
        changed = [*self.dirty, *self.deleted]
        try:
            with self._loading():
                super().flush(objects)
        except BaseException as error:
            failure = self._named(error, changed)
            if not self.is_active:  # the flush has rolled back, whatever it was that failed in it
                self.note(failure)
            if failure is error:
                raise
            raise failure from error

    def _named(self, error: BaseException, changed: Iterable[object]) -> BaseException:
        """Return the conflict of versions that a flush has met, or the error as it is."""
        if not isinstance(error, StaleDataError):
            return error
        states = [object_state(entity) for entity in changed]
        found = [_label(each) for each in states if each.mapper.version_id_col is not None]
        return VersionConflict(tuple(sorted(found))).worded(is_async=self.is_async) if found else error

    def check_holder(self) -> None:
        """Refuse another task or thread than the one that began the unit.

        Raises:
            UnitShared: it is one.
        """
        if self.holder is not None:
            self.holder.check()

    def note(self, error: BaseException) -> None:
        """Remember an error after which the transaction cannot be committed, unless a savepoint undoes it."""
        if self.failure is None:
            self.failure = Failure(error, caller(), self.get_nested_transaction())

    def check_failure(self) -> None:
        """Refuse to go on after an error that was caught.

        Raises:
            SwallowedFailure: there was one, and no savepoint has undone it.
        """
        failure = self.failure
        if failure is not None:
            kind = type(failure.error).__name__
            refused = SwallowedFailure(kind, failure.place, self.owner)
            raise refused.worded(is_async=self.is_async) from failure.error

    def refused(self, verb: str) -> NotTheOwner:
        """Return the error of whoever tries to end the transaction."""
        return NotTheOwner(verb, self.owner, caller()).worded(is_async=self.is_async)

    def connection(self, *args: Any, **kwargs: Any) -> Connection:
        """Return the connection of the transaction, which the unit of work alone ends and gives back."""
        connection = super().connection(*args, **kwargs)
        # on the object itself: SQLAlchemy has no public way to say which class its connections are of
        if "commit" not in vars(connection):
            vars(connection).update({verb: self._refusing(getattr(connection, verb), verb) for verb in _ENDING})
        return connection

    def _refusing(self, end: Callable[[], Any], verb: str) -> Callable[[], Any]:
        def call() -> Any:
            if not self.is_ending:
                raise self.refused(f"connection().{verb}")
            return end()

        return call

    @contextmanager
    def _loading(self) -> Generator[None]:
        self._explicit_loads += 1
        try:
            yield
        finally:
            self._explicit_loads -= 1

    def in_user_code(self, call: Callable[[], T]) -> T:
        """Return what `call` returns; attribute access inside it is as implicit as anywhere."""
        self._crossings += 1
        try:
            return call()
        finally:
            self._crossings -= 1

    def may_load(self) -> bool:
        """Return whether a load of attributes that happens now was asked for by name."""
        if self._explicit_loads:
            return True
        # only `await entity.awaitable_attrs.name` reaches an async session inside a greenlet without a crossing of ours
        return self.is_async and not self._crossings and greenlet.getcurrent().parent is not None


class AsyncGuardedSession(AsyncSession):
    """The async twin of `GuardedSession`."""

    sync_session_class = GuardedSession

    async def run_sync(self, fn: Callable[..., T], *arg: Any, **kw: Any) -> T:
        """Run `fn(session, ...)` in sync style; attributes that are not loaded are refused there too."""

        def call(session: Session) -> T:
            assert isinstance(session, GuardedSession)
            return session.in_user_code(lambda: fn(session, *arg, **kw))

        return await super().run_sync(call)


@event.listens_for(GuardedSession, "before_commit")
def _refuse_commit(session: GuardedSession) -> None:
    # also fires when a savepoint is released, which is allowed
    if not session.is_ending and not session.in_nested_transaction():
        raise session.refused("commit")
    session.check_failure()


@event.listens_for(GuardedSession, "after_transaction_end")
def _refuse_rollback(session: GuardedSession, transaction: SessionTransaction) -> None:
    # `session.get_transaction().rollback()`: done by now, so nothing of the unit can be committed any more
    if transaction.parent is None and not session.is_ending:
        refused = session.refused("rollback")
        session.note(refused)
        raise refused


@event.listens_for(GuardedSession, "do_orm_execute")
def _prepare(state: ORMExecuteState) -> None:
    if isinstance(state.session, GuardedSession):
        state.session.check_holder()
        state.session.check_failure()
    _refuse_implicit_load(state)
    if state.is_select and locks_rows(state.statement) and not state.is_column_load:
        _read_fresh(state)
    if state.is_update:
        _count(state)
    if (state.is_select and not state.is_column_load) or state.is_update or state.is_delete:
        state.statement = gathered(state.statement, state.session.get_bind().dialect)


def _read_fresh(state: ORMExecuteState) -> None:
    # the identity map would answer with what it held before the lock; what was changed is sent, and not overwritten
    if state.session.dirty or state.session.deleted:
        state.session.flush()
    state.update_execution_options(populate_existing=True)


def _refuse_implicit_load(state: ORMExecuteState) -> None:
    session = state.session
    if not isinstance(session, GuardedSession) or not state.is_select:
        return
    if state.is_relationship_load:
        if state.lazy_loaded_from is not None and not session.may_load():
            raise _relationship(state).worded(is_async=session.is_async)
    elif state.is_column_load:
        if not session.may_load():
            raise _columns(state, session).worded(is_async=session.is_async)
    elif state.is_orm_statement and _place(state) is None:
        state.statement = loaded_at(state.statement, spot())


def _count(state: ORMExecuteState) -> None:
    """Let an UPDATE of many rows count in their versions, as the change of one entity does."""
    mapper = state.bind_mapper
    if mapper is None or not issubclass(mapper.class_, Versioned) or not isinstance(state.statement, Update):
        return
    if state.is_executemany:
        return  # by primary key; SQLAlchemy compares the versions that are given
    with suppress(InvalidRequestError):  # ordered values, to which nothing can be added
        state.statement = state.statement.values({mapper.class_.version: mapper.class_.version + 1})


def _label(state: InstanceState[Any]) -> str:
    key = state.identity or ()
    return f"{state.mapper.class_.__name__} {key[0] if len(key) == 1 else key}"


def _place(state: ORMExecuteState) -> LoadedAt | None:
    return next((option for option in state.user_defined_options if isinstance(option, LoadedAt)), None)


def _origin(state: ORMExecuteState) -> str:
    place = _place(state)
    return f"it was loaded at {placed(place.payload)}" if place else "it was added in this unit of work"


def _fill(attributes: str) -> str:
    """Return the line that loads attributes of entities that are already here."""
    if not attributes:
        return "or read the row again: [await] uow.refresh(entity)"
    return f"or fill the entities that are here: [await] uow.load(entities, {attributes})"


def _relationship(state: ORMExecuteState) -> NotLoaded:
    path = state.loader_strategy_path
    declared = path[-1] if path else None
    if not isinstance(declared, RelationshipProperty):
        return NotLoaded("a relationship", _origin(state), "add selectinload(...) for it to the statement")
    model = declared.parent.class_.__name__
    target = declared.mapper.class_.__name__
    attribute = f"{model}.{declared.key}"
    shape = f"{target}Card" if target.endswith("Line") else f"{target}Line"
    annotation = f"list[{shape}]" if declared.uselist else shape
    option = f"selectinload({attribute})" if declared.uselist else f"joinedload({attribute})"
    entity = f"or load it with the entity: select({model}).options({option})"
    if _place(state) is None:
        entity = f"or give it when the entity is made: {model}({declared.key}={'[]' if declared.uselist else '...'})"
    return NotLoaded(
        attribute,
        _origin(state),
        f"read a shape: class {model}Card(Shape[{model}]): {declared.key}: {annotation}\n{entity}\n{_fill(attribute)}",
    )


def _columns(state: ORMExecuteState, session: GuardedSession) -> NotLoaded:
    mapper = state.bind_mapper
    names = _unloaded(mapper, state, session) if mapper is not None else []
    model = mapper.class_.__name__ if mapper is not None else "the entity"
    named = ", ".join(f"{model}.{name}" for name in names)
    attribute = named or f"a column of {model}"
    return NotLoaded(
        attribute,
        _origin(state),
        f"read a shape that has it\n{_fill(named)}\n"
        f"or, if the column is deferred: select({model}).options(undefer({attribute.partition(',')[0]}))",
    )


def _unloaded(mapper: Mapper[Any], state: ORMExecuteState, session: GuardedSession) -> list[str]:
    parameters = state.parameters
    values = tuple(parameters.values()) if isinstance(parameters, dict) else ()
    key = mapper.identity_key_from_primary_key(values)
    found = session.identity_map.get(key)
    if found is None:
        return []
    state_of = inspect_mapped(found)
    missing = state_of.expired_attributes or state_of.unloaded  # a deferred column is unloaded and not expired
    return [column.key for column in mapper.column_attrs if column.key in missing]
