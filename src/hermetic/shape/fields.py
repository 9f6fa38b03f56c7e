"""The words a shape field is written with: `path`, `many`, `count`, `recursive`, and those of `hermetic.aggregate`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement
from sqlalchemy.orm import QueryableAttribute

Criterion = ColumnElement[bool]
Ordering = ColumnElement[Any] | QueryableAttribute[Any]
Measure = ColumnElement[Any] | QueryableAttribute[Any]
Pick = Literal["all", "first", "value"]
Function = Literal["count", "exists", "sum", "min", "max", "avg"]


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """A way over relationships, to a column or to what they lead to."""

    steps: tuple[QueryableAttribute[Any], ...]
    depth: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Many:
    """A to-many relationship with its own filter, order, limit per parent, and depth."""

    relationship: QueryableAttribute[Any]
    where: Criterion | None = None
    order_by: tuple[Ordering, ...] = ()
    limit: int | None = None
    depth: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Over:
    """One value over the rows behind a to-many relationship; `measure` is what is added up or compared."""

    function: Function
    relationship: QueryableAttribute[Any]
    measure: Measure | None = None
    where: Criterion | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Latest:
    """The first row behind a to-many relationship, in an order: a shape of it, or what `steps` lead to from it."""

    relationship: QueryableAttribute[Any]
    steps: tuple[QueryableAttribute[Any], ...] = ()
    where: Criterion | None = None
    order_by: tuple[Ordering, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Recursive:
    """A relationship of a class to itself, followed to its end."""

    relationship: QueryableAttribute[Any]
    where: Criterion | None = None
    order_by: tuple[Ordering, ...] = ()
    max_depth: int = 100


Marker = Path | Many | Over | Latest | Recursive


def path(*steps: QueryableAttribute[Any], depth: int | None = None) -> Path:
    """Return a way over relationships.

    As the marker of a field it goes over to-one relationships, or gives the field another name:
    `path(Address.user, User.name)` is the name of the owner; `path(User.fullname)` renames a column;
    `path(Book.author)` renames the relationship of a nested shape.
    For `load` it goes over any: `uow.load(users, path(User.orders, Order.items))`.

    Args:
        steps: 1 to n mapped attributes, each of the class the one before leads to.
        depth: levels, 1 to n, that a shape which contains itself is read; deeper levels are left at the field's
            default. For `load`, how often the last step is followed.
    """
    return Path(steps, depth)


def many(
    relationship: QueryableAttribute[Any],
    *,
    where: Criterion | None = None,
    order_by: Ordering | Sequence[Ordering] = (),
    limit: int | None = None,
    depth: int | None = None,
) -> Many:
    """Return the marker of a list field over a one-to-many or many-to-many relationship.

    Args:
        relationship: the mapped attribute, e.g. `User.addresses`.
        where: keeps only the children that match; written with the columns of the child class.
        order_by: order of the children; the primary key is always added, so that ties have one order.
        limit: rows per parent, 1 to n, picked in that order.
        depth: levels, 1 to n, that a shape which contains itself is read; deeper levels are left at the field's
            default.
    """
    orderings = tuple(order_by) if isinstance(order_by, Sequence) else (order_by,)
    return Many(relationship, where, orderings, limit, depth)


def count(relationship: QueryableAttribute[Any], *, where: Criterion | None = None) -> Over:
    """Return the marker of an `int` field: how many rows a to-many relationship has for each parent, 0 to n.

    Args:
        relationship: the mapped attribute, e.g. `User.addresses`.
        where: counts only the children that match; written with the columns of the child class.
    """
    return Over("count", relationship, where=where)


def recursive(
    relationship: QueryableAttribute[Any],
    *,
    where: Criterion | None = None,
    order_by: Ordering | Sequence[Ordering] = (),
    max_depth: int = 100,
) -> Recursive:
    """Return the marker of a list field over a relationship of a class to itself, read to its end by one statement.

    Over a one-to-many relationship the field is a list of the shape it stands in, and holds the whole tree below:
    `children: Annotated[list["Branch"], recursive(Category.children)]`. Over a to-one relationship it is a list of
    another shape, the rows above, the nearest first: `above: Annotated[list[NameLine], recursive(Category.parent)]`.

    A cycle in the rows is a `CycleFound` and a tree of more levels a `TreeTooDeep` when it is read; nothing is cut.

    Args:
        relationship: the mapped attribute, e.g. `Category.children`.
        where: keeps only the rows that match, with what hangs on them; written with the columns of the class.
        order_by: order of the rows that hang on one row; the primary key is always added.
        max_depth: levels, 1 to 400, that there may be; Python cannot compare or print many more.
    """
    orderings = tuple(order_by) if isinstance(order_by, Sequence) else (order_by,)
    return Recursive(relationship, where, orderings, max_depth)
