"""The corrected line of a shape, with the user's own names, to paste."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import ColumnProperty, Mapper, QueryableAttribute, RelationshipProperty

from hermetic.model import column_line
from hermetic.shape.annotation import type_name
from hermetic.shape.attributes import column_facts, hybrid_of, proxy_of
from hermetic.shape.fields import Function, Latest, Many, Marker, Over, Path, Recursive
from hermetic.shape.to_one import may_be_absent, remote_columns


def line(name: str, text: str, marker: Marker | None = None) -> str:
    """Return `name: text`, with the marker as it was written where it can be written again."""
    if marker is None:
        return f"{name}: {text}"
    if _has_expressions(marker):
        return f"{text}  # the type of {name}; what stands beside it stays"
    return f"{name}: Annotated[{text}, {_call(marker)}]"


def end_line(name: str, shape: type, marker: Path | Many) -> str:
    """Return the line of a field whose shape contains itself: with a depth, and a default that says "not read"."""
    if isinstance(marker, Many):
        text, default = f'list["{type_name(shape)}"] | None', "None"
    else:
        text, default = f'"{type_name(shape)} | None | UnsetType"', "UNSET"
    marker = replace(marker, depth=max(marker.depth or 3, 1))
    if _has_expressions(marker):
        return f"{text}  # the type of {name}; add depth={marker.depth} beside it, and = {default} behind it"
    needed = "" if default == "None" else "from msgspec import UNSET, UnsetType\n"
    return f"{needed}{line(name, text, marker)} = {default}"


def field_line(
    mapper: Mapper[Any],
    key: str,
    name: str,
    before: tuple[QueryableAttribute[Any], ...] = (),
    shape: type | None = None,
) -> str:
    """Return the line by which field `name` reads the attribute `key`, behind the steps `before`.

    `shape` is the shape to read a relationship with, where the user has named one.
    """
    declared: Any = mapper.attrs.get(key)
    attribute = getattr(mapper.class_, key)
    marker: Marker | None = None if key == name and not before else Path((*before, attribute))
    if isinstance(declared, RelationshipProperty):
        child = shape.__name__ if shape is not None else shape_name(declared.mapper)
        if declared.uselist:
            return line(name, f"list[{child}]", None if key == name else Many(attribute))
        ways: list[Any] = [*(step.property for step in before), declared]
        return line(name, f"{child} | None" if any(may_be_absent(way) for way in ways) else child, marker)
    facts = column_facts(mapper, key)
    assert facts is not None  # what is named is a relationship, a column or a hybrid
    hops: list[Any] = [step.property for step in before]
    absent = any(may_be_absent(hop) for hop in hops)
    return line(name, facts.text(is_optional=facts.is_nullable or absent), marker)


def child_line(name: str, target: Mapper[Any], form: str, marker: Marker | None) -> str:
    """Return the smallest shape of `target`, and the line that reads it; `form` is `{}` or `list[{}]`."""
    key = key_of(target)
    shape = shape_name(target)
    body = field_line(target, key, key)
    return f"class {shape}(Shape[{target.class_.__name__}]): {body}\n{line(name, form.format(shape), marker)}"


def shape_name(mapper: Mapper[Any]) -> str:
    """Return a name to propose for the shape of a child: `AddressLine`, and no `InvoiceLineLine`."""
    model = mapper.class_.__name__
    return f"{model}Card" if model.endswith("Line") else f"{model}Line"


def key_of(mapper: Mapper[Any]) -> str:
    """Return the name of the attribute that is the primary key, or its first column."""
    return mapper.get_property_by_column(mapper.primary_key[0]).key


def computed_line(mapper: Mapper[Any], key: str, before: tuple[QueryableAttribute[Any], ...]) -> str:
    """Return what reads an attribute that Python computes: the list behind a proxy, or SQL beside the Python."""
    model = mapper.class_.__name__
    if hybrid_of(mapper, key) is not None:
        return f"@{key}.inplace.expression  # in class {model}, over a @classmethod that returns its SQL"
    proxied = proxy_of(mapper, key)
    if proxied is None:
        return f"select({model}.{key}(...))  # as a value"
    through, inner = proxied
    target: Mapper[Any] = mapper.relationships[through].mapper
    known = inner if inner in columns_and_relationships(target) else key_of(target)
    lines = [f"class {shape_name(target)}(Shape[{target.class_.__name__}]): {field_line(target, known, known)}"]
    if known in target.relationships:
        last = target.relationships[known].mapper
        first = key_of(last)
        lines.insert(0, f"class {shape_name(last)}(Shape[{last.class_.__name__}]): {field_line(last, first, first)}")
    return "\n".join([*lines, field_line(mapper, through, through, before)])


def columns_and_relationships(mapper: Mapper[Any]) -> list[str]:
    """Return the names that a field may read."""
    return [each.key for each in mapper.attrs if isinstance(each, (ColumnProperty, RelationshipProperty))]


def to_many(mapper: Mapper[Any]) -> list[str]:
    """Return the names of the relationships that lead to a list."""
    return [each.key for each in mapper.relationships if each.uselist]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the name that is most like `name`, if one is."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)), None)


def way_in(
    mapper: Mapper[Any],
    word: str,
    attribute: QueryableAttribute[Any] | None,
    name: str,
    marker: Marker,
    before: tuple[QueryableAttribute[Any], ...],
) -> str:
    """Return the line that reads, from `mapper`, what was most likely meant by `word` or `attribute`."""
    if isinstance(marker, Latest):
        return _in_latest(mapper, word, attribute, marker)
    names = columns_and_relationships(mapper) if isinstance(marker, Path) else to_many(mapper)
    if before:  # a list cannot stand behind a hop
        names = [each for each in names if each not in to_many(mapper)]
    owner = attribute.parent if attribute is not None else None
    leading = [way for way in mapper.relationships if way.key in names and way.mapper is owner]
    if not names:
        return f"delete {name}: {mapper.class_.__name__} has no to-many relationship"
    if isinstance(marker, Path) and attribute is not None and leading and not leading[0].uselist:
        steps = (*before, getattr(mapper.class_, leading[0].key))
        return field_line(leading[0].mapper, attribute.key, name, steps)
    key = leading[0].key if leading else nearest(word, names) or names[0]
    if isinstance(marker, Over):  # what it measures belongs to the rows of the relationship that was named
        function: Function = "exists" if marker.function == "exists" else "count"
        return line(name, "bool" if function == "exists" else "int", Over(function, getattr(mapper.class_, key)))
    return field_line(mapper, key, name, before)


def _in_latest(mapper: Mapper[Any], word: str, attribute: QueryableAttribute[Any] | None, marker: Latest) -> str:
    """Return what to write in place of the relationship or of a step."""
    lists = to_many(mapper)
    is_step = attribute is not marker.relationship
    names = [each for each in columns_and_relationships(mapper) if each not in lists] if is_step else lists
    if not names:
        return f"delete it: {mapper.class_.__name__} has no to-many relationship"
    key = nearest(word or str(attribute), names) or names[0]
    return f"{getattr(mapper.class_, key)}  # in place of {attribute if attribute is not None else repr(word)}"


def one_row_line(way: RelationshipProperty[Any]) -> str:
    """Return what makes a to-one relationship true: a key, or the annotation of a list."""
    target, model = way.mapper, way.parent.class_.__name__
    columns = remote_columns(way)
    as_list = f'{way.key}: Mapped[list["{target.class_.__name__}"]]  # in class {model}; its annotation is a list'
    if (
        way.secondary is not None
        or not columns
        or not all(target.columns.contains_column(column) for column in columns)
    ):
        return as_list
    keys = [target.get_property_by_column(column).key for column in columns]
    if len(columns) > 1:
        names = ", ".join(f'"{column.name}"' for column in columns)
        return f"__table_args__ = (UniqueConstraint({names}),)  # in class {target.class_.__name__}\nor {as_list}"
    unique = column_line(target.class_, keys[0], columns[0], unique="True", index="")
    return f"{unique}  # in class {target.class_.__name__}\nor {as_list}"


def at_the_root(mapper: Mapper[Any], key: str, name: str) -> str:
    """Return the shape that reads a column where its type needs no JSON form."""
    model = mapper.class_.__name__
    shape = f"{model}{key.title().replace('_', '')}"
    read = field_line(mapper, key, key)
    return f"class {shape}(Shape[{model}]): {read}  # read alone, and {name} deleted here"


def over_the_child(target: Mapper[Any], word: str, table: Any) -> str:
    """Return what to write where a filter or an order names a table that is not the child's."""
    model = target.class_.__name__
    ways = [way for way in target.relationships if table in way.mapper.tables]
    if word == "where" and ways:
        return f"where={model}.{ways[0].key}.{'any' if ways[0].uselist else 'has'}(...)  # around what stands there"
    return f"{model}.{key_of(target)}  # or any other column of {model}, in place of {table}"


def _call(marker: Marker) -> str:
    match marker:
        case Path():
            words, options = [str(step) for step in marker.steps], {"depth": marker.depth}
        case Many():
            words, options = [str(marker.relationship)], {"limit": marker.limit, "depth": marker.depth}
        case Recursive():
            words, options = [str(marker.relationship)], {}
        case Latest():
            words, options = [str(step) for step in (marker.relationship, *marker.steps)], {}
        case Over():
            words, options = [str(marker.relationship)], {}
            words += [] if marker.measure is None else [str(marker.measure)]
    words += [f"{option}={value}" for option, value in options.items() if value is not None]
    return f"{_word(marker)}({', '.join(words)})"


def _word(marker: Marker) -> str:
    if isinstance(marker, Over):
        return "count" if marker.function == "count" else f"aggregate.{marker.function}"
    return type(marker).__name__.lower()


def _has_expressions(marker: Marker) -> bool:
    """Return whether the marker holds SQL, whose Python source is not known."""
    match marker:
        case Many() | Recursive() | Latest():
            return marker.where is not None or bool(marker.order_by)
        case Over():
            is_attribute = marker.measure is None or isinstance(marker.measure, QueryableAttribute)
            return marker.where is not None or not is_attribute
        case Path():
            return False
