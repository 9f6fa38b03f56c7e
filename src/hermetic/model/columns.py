"""The rules for one column: nullability, time, decimals, enums and defaults."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, DateTime, Enum, Numeric, Table
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.exc import UnmappedColumnError

from hermetic.errors import Problem
from hermetic.model.annotations import annotation_of
from hermetic.model.enums import values_of
from hermetic.model.lines import column_line

_MUTABLE = (dict, list, set, bytearray)
_NOW: dict[type[Any], str] = {
    datetime.datetime: "lambda: datetime.datetime.now(datetime.UTC)",
    datetime.date: "lambda: datetime.datetime.now(datetime.UTC).date()",
    datetime.time: "lambda: datetime.datetime.now(datetime.UTC).time()",
    uuid.UUID: "uuid.uuid4",
}
_BY_VALUE = "Enum({}, values_callable=lambda members: [str(m.value) for m in members], native_enum=False, length=64)"


@dataclass(frozen=True, slots=True)
class Place:
    """One column of one model: where a rule looks, and how it reports."""

    mapper: Mapper[Any]
    key: str
    column: Column[Any]

    def line(self, **change: str) -> str:
        """Return the corrected line."""
        return column_line(self.mapper.class_, self.key, self.column, **change)

    def typed(self, kind: str) -> str:
        """Return the line with the right type: on `hermetic.Base` the annotation alone gives it."""
        return self.line(type="" if self.mapper.registry.metadata.info.get("hermetic") else kind)

    def problem(self, what: str, fix: str) -> Problem:
        """Return a problem of this column."""
        return Problem(f"{self.mapper.class_.__name__}.{self.key}", what, fix)


def column_problems(mapper: Mapper[Any]) -> Iterator[Problem]:
    """Return the problems of the columns that a model itself brings."""
    for key, column in own_columns(mapper):
        place = Place(mapper, key, column)
        yield from _nullability(place)
        yield from _type(place)
        yield from _default(place, "default")
        yield from _default(place, "onupdate")


def table_of(mapper: Mapper[Any]) -> Table | None:
    """Return the table that a model maps; None when it maps a join or a subquery."""
    table: Any = mapper.local_table
    return table if issubclass(type(table), Table) else None


def own_table(mapper: Mapper[Any]) -> Table | None:
    """Return the table that a model brought; None when it maps into the table of its parent."""
    is_inherited = mapper.inherits is not None and mapper.inherits.local_table is mapper.local_table
    return None if is_inherited else table_of(mapper)


def own_columns(mapper: Mapper[Any]) -> Iterator[tuple[str, Column[Any]]]:
    """Return the columns that a model itself brings, with their attribute names, in the order of the table."""
    parent = mapper.inherits
    inherited: set[Any] = set(parent.columns.values()) if parent is not None else set()
    for column in mapper.local_table.columns:
        if isinstance(column, Column) and column not in inherited:
            try:
                key = mapper.get_property_by_column(column).key
            except UnmappedColumnError:  # of a sibling in the same table
                continue
            yield key, column


def _nullability(place: Place) -> Iterator[Problem]:
    mapper, column = place.mapper, place.column
    annotation = annotation_of(mapper.class_, place.key)
    if annotation is None or column.primary_key or not annotation.is_mapped:
        return
    admits_none = annotation.admits_none()
    text = annotation.text
    # a column in the parent's table has to be NULL in the rows of the other classes
    if admits_none is False and column.nullable and own_table(mapper) is not None:
        yield place.problem(f"is typed {text}, and its column admits NULL", place.line(annotation=f"{text} | None"))
    elif admits_none and not column.nullable:
        fix = place.line(annotation=annotation.text_without_none)
        yield place.problem(f"is typed {text}, and its column is NOT NULL", fix)


def _type(place: Place) -> Iterator[Problem]:
    kind = place.column.type
    if isinstance(kind, DateTime) and not kind.timezone:
        what = "stores time without a zone, so the zone of a server or process shifts its values"
        yield place.problem(what, place.typed("DateTime(timezone=True)"))
    elif isinstance(kind, Numeric) and kind.asdecimal and (kind.precision is None or kind.scale is None):
        yield place.problem("is a Decimal without precision and scale", place.line(type="Numeric(12, 2)"))
    elif isinstance(kind, Enum) and kind.enum_class is not None:
        yield from _enum(place, kind, kind.enum_class)


def _enum(place: Place, kind: Enum, members: type[enum.Enum]) -> Iterator[Problem]:
    name = members.__name__
    if kind.values_callable is None:
        what = f"stores the names of {name}, so renaming a member breaks the rows"
        yield place.problem(what, place.typed(_BY_VALUE.format(name)))
    elif len(set(values_of(members))) < len(members):
        yield place.problem(f"two members of {name} are stored as the same text", f"give {name} values of one type")


def _default(place: Place, argument: str) -> Iterator[Problem]:
    default: Any = getattr(place.column, argument)
    if default is None:
        return
    value = default.arg
    if default.is_scalar and issubclass(type(value), _MUTABLE):
        kind = type(value).__name__
        factory = f"lambda: {value!r}" if value else kind
        yield place.problem(f"has one {kind} as {argument} of all rows", place.line(**{argument: factory}))
    elif default.is_scalar and type(value) in _NOW:
        what = f"has a {type(value).__name__} as {argument} that was fixed at import"
        yield place.problem(what, place.line(**{argument: _NOW[type(value)]}))
    elif argument == "onupdate" and not default.is_scalar and not default.is_callable:
        what = "is set by the server on update, so reading it after a flush needs another statement"
        yield place.problem(what, place.line(onupdate=_now(place.column)))


def _now(column: Column[Any]) -> str:
    try:
        return _NOW.get(column.type.python_type, "lambda: ...")
    except NotImplementedError:
        return "lambda: ..."
