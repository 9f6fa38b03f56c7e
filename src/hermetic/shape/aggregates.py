"""The values over the children of a parent: what is computed in SQL, and how it travels.

NULL of an outer join, for a parent without children, is filled here too. An average travels as sum and count and is
divided in Python: databases differ in the digits of a division, and agree on those of a sum.
"""

from __future__ import annotations

import decimal
import types
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, func, literal, literal_column, type_coerce
from sqlalchemy.orm import aliased
from sqlalchemy.types import Boolean, Numeric

from hermetic.model import ExactDecimal
from hermetic.shape.annotation import parse
from hermetic.shape.codec import Blocks, Carrier
from hermetic.shape.node import Aggregate
from hermetic.shape.ways import Way, selecting
from hermetic.shape.wire import Load, Wire, is_float, loaded, unwrap, wire_of

_ZERO: ColumnElement[Any] = literal_column("0")
_CONTEXT = decimal.Context(prec=28)  # never the context of the caller, which may round


def argument(part: Aggregate, moved: Callable[[Any], Any]) -> ColumnElement[Any]:
    """Return what the function takes of each child, moved to where the children are; 0 for one that takes nothing."""
    return _ZERO if part.measure is None else type_coerce(moved(part.measure), part.type)


def computed(part: Aggregate, each: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Return the aggregates over `each`, the argument: one, or for an average two."""
    match part.function:
        case "count" | "exists":
            return [func.count()]
        case "sum":
            return [func.sum(each)]
        case "min":
            return [func.min(each)]
        case "max":
            return [func.max(each)]
        case "avg":
            return [func.sum(each), func.count(each)]


def native(part: Aggregate, values: list[ColumnElement[Any]], blocks: Blocks) -> Carrier:
    """Return how the value travels as a column of a row."""
    match part.function:
        case "count":
            return Carrier(_number(values[0]))
        case "exists":
            return Carrier(_number(values[0]) > _ZERO, bool)
        case "avg":
            return Carrier(blocks.text(_parts_of_average(part, values, blocks)), loaded(wire(part)))
        case "sum" if isinstance(unwrap(part.type), Integer):
            return Carrier(_filled(part, values[0]), int)  # a wider type of the database, a Decimal for most drivers
        case _:
            return blocks.native(_filled(part, values[0]), part.type, part.annotation)


def encoded(part: Aggregate, values: list[ColumnElement[Any]], blocks: Blocks) -> ColumnElement[Any]:
    """Return the value in its JSON form."""
    match part.function:
        case "count":
            return _number(values[0])
        case "exists":
            return blocks.encode(_number(values[0]) > _ZERO, Boolean(), part.label)
        case "avg":
            return _parts_of_average(part, values, blocks)
        case _:
            return blocks.encode(_filled(part, values[0]), part.type, part.label)


def wire(part: Aggregate) -> Wire:
    """Return how the value arrives in JSON."""
    match part.function:
        case "count":
            return Wire(int)
        case "exists":
            return Wire(bool)
        case "avg":
            kind = unwrap(part.type)
            of: Any = int if isinstance(kind, Integer) else float if is_float(kind) else Decimal
            total = wire_of(kind, of | None)
            return Wire(types.GenericAlias(tuple, (total.type, int)), _average(total.load, parse(part.annotation).type))
        case _:
            return wire_of(part.type, part.annotation)


def over_children(part: Aggregate, entity: Any) -> tuple[Select[Any], ColumnElement[Any]]:
    """Return the statement over the children of each `entity`, which selects nothing yet, and the argument."""
    child = aliased(part.target)
    way = Way(entity, part.relationship, child)
    return selecting([]).select_from(child).where(*way.where(part.where)).correlate(entity), argument(part, way.moved)


def alone(part: Aggregate, entity: Any, blocks: Blocks) -> Carrier:
    """Return the value as a subquery that runs for each `entity`."""
    statement, each = over_children(part, entity)
    if part.function == "exists":
        return Carrier(statement.add_columns(_ZERO).exists(), bool)
    carrier = native(part, computed(part, each), blocks)
    return carrier.over(statement.add_columns(carrier.expression).scalar_subquery())


def alone_in_json(part: Aggregate, entity: Any, blocks: Blocks) -> ColumnElement[Any]:
    """Return the JSON form of the value as a subquery that runs for each `entity`."""
    statement, each = over_children(part, entity)
    if part.function == "exists":
        return blocks.encode(statement.add_columns(_ZERO).exists(), Boolean(), part.label)
    return statement.add_columns(encoded(part, computed(part, each), blocks)).scalar_subquery()


def _number(count: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.coalesce(count, _ZERO)


def _filled(part: Aggregate, value: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the value, 0 for a sum of nothing where the field has no None."""
    return value if part.function != "sum" or part.is_optional else func.coalesce(value, _zero(part.type))


def _zero(kind: Any) -> ColumnElement[Any]:
    """Return 0 with the digits that a sum of this type has after the point."""
    plain = unwrap(kind)
    if isinstance(plain, ExactDecimal):
        return literal(Decimal(0).scaleb(-plain.scale), plain)
    if is_float(plain):
        return literal_column("0e0")
    scale = plain.scale if isinstance(plain, Numeric) else None
    return literal_column(f"{0:.{scale or 0}f}")


def _parts_of_average(part: Aggregate, values: list[ColumnElement[Any]], blocks: Blocks) -> ColumnElement[Any]:
    return blocks.array([blocks.encode(values[0], part.type, part.label), _number(values[1])])


def _average(load: Load | None, kind: Any) -> Load:
    def divided(parts: tuple[Any, int]) -> Any:
        total, number = parts
        if not number:
            return None
        total = total if load is None else load(total)
        return total / number if kind is float else _CONTEXT.divide(Decimal(total), number)

    return divided
