"""What arrives in JSON for a column, and what makes the field's value of it; the same on every database."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar, Union, get_args, get_origin, runtime_checkable

import msgspec
from sqlalchemy import ARRAY, ColumnElement, Dialect
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql.ranges import MultiRange
from sqlalchemy.types import JSON, Enum, Float, Numeric, Time, TypeDecorator, TypeEngine

from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval, Json
from hermetic.shape.annotation import Annotation, list_of, parse

Load = Callable[[Any], Any]
WireT = TypeVar("WireT")
Value = TypeVar("Value")

OWN = (AwareDateTime, ExactDecimal, ExactInterval, Json)
RANGES: dict[type[TypeEngine[Any]], Any] = {
    postgresql.INT4RANGE: int,
    postgresql.INT8RANGE: int,
    postgresql.NUMRANGE: Decimal,
    postgresql.DATERANGE: datetime.date,
    postgresql.TSRANGE: datetime.datetime,
    postgresql.TSTZRANGE: datetime.datetime,
}
"""The range types, and what their bounds are in Python."""

MULTIRANGES: dict[type[TypeEngine[Any]], Any] = {
    postgresql.INT4MULTIRANGE: int,
    postgresql.INT8MULTIRANGE: int,
    postgresql.NUMMULTIRANGE: Decimal,
    postgresql.DATEMULTIRANGE: datetime.date,
    postgresql.TSMULTIRANGE: datetime.datetime,
    postgresql.TSTZMULTIRANGE: datetime.datetime,
}
NETWORK = (postgresql.INET, postgresql.CIDR)


@dataclass(frozen=True, slots=True)
class Codec(Generic[WireT, Value]):
    """How values of a column type of your own travel inside a collection.

    The type says so itself: `def shape_codec(self) -> Codec[...]`, beside `result_processor` or `process_result_value`.
    At the root of a statement the type's own result processor is used, so `load` must give what that gives.

    Args:
        to_json: returns the SQL expression whose JSON value travels; None where this database has no exact one.
        wire: the type in which msgspec decodes it, e.g. `str` or `tuple[float, float]`.
        load: makes the value of it. NULL never reaches it.
    """

    to_json: Callable[[ColumnElement[Any], Dialect], ColumnElement[Any] | None]
    wire: type[WireT]
    load: Callable[[WireT], Value]


@runtime_checkable
class HasCodec(Protocol):
    """A column type that says how its values travel."""

    def shape_codec(self) -> Codec[Any, Any]:
        """Return the codec."""
        ...


@dataclass(frozen=True, slots=True)
class Wire:
    """The type that msgspec decodes, and what makes the value of it; without `load` it is the value."""

    type: Any
    load: Load | None = None


def unwrap(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type whose values really travel: a decorator that leaves results alone is seen through."""
    while isinstance(kind, TypeDecorator) and not isinstance(kind, (*OWN, HasCodec)):
        own = type(kind)
        if own.process_result_value is not TypeDecorator.process_result_value:
            break
        if own.result_processor is not TypeDecorator.result_processor:
            break
        kind = kind.impl_instance
    return kind


def wire_of(kind: TypeEngine[Any], annotation: Any) -> Wire:
    """Return how a column of this type, annotated so, arrives."""
    said = parse(annotation)
    found = _wire(unwrap(kind), said)
    if not said.is_optional or found.type is msgspec.Raw:
        return found
    return Wire(Union[found.type, None], found.load)  # noqa: UP007  # of any form


def loaded(wire: Wire) -> Load:
    """Return what reads the JSON text of one value; SQLite stores a document that is a bare number as a number."""
    decode, load = msgspec.json.Decoder(wire.type).decode, wire.load

    def read(stored: Any) -> Any:
        found = decode(stored) if isinstance(stored, str) else msgspec.convert(stored, wire.type)
        return found if load is None else load(found)

    return read


def _wire(kind: TypeEngine[Any], said: Annotation) -> Wire:
    if isinstance(kind, HasCodec):
        codec = kind.shape_codec()
        return Wire(codec.wire, codec.load)
    if isinstance(kind, (JSON, Json)):
        # a document that is null is None where None is allowed, whether the null is SQL's or JSON's
        return (
            Wire(msgspec.Raw, _raw_or_none if said.is_optional else None)
            if said.type is msgspec.Raw
            else Wire(said.full)
        )
    if isinstance(kind, ARRAY):
        return _listed(kind, said)
    if isinstance(kind, Enum) and not has_plain_values(kind):
        return Wire(str, Labels(enum_members(kind)).__getitem__)
    if is_float(kind) and said.type in (float, Any, object):
        return Wire(float | str, float)  # NaN, infinities and -0.0 travel as text: JSON has no such numbers
    if type(kind) in RANGES:
        return _range(RANGES[type(kind)])
    if type(kind) in MULTIRANGES:
        item = _range(MULTIRANGES[type(kind)])
        return Wire(list_of(item.type), lambda items: MultiRange(map(_range_value, items)))
    if isinstance(kind, Time) and kind.timezone:
        return Wire(str, time_of)  # msgspec takes no offset of hours alone, nor one with seconds
    if isinstance(kind, NETWORK) and said.type is not str:
        return Wire(str, _address if isinstance(kind, postgresql.INET) else ipaddress.ip_network)
    if said.type in (Any, object):
        plain: Any = kind.python_type
        return Wire(Union[plain, None])  # noqa: UP007
    return Wire(said.full)


def _listed(kind: ARRAY[Any], said: Annotation) -> Wire:
    inside = get_args(said.type)[0] if get_args(said.type) else Any
    nested = parse(inside)
    is_nested = get_origin(nested.type) in (list, tuple)
    item = _listed(kind, nested) if is_nested else wire_of(kind.item_type, inside)
    make, load = tuple if kind.as_tuple else list, item.load
    if load is None:
        return Wire(list_of(item.type), tuple if kind.as_tuple else None)

    def listed(items: list[Any], load: Load = load) -> Any:
        return make(None if each is None else load(each) for each in items)

    return Wire(list_of(item.type), listed)


def _range(bound: Any) -> Wire:
    return Wire(tuple[bound | None, bound | None, bool, bool, bool], _range_value)


def _range_value(parts: tuple[Any, Any, bool, bool, bool]) -> postgresql.Range[Any]:
    lower, upper, has_lower, has_upper, is_empty = parts
    if is_empty:
        return postgresql.Range(None, None, empty=True)
    bounds: Any = ("[" if has_lower else "(") + ("]" if has_upper else ")")
    return postgresql.Range(lower, upper, bounds=bounds)


def time_of(text: str) -> datetime.time:
    """Return the time that a text says; 24:00, which the newest Pythons take for 00:00, is none.

    Raises:
        ValueError: it is none.
    """
    if text.startswith("24"):
        raise ValueError("24:00 is no time of Python")
    return datetime.time.fromisoformat(text)


def _address(text: str) -> Any:
    return ipaddress.ip_interface(text) if "/" in text else ipaddress.ip_address(text)


def _raw_or_none(document: msgspec.Raw) -> msgspec.Raw | None:
    return None if bytes(document) == b"null" else document


def is_float(kind: TypeEngine[Any]) -> bool:
    """Return whether values of an unwrapped type are floats."""
    return isinstance(kind, (Float, Numeric)) and not kind.asdecimal


class Labels(dict[str, Any]):
    """The member for each label of an enum column; a label that no member has is a `ValueError`."""

    def __missing__(self, label: str) -> Any:
        raise ValueError(f"{label!r} is none of the labels {', '.join(self)}")


def enum_members(kind: Enum) -> dict[str, Any]:
    """Return the member for each stored label; the label itself where the type has no enum class."""
    if kind.enum_class is None:
        return {label: label for label in kind.enums}
    members: list[Any] = list(kind.enum_class.__members__.values())
    if len(members) != len(kind.enums):  # as is usual, the column knows no aliases
        members = list(kind.enum_class)
    return dict(zip(kind.enums, members, strict=True))


def has_plain_values(kind: Enum) -> bool:
    """Return whether msgspec decodes the members by value: all text, or all whole numbers."""
    values = {type(member.value) for member in kind.enum_class} if kind.enum_class is not None else {str}
    return values <= {str} or values <= {int}


def enum_values(kind: Enum) -> dict[str, Any] | None:
    """Return the member value for each stored label, or None where the label itself travels."""
    if not has_plain_values(kind):
        return None
    values = {label: getattr(member, "value", member) for label, member in enum_members(kind).items()}
    return None if all(label == value for label, value in values.items()) else values
