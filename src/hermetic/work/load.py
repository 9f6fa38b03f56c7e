"""`load`: fill attributes of entities that are already here, one statement for each step."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, inspect, select, tuple_
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import (
    InstanceState,
    Mapper,
    RelationshipProperty,
    Session,
    aliased,
    lazyload,
    load_only,
)
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.orm.collections import collection_adapter
from sqlalchemy.orm.util import object_state

from hermetic.errors import CannotLoad
from hermetic.shape import Way, key_of
from hermetic.work.steps import Step, Steps, is_related, label

_OPEN = "load inside the unit that read it"


def check(session: Session, entities: Iterable[object], steps: Steps) -> None:
    """Refuse what is not stored in this unit of work, and attributes that are not of the entities' hierarchy.

    Raises:
        CannotLoad: one of these.
    """
    deleted = session.deleted
    mappers: set[Mapper[Any]] = set()
    for entity in entities:
        state = object_state(entity)
        mappers.add(state.mapper)
        if not state.persistent or state.session is not session or (deleted and entity in deleted):
            raise _not_stored(state, session)
    for mapper in mappers:
        for step in steps.values():
            if not is_related(mapper, inspect(step.model)):
                model = mapper.class_.__name__
                raise CannotLoad(label(step.attribute), f"the entities are of {model}", f"name an attribute of {model}")


def _not_stored(state: InstanceState[Any], session: Session) -> CannotLoad:
    model = state.mapper.class_.__name__
    if state.transient:
        reason, remedy = (
            "it is new, and was not added to this unit of work",
            "uow.add(entity), then [await] uow.flush()",
        )
    elif state.detached:
        reason, remedy = "its unit of work has ended", f"{_OPEN}, or read it again: [await] uow.get({model}, key)"
    elif state.session is not session:
        reason, remedy = (
            "it belongs to another unit of work",
            f"{_OPEN}, or read it here: [await] uow.get({model}, key)",
        )
    elif state.pending:
        reason, remedy = (
            "it is new, and was not sent yet",
            "[await] uow.flush() first, or give the values when it is made",
        )
    else:
        reason, remedy = "it is deleted in this unit of work", "load before [await] uow.delete(entity)"
    return CannotLoad(f"an entity of {model}", reason, remedy)


class Loader:
    """Fills the attributes of a tree of steps, one after the other; `flush_before` sends the pending changes to the
    tables of a statement.
    """

    def __init__(self, session: Session, flush_before: Callable[[ClauseElement], None]) -> None:
        self._session = session
        self._flush_before = flush_before

    def load(self, entities: Sequence[object], steps: Steps) -> None:
        """Fill what is not loaded yet; 1 SELECT for each relationship, 1 for all columns of a class."""
        columns: dict[type[Any], list[Step]] = {}
        for step in steps.values():
            owners = [entity for entity in entities if isinstance(entity, step.model)]
            way = step.relationship
            if way is None:
                columns.setdefault(step.model, []).append(step)
                continue
            self._relate(owners, way)
            if step.below:
                self.load(self._behind(owners, way), step.below)
        for model, named in columns.items():
            self._complete([entity for entity in entities if isinstance(entity, model)], model, named)

    def _relate(self, owners: Sequence[object], way: RelationshipProperty[Any]) -> None:
        if not _lacking(owners, [way.key]):
            return
        # what the relationship leads to stands under its own name, so that criteria of the session hold for it
        parent, target = aliased(way.parent, flat=True), way.entity.entity
        key, rows = key_of(parent), Way(parent, way.key, target)
        order_by = rows.order_by(way.order_by or ()) if way.uselist or way.order_by else ()
        statement = select(*key, target).where(*rows.where(None)).order_by(*order_by)
        lacking = self._stored(statement, owners, [way.key])
        if not lacking:
            return
        found: dict[tuple[Any, ...], list[Any]] = {_identity(owner): [] for owner in lacking}
        chosen = statement.where(_has_key(key, list(found)))
        for *values, each in self._session.execute(chosen).unique():
            _of(found, tuple(values), way.parent).append(each)
        for owner in lacking:
            targets = found[_identity(owner)]
            if way.uselist:
                set_committed_value(owner, way.key, targets)
            else:
                if len(targets) > 1:
                    warnings.warn(f"Multiple rows for {way}, which is uselist=False", SAWarning, stacklevel=2)
                set_committed_value(owner, way.key, targets[0] if targets else None)

    def _complete(self, owners: Sequence[object], model: type[Any], columns: Sequence[Step]) -> None:
        keys = [step.key for step in columns]
        if not _lacking(owners, keys):
            return
        # an entity that is already here gets only what it lacks; changed values stay
        only = load_only(*(step.attribute for step in columns))
        statement = select(model).options(only, lazyload("*"))
        lacking = self._stored(statement, owners, keys)
        if not lacking:
            return
        identities = [_identity(owner) for owner in lacking]
        self._session.execute(statement.where(_has_key(key_of(model), identities))).unique().all()
        if _lacking(lacking, keys):
            raise CannotLoad(
                f"{model.__name__}.{keys[0]}",
                f"a row of {model.__name__} is not in the database any more, or a criterion of the session hides it",
                f"[await] uow.get({model.__name__}, key) returns None for a row that is gone",
            )

    def _stored(self, statement: ClauseElement, owners: Iterable[object], keys: Sequence[str]) -> list[object]:
        """Return which owners lack one of `keys`, after the pending changes to the statement's tables were sent."""
        self._flush_before(statement)
        return [owner for owner in _lacking(owners, keys) if object_state(owner).persistent]

    def _behind(self, owners: Iterable[object], way: RelationshipProperty[Any]) -> list[object]:
        """Return the entities of this unit that the relationship leads to, each once."""
        found: dict[int, object] = {}
        for owner in owners:
            value = object_state(owner).dict.get(way.key)
            if value is not None:
                targets = list(collection_adapter(value)) if way.uselist else [value]
                found.update((id(target), target) for target in targets)
        return [target for target in found.values() if target in self._session]


def _identity(stored: object) -> tuple[Any, ...]:
    found = object_state(stored).identity
    assert found is not None  # only the entities that are stored come here
    return found


def _lacking(owners: Iterable[object], keys: Sequence[str]) -> list[object]:
    return [owner for owner in owners if any(key not in object_state(owner).dict for key in keys)]


def _has_key(key: Sequence[Any], values: Sequence[tuple[Any, ...]]) -> ColumnElement[bool]:
    # a list of any length: the session sends a long one as one value
    return tuple_(*key).in_(values) if len(key) > 1 else key[0].in_([value for (value,) in values])


def _of(found: dict[tuple[Any, ...], list[Any]], key: tuple[Any, ...], mapper: Mapper[Any]) -> list[Any]:
    if key not in found:
        raise CannotLoad(
            f"an entity of {mapper.class_.__name__}",
            "its key has another type here than in the database",
            "give it a key of its column's type when it is made",
        )
    return found[key]
