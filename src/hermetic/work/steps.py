"""What `load` was asked for: entities, and the paths from them as one tree, so that a common beginning stands once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import inspect
from sqlalchemy.orm import ColumnProperty, Mapper, QueryableAttribute, RelationshipProperty
from sqlalchemy.orm.exc import UnmappedInstanceError
from sqlalchemy.orm.util import object_state

from hermetic.errors import CannotLoad
from hermetic.shape import Path

_EXAMPLE = (
    "[await] uow.load(users, User.addresses), or over several: [await] uow.load(users, path(User.orders, Order.items))"
)
_STATEMENTS = {  # how a relationship that holds no collection is read
    "write_only": "[await] uow.all(entity.{}.select())",
    "dynamic": "[await] uow.session.scalars(entity.{}.statement)",
}


@dataclass(slots=True)
class Step:
    """One attribute, and what is to be loaded of the entities behind it."""

    attribute: QueryableAttribute[Any]
    below: Steps = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The attribute's name."""
        return self.attribute.key

    @property
    def model(self) -> type[Any]:
        """The class whose attribute was named."""
        return cast("type[Any]", self.attribute.class_)  # no alias: `steps_of` refuses those

    @property
    def relationship(self) -> RelationshipProperty[Any] | None:
        """The relationship behind the attribute; None for a column."""
        declared = self.attribute.property
        return declared if isinstance(declared, RelationshipProperty) else None


Steps = dict[tuple[type[Any], str], Step]


def listed(entities: object | Iterable[object]) -> list[object]:
    """Return the entities, each once; one entity alone stands for itself.

    Raises:
        CannotLoad: something is no entity.
    """
    if _is_entity(entities):
        return [entities]
    if not isinstance(entities, Iterable):
        raise _no_entity(entities)
    found = list({id(each): each for each in entities}.values())
    for each in found:
        if not _is_entity(each):
            raise _no_entity(each)
    return found


def steps_of(paths: Iterable[QueryableAttribute[Any] | Path]) -> Steps:
    """Return the tree of the paths.

    Raises:
        CannotLoad: a path does not lead over relationships to a relationship or a column.
    """
    steps: Steps = {}
    for path in paths:
        level = steps
        before: Mapper[Any] | None = None
        attributes = _attributes(path)
        for number, attribute in enumerate(attributes, 1):
            step = _step(attribute, before, is_last=number == len(attributes))
            step = level.setdefault((step.model, step.key), step)
            level = step.below
            before = step.relationship.mapper if step.relationship else None
    return steps


def label(attribute: QueryableAttribute[Any]) -> str:
    """Return `User.addresses`."""
    return f"{attribute.class_.__name__}.{attribute.key}"


def _is_own(attribute: QueryableAttribute[Any], model: Any) -> bool:
    """Return whether it is the attribute itself: not of an alias, not with of_type() or and_(), no synonym."""
    mapper = inspect(model)
    own = mapper.attrs.get(attribute.key) if isinstance(mapper, Mapper) else None
    return own is not None and getattr(model, attribute.key) is attribute and attribute.property is own


def is_related(mapper: Mapper[Any], other: Mapper[Any]) -> bool:
    """Return whether two mappers are of one hierarchy."""
    return mapper.base_mapper is other.base_mapper


def _is_entity(found: object) -> bool:
    try:
        object_state(found)
    except UnmappedInstanceError:
        return False
    return True


def _no_entity(found: object) -> CannotLoad:
    kind = type(found).__name__
    return CannotLoad(f"a {kind}", f"{kind} is not a mapped class", _EXAMPLE)


def _attributes(path: QueryableAttribute[Any] | Path) -> list[QueryableAttribute[Any]]:
    if not isinstance(path, Path):
        return [path]
    if not path.steps:
        raise CannotLoad("an empty path()", "it names no attribute", _EXAMPLE)
    if path.depth is not None and path.depth < 1:
        raise CannotLoad("a path()", f"depth={path.depth} loads nothing", "depth=1 or more")
    return [*path.steps[:-1], *path.steps[-1:] * (path.depth or 1)]


def _step(attribute: object, before: Mapper[Any] | None, *, is_last: bool) -> Step:
    model = getattr(attribute, "class_", None)
    if not isinstance(attribute, QueryableAttribute) or model is None:
        kind = type(attribute).__name__
        raise CannotLoad(f"a path of {kind}", f"{kind} is not a mapped attribute", _EXAMPLE)
    name = label(attribute)
    if not _is_own(attribute, model):
        raise CannotLoad(
            name,
            "it is not the attribute of the class itself, and an entity holds all that belongs to it",
            "name the attribute as the class has it; for a part of the rows read a shape: many(..., where=...)",
        )
    if before is not None and not is_related(inspect(model), before):
        raise CannotLoad(
            name, f"the step before leads to {before.class_.__name__}", f"name an attribute of {before.class_.__name__}"
        )
    declared = attribute.property
    if isinstance(declared, RelationshipProperty) and declared.lazy in _STATEMENTS:
        statement = _STATEMENTS[declared.lazy].format(attribute.key)
        reason = f"its relationship is lazy={declared.lazy!r}, which holds no collection"
        raise CannotLoad(name, reason, f"read its statement: {statement}")
    if not isinstance(declared, (RelationshipProperty, ColumnProperty)):
        raise CannotLoad(name, f"it is a {type(declared).__name__}", "name the columns that it is made of")
    if isinstance(declared, ColumnProperty) and not is_last:
        raise CannotLoad(
            name, "it is a column, and only the last step of a path may be one", f"end the path with {name}"
        )
    return Step(attribute)
