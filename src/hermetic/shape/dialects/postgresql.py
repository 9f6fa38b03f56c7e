"""PostgreSQL: exact JSON forms that no session setting can bend, and the driver path of root columns.

Source: PostgreSQL manual, "JSON Functions and Operators" and "Date/Time Functions"; each form is checked under hostile
TimeZone, DateStyle, IntervalStyle, bytea_output and extra_float_digits.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Dialect,
    Text,
    UnaryExpression,
    case,
    cast,
    extract,
    func,
    inspect,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.types import JSON, DateTime, Enum, Float, Interval, Numeric, TypeDecorator, TypeEngine

from hermetic.errors import NoExactForm
from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval, Json
from hermetic.shape.codec import BYTES, Carrier, Rows, enum_values, unwrap

_MAX_ARGUMENTS = 100  # of any function: FUNC_MAX_ARGS in PostgreSQL's pg_config_manual.h
_EMPTY: ColumnElement[Any] = literal_column("'[]'::json")
_INSTANTS = msgspec.json.Decoder(list[datetime.datetime | None])
_DURATIONS = msgspec.json.Decoder(list[datetime.timedelta | None])
_BYTES = msgspec.json.Decoder(list[bytes | None])
_AVERAGE_YEAR_EXCESS = 21600  # extract(epoch) counts a year as 365.25 days; drivers count 365


class PostgreSQL:
    """The building blocks of PostgreSQL 14 and later."""

    max_nesting: int | None = None

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        # asyncpg reads every type in binary form; psycopg reads text, which follows the session's settings
        self._reads_text = dialect.driver in ("psycopg", "psycopg_async")

    def native(self, column: ColumnElement[Any], kind: TypeEngine[Any], annotation: Any) -> Carrier:
        """Return how a root column travels on the driver path."""
        kind = unwrap(kind)
        if isinstance(kind, (JSON, Json)):
            return Carrier(cast(column, Text), msgspec.json.Decoder(annotation).decode)
        if isinstance(kind, AwareDateTime) or (isinstance(kind, DateTime) and kind.timezone):
            if self._reads_text:
                return Carrier(_utc_text(column), datetime.datetime.fromisoformat)
            return Carrier(column)
        if isinstance(kind, (ExactInterval, Interval)) and self._reads_text:
            return Carrier(_duration_text(column), _duration)
        if isinstance(kind, Float) and not kind.asdecimal and self._reads_text:
            return Carrier(_all_digits(column))
        if isinstance(kind, (ExactDecimal, Numeric)) and not isinstance(kind, Float) and _is_decimal(kind):
            return Carrier(column)
        if isinstance(kind, ARRAY) and self._reads_text:
            return self._native_array(column, kind)
        return Carrier(column, use_processor=True)

    def _native_array(self, column: ColumnElement[Any], kind: ARRAY[Any]) -> Carrier:
        item = unwrap(kind.item_type)
        if isinstance(item, Float) and not item.asdecimal:
            return Carrier(_all_digits(column), use_processor=True)
        decode = _array_decoder(item)
        if decode is None or (kind.dimensions or 1) > 1:
            return Carrier(column, use_processor=True)
        text = cast(self._encode_array(column, kind, ""), Text)
        return Carrier(text, (lambda found: tuple(decode(found))) if kind.as_tuple else decode)

    def encode(self, column: ColumnElement[Any], kind: TypeEngine[Any], label: str) -> ColumnElement[Any]:
        """Return the JSON form of a column."""
        kind = unwrap(kind)
        if isinstance(kind, Enum):
            return _enum_value(column, kind)
        if isinstance(kind, BYTES):
            # encode() breaks lines at 76 characters, which no JSON decoder takes for base64
            return func.replace(
                func.encode(column, literal_column("'base64'")), literal_column("E'\\n'"), literal_column("''")
            )
        if isinstance(kind, AwareDateTime) or (isinstance(kind, DateTime) and kind.timezone):
            return _utc_text(column)
        if isinstance(kind, (ExactInterval, Interval)):
            return _duration_text(column)
        if isinstance(kind, Float):
            return _all_digits(column)
        if isinstance(kind, ARRAY):
            return self._encode_array(column, kind, label)
        if isinstance(kind, TypeDecorator) and not isinstance(kind, (ExactDecimal, Json)):
            raise NoExactForm(label, repr(kind), "PostgreSQL")
        return column

    def _encode_array(self, column: ColumnElement[Any], kind: ARRAY[Any], label: str) -> ColumnElement[Any]:
        item = unwrap(kind.item_type)
        if not isinstance(item, (*BYTES, AwareDateTime, DateTime, ExactInterval, Interval, Float, Enum)):
            return column
        if (kind.dimensions or 1) > 1:
            raise NoExactForm(label, repr(kind), "PostgreSQL")
        elements = func.unnest(column).table_valued("e", with_ordinality="o", joins_implicitly=True).render_derived()
        encoded = self.encode(elements.c.e, item, label)
        listed = func.json_agg(encoded).aggregate_order_by(elements.c.o)
        values = select(func.coalesce(listed, _EMPTY)).select_from(elements).scalar_subquery()
        return case((column.is_not(None), values))

    def array(self, items: list[ColumnElement[Any]]) -> ColumnElement[Any]:
        """Return the JSON array of `items`."""
        if len(items) <= _MAX_ARGUMENTS:
            return func.json_build_array(*items)
        listed = postgresql.array([func.to_json(item) for item in items])
        return func.json_build_array(UnaryExpression(listed, operator=custom_op("VARIADIC ")))

    def text(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a JSON value as text, so that no driver parses it with the standard library."""
        return cast(json, Text)

    def children(self, rows: Rows) -> ColumnElement[Any]:
        """Return the JSON array of a collection; empty, never NULL."""
        child = rows.alias()
        if rows.limit is None:
            listed = func.json_agg(rows.item(child)).aggregate_order_by(*rows.order_by(child))
            return rows.select(child, func.coalesce(listed, _EMPTY)).scalar_subquery()
        columns, order_by = inspect(child).selectable.columns, rows.order_by(child)
        if rows.orders_by_link:
            number = func.row_number().over(order_by=order_by).label("hermetic_n")
            picked = rows.select(child, *columns, number).order_by(number).limit(rows.limit).subquery()
            child = rows.alias(picked)
            order_by = [picked.c.hermetic_n]
        else:
            picked = rows.select(child, *columns).order_by(*order_by).limit(rows.limit).subquery()
            child = rows.alias(picked)
            order_by = rows.order_by(child)
        listed = func.json_agg(rows.item(child)).aggregate_order_by(*order_by)
        return select(func.coalesce(listed, _EMPTY)).select_from(child).scalar_subquery()


def _is_decimal(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, ExactDecimal) or (isinstance(kind, Numeric) and bool(kind.asdecimal))


def _array_decoder(item: TypeEngine[Any]) -> Callable[[str], list[Any]] | None:
    """Return what reads the JSON of an array whose text form follows the session's settings: psycopg misreads that."""
    if isinstance(item, AwareDateTime) or (isinstance(item, DateTime) and item.timezone):
        return _INSTANTS.decode
    if isinstance(item, (ExactInterval, Interval)):
        return _DURATIONS.decode
    return _BYTES.decode if isinstance(item, BYTES) else None


def _utc_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # to_json ignores DateStyle; to_char would lose "BC" and turn infinity into NULL
    iso = func.to_json(func.timezone(literal_column("'UTC'"), column)).op("#>>")(literal_column("'{}'"))
    return iso.op("||")(literal_column("'Z'"))


def _duration_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    seconds = extract("epoch", column) - literal_column(str(_AVERAGE_YEAR_EXCESS)) * extract("year", column)
    return case(
        (seconds < literal_column("0"), literal_column("'-PT'").op("||")(-seconds).op("||")(literal_column("'S'"))),
        else_=literal_column("'PT'").op("||")(seconds).op("||")(literal_column("'S'")),
    )


def _all_digits(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # extra_float_digits = 0 would print 0.1 + 0.2 as 0.3; this sets it for the transaction, once for each statement,
    # before the value is printed, so that the session's setting does not matter
    pinned = select(
        func.set_config(literal_column("'extra_float_digits'"), literal_column("'1'"), literal_column("true"))
    )
    return case((pinned.scalar_subquery() == literal_column("'1'"), column))


def _enum_value(column: ColumnElement[Any], kind: Enum) -> ColumnElement[Any]:
    values = enum_values(kind)
    if values is None:
        return column
    label = cast(column, Text)
    whole = {
        stored: func.to_json(cast(value, Text) if isinstance(value, str) else value) for stored, value in values.items()
    }
    # a label that no member has stays as it is: the decoder then names it
    return case(*((label == stored, value) for stored, value in whole.items()), else_=func.to_json(label))


def _duration(text: str) -> datetime.timedelta:
    return msgspec.convert(text, datetime.timedelta)
