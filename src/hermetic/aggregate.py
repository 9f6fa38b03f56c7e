"""One value over the rows behind a to-many relationship, as a field of a shape.

    from hermetic import aggregate

    class CustomerCard(Shape[Customer]):
        spent: Annotated[Decimal, aggregate.sum(Customer.orders, Order.total)]
        largest: Annotated[Decimal | None, aggregate.max(Customer.orders, Order.total)]

The names are SQL's; used behind the name of this module they hide no built-in of Python. Aggregates over one
relationship, and a list over the same one, read its rows in one scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import QueryableAttribute

from hermetic.shape import Latest, Over, count

Measure = ColumnElement[Any] | QueryableAttribute[Any]
Criterion = ColumnElement[bool]
Ordering = ColumnElement[Any] | QueryableAttribute[Any]


def sum(relationship: QueryableAttribute[Any], measure: Measure, /, *, where: Criterion | None = None) -> Over:
    """Return the marker of a field that adds up a number of the children.

    The field has the type of the number: `int`, `Decimal` (its scale is kept) or `float`. NULL is left out. Where
    there is nothing to add up, the sum is 0, or None if the field is `... | None`.

    Args:
        relationship: the mapped attribute, e.g. `Customer.orders`.
        measure: a column of the child class, or an expression of its columns, e.g. `Item.price * Item.quantity`.
        where: adds up only the children that match; written with the columns of the child class.
    Databases: more than 64 bits are an error of the database on SQLite, and exact elsewhere.
    """
    return Over("sum", relationship, measure, where)


def min(relationship: QueryableAttribute[Any], measure: Measure, /, *, where: Criterion | None = None) -> Over:
    """Return the marker of a field that holds the smallest value of the children; None where there is none.

    Numbers, text, dates, times and durations have an order that all databases share.

    Args:
        relationship: the mapped attribute, e.g. `Customer.orders`.
        measure: a column of the child class, or an expression of its columns.
        where: looks only at the children that match; written with the columns of the child class.
    """
    return Over("min", relationship, measure, where)


def max(relationship: QueryableAttribute[Any], measure: Measure, /, *, where: Criterion | None = None) -> Over:
    """Return the marker of a field that holds the largest value of the children; None where there is none.

    Numbers, text, dates, times and durations have an order that all databases share.

    Args:
        relationship: the mapped attribute, e.g. `Customer.orders`.
        measure: a column of the child class, or an expression of its columns.
        where: looks only at the children that match; written with the columns of the child class.
    """
    return Over("max", relationship, measure, where)


def avg(relationship: QueryableAttribute[Any], measure: Measure, /, *, where: Criterion | None = None) -> Over:
    """Return the marker of a field that holds the average of a number of the children; None where there is none.

    The database adds up and counts, Python divides: the digits are the same on every database, 28 for a `Decimal`.
    An average of `int` is `float | None` or `Decimal | None`, as the field says; of `Decimal` it is `Decimal | None`.

    Args:
        relationship: the mapped attribute, e.g. `Customer.orders`.
        measure: a column of the child class, or an expression of its columns. NULL is left out.
        where: looks only at the children that match; written with the columns of the child class.
    """
    return Over("avg", relationship, measure, where)


def exists(relationship: QueryableAttribute[Any], /, *, where: Criterion | None = None) -> Over:
    """Return the marker of a `bool` field: whether a to-many relationship has a row.

    Args:
        relationship: the mapped attribute, e.g. `Customer.orders`.
        where: looks only at the children that match; written with the columns of the child class.
    """
    return Over("exists", relationship, where=where)


def latest(
    relationship: QueryableAttribute[Any],
    /,
    *steps: QueryableAttribute[Any],
    order_by: Ordering | Sequence[Ordering],
    where: Criterion | None = None,
) -> Latest:
    """Return the marker of a field that holds the first row of the children in an order; None where there is none.

    `latest(Customer.orders, Order.total, order_by=Order.placed.desc())` is a value of that row. Without `steps` the
    field is a nested shape: `Annotated[OrderLine | None, latest(Customer.orders, order_by=Order.placed.desc())]`.

    Args:
        relationship: the mapped attribute, e.g. `Customer.orders`.
        steps: 0 to n mapped attributes, a way from the child over to-one relationships, as for `path()`.
        order_by: which row is the first; the primary key is always added, so that ties have one.
        where: looks only at the children that match; written with the columns of the child class.
    """
    orderings = tuple(order_by) if isinstance(order_by, Sequence) else (order_by,)
    return Latest(relationship, steps, where, orderings)


__all__ = ["avg", "count", "exists", "latest", "max", "min", "sum"]
