"""`CalendarInterval`: intervals of PostgreSQL with all three parts that they are made of."""

from __future__ import annotations

import functools
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Text, case, cast, extract, func, literal_column, type_coerce
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import BindParameter, ColumnElement
from sqlalchemy.types import TypeDecorator

from hermetic.shape.wire import Codec


class Span(msgspec.Struct, frozen=True):
    """A duration on the calendar: a month and a day have no fixed length, so neither is made of the others.

    Attributes:
        months: any whole number that PostgreSQL holds; a year is 12.
        days: a day is 23, 24 or 25 hours where clocks change.
        microseconds: the rest.
    """

    months: int = 0
    days: int = 0
    microseconds: int = 0


class _Stated(TypeDecorator[Span]):
    """A span as the text of ISO 8601, which PostgreSQL reads under any IntervalStyle."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Span | None, dialect: Dialect) -> str | None:
        """Return the text."""
        if value is None:
            return None
        sign = "-" if value.microseconds < 0 else ""
        seconds, fraction = divmod(abs(value.microseconds), 1_000_000)
        return f"P{value.months}M{value.days}DT{sign}{seconds}.{fraction:06}S"


class CalendarInterval(TypeDecorator[Span]):
    """A column of `Span`: months, days and microseconds come back as they are stored.

    A `timedelta` has no months, so a shape refuses an interval with months under `Interval` and `ExactInterval`.

    Databases: `interval` on PostgreSQL alone.
    Source: PostgreSQL manual, "Interval Input" and "EXTRACT".
    """

    impl = postgresql.INTERVAL
    cache_ok = True

    @property
    def python_type(self) -> type[Span]:
        """Return `Span`."""
        return Span

    def bind_expression(self, bindparam: BindParameter[Span]) -> ColumnElement[Any]:
        """Return the SQL of a value: no driver sends months."""
        return cast(type_coerce(bindparam, _Stated()), postgresql.INTERVAL())

    def column_expression(self, column: ColumnElement[Span]) -> ColumnElement[Any]:
        """Return the SQL that is selected: no driver reads months."""
        return type_coerce(cast(_parts(column), Text()), self)

    def process_result_value(self, value: Any, dialect: Dialect) -> Span | None:
        """Return the span."""
        return None if value is None else Span(*msgspec.json.decode(value, type=tuple[int, int, int]))

    def shape_codec(self) -> Codec[tuple[int, int, int], Span]:
        """Return how a span travels inside a collection."""
        return Codec(
            lambda column, dialect: _parts(column) if dialect.name == "postgresql" else None,
            tuple[int, int, int],
            lambda parts: Span(*parts),
        )


def _parts(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the JSON array of months, days and microseconds; what has none of them, an infinity, as a text."""

    def part(*fields: tuple[str, int]) -> ColumnElement[Any]:
        terms = [cast(extract(name, column) * literal_column(str(unit)), BigInteger()) for name, unit in fields]
        return functools.reduce(lambda total, term: total.op("+")(term), terms)

    months = part(("year", 12), ("month", 1))
    microseconds = part(("hour", 3_600_000_000), ("minute", 60_000_000), ("microseconds", 1))
    parts = func.json_build_array(months, part(("day", 1)), microseconds)
    infinite = func.to_json(literal_column("'infinite'::text"))
    return case((func.isfinite(column), parts), (column.is_not(None), infinite))
