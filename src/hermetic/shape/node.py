"""The checked tree behind a shape: one node for each model that is read, one part for each field."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapper
from sqlalchemy.types import TypeEngine

from hermetic.shape.fields import Function, Measure, Ordering, Pick
from hermetic.shape.statement import are_equal


@dataclass(frozen=True, slots=True)
class Hop:
    """One to-one relationship on a way: its key on the class before, and the class it leads to."""

    key: str
    target: Mapper[Any]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A column, of this node or behind to-one hops; `where` is its path, such as `OrderCard.lines[].price`."""

    name: str
    hops: tuple[Hop, ...]
    attribute: str
    type: TypeEngine[Any]
    annotation: Any
    is_optional: bool
    where: str


@dataclass(frozen=True, slots=True)
class One:
    """A nested shape over one or more to-one hops."""

    name: str
    hops: tuple[Hop, ...]
    node: Node
    is_optional: bool
    where_path: str


@dataclass(frozen=True, slots=True)
class Children:
    """A list of nested shapes over one to-many relationship; `pick` says whether the field holds all of them, the first
    one, or the `value` in the first one.
    """

    name: str
    relationship: str
    node: Node
    where: ColumnElement[bool] | None
    order_by: tuple[Ordering, ...]
    limit: int | None
    where_path: str
    pick: Pick = "all"

    def most(self, bound: int | None) -> int | None:
        """Return how many rows one parent may have here, where the bound is what says so, and not its own limit."""
        return None if bound is None or (self.limit is not None and self.limit <= bound) else bound


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One value over the rows behind one to-many relationship; `type` is that of the measure, `label` its path."""

    name: str
    relationship: str
    target: Mapper[Any]
    where: ColumnElement[bool] | None
    function: Function
    measure: Measure | None
    type: TypeEngine[Any]
    annotation: Any
    is_optional: bool
    label: str


@dataclass(frozen=True, slots=True)
class Tree:
    """All rows below a row of the shape, each in the list of the one above it; or, with a `node` of their own, all rows
    above it, in one list.
    """

    name: str
    relationship: str
    target: Mapper[Any]
    node: Node | None
    where: ColumnElement[bool] | None
    order_by: tuple[Ordering, ...]
    max_depth: int
    where_path: str


class Single(msgspec.Struct, frozen=True, gc=False):
    """The shape of a row of which one value is read, whose part is named `value`."""

    value: Any


Part = Leaf | One | Children | Aggregate | Tree


@dataclass(frozen=True, slots=True)
class Together:
    """Parts over the same rows that one subquery reads: at most one list, which comes first, and values."""

    parts: tuple[Children | Aggregate, ...]

    @property
    def name(self) -> str:
        """Return the name of what holds all of them: that of the first, which stands nowhere else."""
        return self.parts[0].name


@dataclass(frozen=True, slots=True)
class Variant:
    """One member of a union of shapes, and the rows of the hierarchy that it reads: those of its class, by their
    polymorphic identities, or the rest.
    """

    node: Node
    identities: tuple[Any, ...]
    takes_the_rest: bool


@dataclass(frozen=True, slots=True)
class Node:
    """One shape over one model, or one of several over a class hierarchy. A field that is left at its default (a depth
    that ended) has no part.
    """

    shape: type[Any]
    mapper: Mapper[Any]
    parts: tuple[Part, ...] = field(default=())
    variants: tuple[Variant, ...] = field(default=())

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Return the nodes that have the parts: those of the variants, or this one."""
        return tuple(variant.node for variant in self.variants) or (self,)

    @property
    def name(self) -> str:
        """Return the name of the shape, or of all shapes of the union."""
        return " | ".join(node.shape.__name__ for node in self.nodes)


def layout(node: Node) -> list[Part | Together]:
    """Return the parts of a node as they travel in JSON: those over the same rows together."""
    units: list[Part | list[Children | Aggregate]] = []
    for part in node.parts:
        if not isinstance(part, (Children, Aggregate)):
            units.append(part)
            continue
        home = next((unit for unit in units if isinstance(unit, list) and _joins(part, unit[0])), None)
        if home is None:
            units.append([part])
        else:
            home.insert(0 if isinstance(part, Children) else len(home), part)
    return [_unit(each) if isinstance(each, list) else each for each in units]


def _joins(part: Children | Aggregate, first: Children | Aggregate) -> bool:
    return not (isinstance(part, Children) and isinstance(first, Children)) and are_over_same_rows(part, first)


def _unit(parts: list[Children | Aggregate]) -> Part | Together:
    return parts[0] if len(parts) == 1 else Together(tuple(parts))


def are_over_same_rows(one: Children | Aggregate, other: Children | Aggregate) -> bool:
    """Return whether two parts of one node stand over the same rows: of one relationship, and of one filter."""
    return one.relationship == other.relationship and are_equal(one.where, other.where)
