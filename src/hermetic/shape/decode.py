"""Turn the rows of a composed statement into shapes: one generated constructor for the root, msgspec for every
collection.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union

import msgspec
from sqlalchemy import Select
from sqlalchemy.types import TypeEngine

from hermetic.errors import ValueMismatch
from hermetic.shape.aggregates import wire as wire_over
from hermetic.shape.annotation import list_of
from hermetic.shape.codec import Carrier
from hermetic.shape.fields import Pick
from hermetic.shape.node import Aggregate, Children, Leaf, Node, One, Part, Together, Tree, layout
from hermetic.shape.target import target_of
from hermetic.shape.tree import Linked
from hermetic.shape.variants import UNKNOWN
from hermetic.shape.wire import Wire, wire_of

Rows = Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the value of a field comes from, for the error that names it; a relationship has no type."""

    field: str
    column: str
    type: TypeEngine[Any] | None
    annotation: Any


def origin_over(part: Aggregate) -> Origin:
    """Return where a value over children comes from."""
    measure = part.relationship if part.measure is None else part.measure
    return Origin(part.label, f"{part.function}({measure})", part.type, part.annotation)


def origin_of(node: Node, leaf: Leaf) -> Origin:
    """Return where a column of `node` comes from."""
    owner = leaf.hops[-1].target if leaf.hops else node.mapper
    return Origin(leaf.where, f"{owner.class_.__name__}.{leaf.attribute}", leaf.type, leaf.annotation)


def origin_of_one(node: Node, one: One) -> Origin:
    """Return where a to-one shape of `node` comes from."""
    *way, last = one.hops
    owner = way[-1].target if way else node.mapper
    return Origin(one.where_path, f"{owner.class_.__name__}.{last.key}", None, one.node.shape)


@dataclass(frozen=True, slots=True)
class Slot:
    """A field that is one column of the row, or the value at a `place` of a column that holds several."""

    index: int
    is_optional: bool = False
    origin: Origin | None = None
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A field that is a list which a level below fills; `place` is its position among the levels, None where the rows
    of the same level do.
    """

    place: int | None
    pick: Pick = "all"


@dataclass(frozen=True, slots=True)
class Nested:
    """A field that is a to-one shape over columns of the same row; absent where the presence column is NULL."""

    presence: int
    is_optional: bool
    record: Record | Choice
    origin: Origin


@dataclass(frozen=True, slots=True)
class Record:
    """A shape over the columns of one row."""

    shape: Any
    fields: tuple[tuple[str, Slot | Nested | Listed], ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several shapes over the columns of one row; `number` is the column that says which."""

    number: int
    records: tuple[Record, ...]
    node: Node


@dataclass(frozen=True, slots=True)
class Level:
    """One statement of a read and the layout of its rows; `below` are read by the keys found here.

    Attributes:
        keys: columns of the level above that hold the keys of the parents; none at the root.
        position: the column that holds the position of the parent, from 1.
        order: the columns that hold what orders the rows, where that was asked for.
        kept: polymorphic aliases, to which SQLAlchemy holds weak references until the statement is compiled.
        tree: how the rows hang together, where the level is a tree.
        path: of the list that a level below the root fills.
        counted: the columns that are equal for the rows in one list of one parent.
    """

    statement: Select[Any]
    record: Record | Choice
    carriers: Sequence[Carrier]
    below: Sequence[Level] = ()
    keys: tuple[int, ...] = ()
    position: int = 0
    order: tuple[int, ...] = ()
    kept: Sequence[Any] = ()
    tree: Linked | None = None
    path: str = ""
    counted: tuple[int, ...] = (0,)


class Wires:
    """The types in which the JSON of one column travels.

    They live as long as the plan: shapes may be made on the fly. Each list knows how many rows it may hold, which
    msgspec compares as it decodes, at no cost that can be measured. A LIMIT in SQL took up to 1.3 times as long on
    PostgreSQL and eight times on SQLite.
    """

    def __init__(self, bound: int | None) -> None:
        self._bound = bound
        self._structs: dict[int, type[msgspec.Struct]] = {}

    def listed(self, part: Children) -> Any:
        """Return the type of a list."""
        wire: Any = list_of(self._type(part.node))
        most = part.most(self._bound)
        return wire if most is None else Annotated[wire, msgspec.Meta(max_length=most)]

    def bundle(self, unit: Together) -> type[msgspec.Struct]:
        """Return the struct of parts over the same rows."""
        return msgspec.defstruct("Together", self._fields(unit.parts), array_like=True, frozen=True, gc=False)

    def struct(self, node: Node, number: int | None = None) -> type[msgspec.Struct]:
        """Return the array-like struct of a node, behind its number in a union."""
        found = self._structs.get(id(node))
        if found is None:
            fields, name = self._fields(layout(node)), f"{node.shape.__name__}Wire"
            found = msgspec.defstruct(name, fields, array_like=True, frozen=True, gc=False, tag=number)
            self._structs[id(node)] = found
        return found

    def _type(self, node: Node) -> Any:
        """Return one struct, or a union of numbered ones."""
        if not node.variants:
            return self.struct(node)
        unknown = msgspec.defstruct("UnknownWire", [], array_like=True, frozen=True, tag=UNKNOWN)
        kinds: Any = (*(self.struct(each, number) for number, each in enumerate(node.nodes)), unknown)
        return Union[kinds]  # noqa: UP007  # of any number

    def _fields(self, units: Sequence[Part | Together]) -> list[tuple[str, Any]]:
        fields: list[tuple[str, Any]] = []
        for part in units:
            match part:
                case Together():
                    fields.append((part.name, self.bundle(part)))
                case Leaf() | Aggregate():
                    fields.append((part.name, wire_for(part).type))
                case One():
                    wire: Any = self._type(part.node)
                    fields.append((part.name, wire | None if part.is_optional else wire))
                case Children():
                    fields.append((part.name, self.listed(part)))
                case Tree():
                    raise AssertionError("a shape with a tree is read level by level")
        return fields


def wire_for(part: Leaf | Aggregate) -> Wire:
    """Return how the value of a column, or a value over children, arrives in JSON."""
    return wire_of(part.type, part.annotation) if isinstance(part, Leaf) else wire_over(part)


class Collection:
    """Decodes the JSON text of one collection column into the value of its field: a list of shapes, or the first."""

    def __init__(self, part: Children, bound: int | None) -> None:
        wires = Wires(bound)
        self.part = part
        self.bound = bound
        self._decode = msgspec.json.Decoder(wires.listed(part)).decode
        is_plain = part.pick == "all" and _is_plain(part.node)
        self._make = _converter(part.node) if is_plain else _maker_of_wires(part, wires)

    def load(self, text: str) -> Any:
        """Return the value in `text`."""
        return self._make(self._decode(text))


class Bundle:
    """Decodes the JSON text of one column that holds several parts over the same rows, into a list of their values."""

    def __init__(self, unit: Together, bound: int | None) -> None:
        wires = Wires(bound)
        self.part = unit
        self.bound = bound
        self._decode = msgspec.json.Decoder(wires.bundle(unit)).decode
        self._make = _maker_of_bundle(unit, wires)

    def load(self, text: str) -> Any:
        """Return the values in `text`."""
        return self._make(self._decode(text))


def _is_plain(node: Node) -> bool:
    """Return whether values need no conversion, and every shape is one struct of msgspec."""
    inner = [part for part in node.parts if isinstance(part, (One, Children))]
    values = [part for part in node.parts if isinstance(part, (Leaf, Aggregate))]
    return (
        not node.variants
        and issubclass(node.shape, msgspec.Struct)
        and all(wire_for(value).load is None for value in values)
        and len(layout(node)) == len(node.parts)
        and all(not isinstance(each, Children) or each.pick == "all" for each in inner)
        and all(_is_plain(each.node) for each in inner)
    )


def _converter(node: Node) -> Callable[[Any], list[Any]]:
    """Return what copies decoded structs into shapes in C, in two thirds of the time of generated Python."""
    target = list_of(node.shape)
    return lambda wires: msgspec.convert(wires, target, from_attributes=True) if wires else []


def _maker_of_wires(part: Children, wires: Wires) -> Callable[[Any], Any]:
    """Return the function that makes shapes of decoded structs; generated, as `maker` is."""
    source = _Source(wires)
    make: Callable[[Any], Any] = eval(f"lambda wires: {source.value(part, 'wires', 0)}", source.scope)
    return make


def _maker_of_bundle(unit: Together, wires: Wires) -> Callable[[Any], list[Any]]:
    source = _Source(wires)
    values = ", ".join(source.value(part, f"wire.{part.name}", 0) for part in unit.parts)
    make: Callable[[Any], list[Any]] = eval(f"lambda wire: [{values}]", source.scope)
    return make


class _Source:
    """Writes the Python expressions that make shapes of decoded structs; what they name is in `scope`."""

    def __init__(self, wires: Wires) -> None:
        self.scope: dict[str, Any] = {}
        self._wires = wires

    def shape(self, node: Node, wire: str, depth: int) -> str:
        """Return the expression that makes the shape of `node` of the struct that `wire` names."""
        if node.variants:
            kinds = [self._named("kind", self._wires.struct(each, number)) for number, each in enumerate(node.nodes)]
            made = [self.shape(each, wire, depth) for each in node.nodes]
            tests = [f"type({wire}) is {kind}" for kind in kinds]
            return _one_of(tests, made, f"{self._named('unknown', _unknown(node))}()")
        values: list[tuple[str, str]] = []
        for unit in layout(node):
            parts = unit.parts if isinstance(unit, Together) else [unit]
            found = f"{wire}.{unit.name}" if isinstance(unit, Together) else wire
            values += [(part.name, self.value(part, f"{found}.{part.name}", depth)) for part in parts]
        return filled(self.scope, node.shape, values)

    def value(self, part: Part, found: str, depth: int) -> str:
        """Return the expression that makes the value of a field of what `found` names."""
        match part:
            case Leaf() | Aggregate():
                load = wire_for(part).load
                if load is None:
                    return found
                loaded = f"{self._named('load', load)}({found})"
                return f"{loaded} if {found} is not None else None" if part.is_optional else loaded
            case One():
                made = self.shape(part.node, found, depth)
                return f"{made} if {found} is not None else None" if part.is_optional else made
            case Children():
                return self._picked(part, found, depth)
            case Tree():
                raise AssertionError("a shape with a tree is read level by level")

    def _picked(self, part: Children, found: str, depth: int) -> str:
        if part.pick == "all":
            each = f"wire{depth}"
            return f"[{self.shape(part.node, each, depth + 1)} for {each} in {found}]"
        if part.pick == "first":
            made = self.shape(part.node, f"{found}[0]", depth)
        else:
            made = self.value(part.node.parts[0], f"{found}[0].value", depth)
        return f"(({made}) if {found} else None)"  # `made` may be a conditional itself

    def _named(self, prefix: str, thing: Any) -> str:
        name = f"{prefix}{len(self.scope)}"
        self.scope[name] = thing
        return name


def filled(scope: dict[str, Any], shape: Any, values: list[tuple[str, str]]) -> str:
    """Return the expression that makes one shape of the expressions of its fields; what it names goes into `scope`."""
    target = target_of(shape)
    assert target is not None  # the check lets nothing else pass
    name = f"shape{len(scope)}"
    scope[name] = target.make
    return target.source(name, values)


Lists = Sequence[Sequence[list[Any]]]
Make = Callable[[Rows, Lists], list[Any]]


def maker(
    record: Record | Choice,
    width: int,
    loads: Sequence[Callable[[Any], Any] | None],
    lists: int = 0,
    *,
    has_own: bool = False,
) -> Make:
    """Return the function that makes the shapes of all rows of `width` columns, given for each of the `lists` levels
    below its children by row; with `has_own`, the rows of a tree, those that hang on each row come last.

    It is generated, as dataclasses generate `__init__`: a call written out is twice as fast as any loop over fields,
    and twice as fast again where the columns have names and the fields no keywords. Only field names, which are
    identifiers, and column numbers go into the text.
    """
    scope: dict[str, Any] = {"absent": _absent}

    def literal(record: Record | Choice) -> str:
        if isinstance(record, Choice):
            tests = [f"c{record.number} == {number}" for number in range(len(record.records))]
            unknown = f"unknown{len(scope)}"
            scope[unknown] = _unknown(record.node)
            return _one_of(tests, [literal(each) for each in record.records], f"{unknown}()")
        return filled(scope, record.shape, [(name, value(part)) for name, part in record.fields])

    def value(part: Slot | Nested | Listed) -> str:
        if isinstance(part, Listed):
            found = "own" if part.place is None else f"list{part.place}"
            if part.pick == "all":
                return found
            return f"({found}[0]{'.value' if part.pick == 'value' else ''} if {found} else None)"
        absent = "None" if part.is_optional else "absent()"
        if isinstance(part, Nested):
            return f"{literal(part.record)} if c{part.presence} is not None else {absent}"
        found = f"c{part.index}"
        load = loads[part.index]
        if part.place is not None:  # the first of them reads the column
            bundle = f"bundle{part.index}"
            scope[f"load{part.index}"] = load
            read = f"({bundle} := load{part.index}({found}))" if part.place == 0 else bundle
            return f"{read}[{part.place}]"
        if load is not None:
            name = f"load{part.index}"
            scope[name] = load
            loaded = f"{name}({found})"
            return f"{loaded} if {found} is not None else {absent}"
        return found if part.is_optional else f"{found} if {found} is not None else {absent}"

    names = [f"list{place}" for place in range(lists)] + (["own"] if has_own else [])
    row = f"({''.join(f'c{index}, ' for index in range(width))})"
    each = f"{row}, {', '.join(names)} in zip(rows, *lists)" if names else f"{row} in rows"
    make: Make = eval(f"lambda rows, lists: [{literal(record)} for {each}]", scope)
    return make


def _one_of(tests: list[str], made: list[str], otherwise: str) -> str:
    """Return the expression that is the first of `made` whose test holds."""
    chosen = "".join(f"{value} if {test} else " for test, value in zip(tests, made, strict=True))
    return f"({chosen}{otherwise})"


def _unknown(node: Node) -> Callable[[], Any]:
    model, name = node.mapper.class_.__name__, node.name

    def refuse() -> Any:
        reason = f"a row of {model} is of a kind that no class of the model has, so no member of {name} reads it"
        raise ValueMismatch(name, reason)

    return refuse


def _absent() -> Any:
    raise ValueError  # whoever catches it looks for the column, and names it
