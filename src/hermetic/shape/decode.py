"""Turn the rows of a composed statement into shapes: one generated constructor for the root, msgspec for every
collection.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from sqlalchemy import ARRAY
from sqlalchemy.types import Float, Numeric, TypeEngine

from hermetic.errors import ValueMismatch
from hermetic.shape.annotation import list_of
from hermetic.shape.codec import unwrap
from hermetic.shape.node import Children, Leaf, Node, One

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Slot:
    """A field that is one column of the row."""

    index: int
    is_optional: bool
    annotation: Any


@dataclass(frozen=True, slots=True)
class Nested:
    """A field that is a to-one shape over columns of the same row; absent where the presence column is NULL."""

    presence: int
    is_optional: bool
    record: Record


@dataclass(frozen=True, slots=True)
class Record:
    """A shape over the columns of one row."""

    shape: type[msgspec.Struct]
    fields: tuple[tuple[str, Slot | Nested], ...]


@functools.cache
def wire_of(node: Node, *, is_lax: bool = False) -> type[msgspec.Struct]:
    """Return the array-like struct in which the JSON of `node` travels.

    With `is_lax` a float may be a text: NaN and the infinities have no JSON number.
    """
    fields: list[tuple[str, Any]] = []
    for part in node.parts:
        match part:
            case Leaf():
                widened = is_lax and _is_float(part.type)
                fields.append((part.name, _or_text(part.annotation) if widened else part.annotation))
            case One():
                wire: Any = wire_of(part.node, is_lax=is_lax)
                fields.append((part.name, wire | None if part.is_optional else wire))
            case Children():
                fields.append((part.name, list_of(wire_of(part.node, is_lax=is_lax))))
            case _:
                fields.append((part.name, int))
    name = f"{node.shape.__name__}Wire"
    return msgspec.defstruct(name, fields, array_like=True, frozen=True, gc=False)


def _or_text(annotation: Any) -> Any:
    """Return `annotation` with every float in it a float or a text."""
    if annotation is float:
        return float | str
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not arguments:
        return annotation
    if origin is Annotated:
        return _or_text(arguments[0])
    widened = tuple(each if each is ... else _or_text(each) for each in arguments)
    if origin in (Union, types.UnionType):
        return Union[widened]  # noqa: UP007  # `|` needs classes; these may be other forms
    generic: Any = origin
    return generic[widened]


class Collection:
    """Decodes the JSON text of one collection column into a list of shapes."""

    def __init__(self, node: Node) -> None:
        self._target = list_of(node.shape)
        wire: Any = list_of(wire_of(node))
        self._decode = msgspec.json.Decoder(wire).decode
        # NaN and the infinities travel as text, which only a lax conversion reads as float. It would also read the text
        # "null" of a literal as None; every other type is what it is by then
        is_readable = _has_float(node) and not any(_names_null(leaf.annotation) for leaf in _leaves(node))
        lax: Any = list_of(wire_of(node, is_lax=True))
        self._decode_lax = msgspec.json.Decoder(lax).decode if is_readable else None

    def load(self, text: str) -> Any:
        """Return the shapes in `text`."""
        try:
            wires = self._decode(text)
        except msgspec.ValidationError:
            if self._decode_lax is None:
                raise
            return msgspec.convert(self._decode_lax(text), self._target, from_attributes=True, strict=False)
        return msgspec.convert(wires, self._target, from_attributes=True) if wires else []


def _leaves(node: Node) -> list[Leaf]:
    found: list[Leaf] = []
    for part in node.parts:
        if isinstance(part, Leaf):
            found.append(part)
        elif isinstance(part, (One, Children)):
            found += _leaves(part.node)
    return found


def _has_float(node: Node) -> bool:
    return any(_is_float(leaf.type) for leaf in _leaves(node))


def _is_float(kind: TypeEngine[Any]) -> bool:
    kind = unwrap(kind)
    if isinstance(kind, ARRAY):
        return _is_float(kind.item_type)
    return isinstance(kind, Float) or (isinstance(kind, Numeric) and not kind.asdecimal)


def _names_null(annotation: Any) -> bool:
    """Return whether the text "null" is a literal in `annotation`."""
    if get_origin(annotation) is Literal:
        return any(str(value).lower() == "null" for value in get_args(annotation))
    return any(_names_null(each) for each in get_args(annotation))


class Labels(dict[str, Any]):
    """The member for each label of an enum column; a label that no member has is a `ValueError`."""

    def __missing__(self, label: str) -> Any:
        raise ValueError(f"{label!r} is none of the labels {', '.join(self)}")


Make = Callable[[Rows], list[Any]]


def maker(record: Record, loads: Sequence[Callable[[Any], Any] | None]) -> Make:
    """Return the function that makes the shapes of all rows.

    It is generated, as dataclasses generate `__init__`: a keyword call written out is twice as fast as any loop over
    fields. Only field names, which are identifiers, and column numbers go into the text.
    """
    scope: dict[str, Any] = {"absent": _absent}

    def literal(record: Record) -> str:
        shape = f"shape{len(scope)}"
        scope[shape] = record.shape
        fields = ", ".join(f"{name}={value(record, name, part)}" for name, part in record.fields)
        return f"{shape}({fields})"

    def value(record: Record, name: str, part: Slot | Nested) -> str:
        absent = "None" if part.is_optional else f"absent({f'{record.shape.__name__}.{name}'!r})"
        if isinstance(part, Nested):
            return f"{literal(part.record)} if row[{part.presence}] is not None else {absent}"
        found = f"row[{part.index}]"
        load = loads[part.index]
        if load is not None:
            name = f"load{part.index}"
            scope[name] = load
            loaded = f"{name}({found})"
            return f"{loaded} if {found} is not None else {absent}"
        return found if part.is_optional else f"{found} if {found} is not None else {absent}"

    source = f"lambda rows: [{literal(record)} for row in rows]"
    make: Make = eval(source, scope)
    return make


def _absent(field: str) -> Any:
    shape = field.partition(".")[0]
    raise ValueMismatch(shape, f"{field} is NULL in the database, and its type has no None")
