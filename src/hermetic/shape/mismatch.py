"""Why a row makes no shape: looked for once a read has failed, and told without any value."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from sqlalchemy.types import JSON

from hermetic.errors import TooLarge, TruncatedAggregate, ValueMismatch
from hermetic.model import Json
from hermetic.shape.annotation import parse
from hermetic.shape.bounds import too_many_children
from hermetic.shape.decode import (
    Bundle,
    Choice,
    Collection,
    Listed,
    Nested,
    Origin,
    Record,
    Rows,
    Slot,
    origin_of,
    origin_over,
    wire_for,
)
from hermetic.shape.node import Aggregate, Children, Leaf, Node, One, Part, Together, layout
from hermetic.shape.wire import HasCodec, unwrap

Loads = Sequence[Callable[[Any], Any] | None]
_KINDS = re.compile(r"Expected `[^`]*`, got `[^`]*`")
_MONTHS = "; where it has months or years, which have no length, CalendarInterval reads it as a Span"
_STEPS = re.compile(r"\[(\d+|\.\.\.)\]")


def refusal(
    shape: str,
    record: Record | Choice,
    loads: Loads,
    stored: Sequence[frozenset[type] | None],
    rows: Rows,
    *,
    may_cut: bool = False,
) -> TooLarge | TruncatedAggregate | ValueMismatch:
    """Return the error of the first value among `rows` that cannot be loaded, or is a list of too many rows.

    `may_cut` says that the server is one that cuts JSON short: MariaDB 10.11 drops the last bracket of an array that is
    one byte longer than it may be, in a derived table, and does not warn.
    """
    for number, row in enumerate(rows, 1):
        for part in _fields(record, row):
            index = part.presence if isinstance(part, Nested) else part.index
            value, load = row[index], loads[index]
            if value is None:
                if not part.is_optional and part.origin is not None:
                    return _named(shape, part.origin, number, "is NULL, and the field has no None")
                continue
            kinds = stored[index]
            if kinds is not None and type(value) not in kinds and isinstance(part, Slot) and part.origin is not None:
                expected = " or ".join(sorted(kind.__name__ for kind in kinds - {type(None)}))
                return _named(shape, part.origin, number, f"expected {expected}, got {type(value).__name__}")
            if load is None or isinstance(part, Nested):
                continue
            try:
                load(value)
            except (msgspec.DecodeError, ValueError) as error:
                column = getattr(load, "__self__", None)
                if isinstance(column, (Bundle, Collection)):
                    return _refused_column(shape, column, value, error, number, may_cut=may_cut)
                return _told(shape, part.origin, error, number)
    return ValueMismatch(shape, "its class refuses the values of a row")


def _fields(record: Record | Choice, row: Sequence[Any]) -> Iterator[Slot | Nested]:
    chosen = record.records[row[record.number]] if isinstance(record, Choice) else record
    for _, part in chosen.fields:
        if isinstance(part, Listed):
            continue
        yield part
        if isinstance(part, Nested) and row[part.presence] is not None:
            yield from _fields(part.record, row)


def _named(shape: str, origin: Origin, row: int, said: str) -> ValueMismatch:
    kind = repr(origin.type) if origin.type is not None else "a relationship"
    reason = f"{origin.field} reads {origin.column}, which is {kind}, and in row {row} {said}"
    return ValueMismatch(shape, reason, origin.field, origin.column, kind, row)


def _refused_column(
    shape: str, column: Bundle | Collection, text: str, error: Exception, row: int, *, may_cut: bool
) -> TooLarge | TruncatedAggregate | ValueMismatch:
    """Return the error of a column of JSON that cannot be loaded."""
    part = column.part
    may_cut = may_cut and not _holds_documents(part)  # one of its values may be broken where it is stored
    try:
        document = msgspec.json.decode(text)
    except msgspec.DecodeError:
        return TruncatedAggregate() if may_cut else _told(shape, None, error, row)
    for each, value in _lists(part, document):
        if not isinstance(value, list):
            if may_cut:
                return TruncatedAggregate()
            continue
        most = each.most(column.bound)
        if most is not None and len(value) > most:
            return too_many_children(shape, each.where_path, most)
    return _told(shape, _in_document(part, document, error), error, row)


def _told(shape: str, origin: Origin | None, error: Exception, row: int) -> ValueMismatch:
    if origin is None:
        return ValueMismatch(shape, f"in row {row} a collection holds what is no JSON of its shape")
    hint = _MONTHS if parse(origin.annotation).type is datetime.timedelta else ""
    kinds = _KINDS.search(str(error))  # the rest of the text may quote the value
    said = kinds.group(0).lower().replace("`", "") if kinds else f"the value is no {parse(origin.annotation).text}"
    return _named(shape, origin, row, f"{said}{hint}")


def _holds_documents(part: Part | Together) -> bool:
    match part:
        case Leaf() | Aggregate():
            return isinstance(unwrap(part.type), (JSON, Json, HasCodec))
        case Together():
            return any(map(_holds_documents, part.parts))
        case One() | Children():
            return any(_holds_documents(each) for node in part.node.nodes for each in node.parts)
        case _:
            return False


def _lists(part: Part | Together, value: Any) -> Iterator[tuple[Children, Any]]:
    """Yield what stands in the place of each list in the value of a part."""
    match part:
        case Together() if isinstance(value, list):
            for each, inner in zip(part.parts, value, strict=False):
                yield from _lists(each, inner)
        case Children():
            yield part, value
            for values in value if isinstance(value, list) else ():
                yield from _lists_in(part.node, values)
        case One():
            yield from _lists_in(part.node, value)
        case _:
            return


def _lists_in(node: Node, values: Any) -> Iterator[tuple[Children, Any]]:
    if isinstance(values, list) and values:
        chosen, first = _variant(node, values)
        for unit, value in zip(layout(chosen), values[first:], strict=False):
            yield from _lists(unit, value)


def _in_document(part: Children | Together, document: Any, error: Exception) -> Origin | None:
    if isinstance(error, msgspec.ValidationError):
        steps = [int(step) for step in _STEPS.findall(str(error)) if step != "..."]
        return _at_unit(part, document, steps) if isinstance(part, Together) else _at(part.node, document, steps)
    refused = _refused_in_unit(part, document) if isinstance(part, Together) else _refused(part.node, document)
    return next(refused, None)


def _at(node: Node, items: Any, steps: list[int]) -> Origin | None:
    """Return the column that a path such as `$[3][4]` of msgspec leads to."""
    if len(steps) < 2:
        return None
    item, field, *rest = steps
    return _at_field(node, items[item], field, rest)


def _at_field(node: Node, values: list[Any], field: int, rest: list[int]) -> Origin | None:
    node, first = _variant(node, values)
    part, value = layout(node)[field - first], values[field]
    match part:
        case Together():
            return _at_unit(part, value, rest)
        case Leaf():
            return origin_of(node, part)
        case Aggregate():
            return origin_over(part)
        case One() if rest:
            return _at_field(part.node, value, rest[0], rest[1:])
        case Children():
            return _at(part.node, value, rest)
        case _:
            return None


def _at_unit(unit: Together, values: list[Any], steps: list[int]) -> Origin | None:
    if not steps:
        return None
    place, *rest = steps
    part = unit.parts[place]
    return origin_over(part) if isinstance(part, Aggregate) else _at(part.node, values[place], rest)


def _refused_in_unit(unit: Together, values: list[Any]) -> Iterator[Origin]:
    for part, value in zip(unit.parts, values, strict=False):
        if isinstance(part, Children):
            yield from _refused(part.node, value)
        elif value is not None and _is_refused(part, value):
            yield origin_over(part)


def _is_refused(part: Leaf | Aggregate, value: Any) -> bool:
    wire = wire_for(part)
    try:
        if wire.load is not None:
            wire.load(msgspec.convert(value, wire.type))
    except ValueError:
        return True
    return False


def _refused(node: Node, items: list[Any]) -> Iterator[Origin]:
    """Yield the columns whose values decode, and then cannot be loaded."""
    for values in items:
        chosen, first = _variant(node, values)
        for part, value in zip(layout(chosen), values[first:], strict=False):
            if value is not None:
                yield from _refused_in(chosen, part, value)


def _refused_in(node: Node, part: Part | Together, value: Any) -> Iterator[Origin]:
    match part:
        case Together():
            yield from _refused_in_unit(part, value)
        case Leaf() if _is_refused(part, value):
            yield origin_of(node, part)
        case Aggregate() if _is_refused(part, value):
            yield origin_over(part)
        case One():
            yield from _refused(part.node, [value])
        case Children():
            yield from _refused(part.node, value)
        case _:
            return


def _variant(node: Node, values: list[Any]) -> tuple[Node, int]:
    """Return the node that has the parts, and where they begin: a union is numbered before them."""
    return (node.variants[values[0]].node, 1) if node.variants else (node, 0)
