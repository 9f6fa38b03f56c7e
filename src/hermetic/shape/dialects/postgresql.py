"""PostgreSQL: exact JSON forms that no session setting can bend, and the driver path of root columns.

Source: PostgreSQL manual, "JSON Functions and Operators" and "Date/Time Functions"; each form is checked under hostile
TimeZone, DateStyle, IntervalStyle, bytea_output and extra_float_digits.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from typing import Any, get_args, get_origin

import msgspec
from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Dialect,
    Select,
    Text,
    UnaryExpression,
    and_,
    any_,
    bindparam,
    case,
    cast,
    extract,
    func,
    inspect,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.types import (
    JSON,
    Boolean,
    Date,
    DateTime,
    Double,
    Enum,
    Float,
    Integer,
    Interval,
    Numeric,
    String,
    Time,
    TypeEngine,
    Uuid,
)

from hermetic.errors import NoExactForm
from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval, Json
from hermetic.shape.annotation import parse
from hermetic.shape.codec import BYTES, KEYS, Carrier, Load, Rows, Values, travelling
from hermetic.shape.ways import bare, ordered_as
from hermetic.shape.wire import MULTIRANGES, NETWORK, RANGES, HasCodec, enum_values, loaded, time_of, wire_of

_MAX_ARGUMENTS = 100  # of any function: FUNC_MAX_ARGS in PostgreSQL's pg_config_manual.h
_EMPTY: ColumnElement[Any] = literal_column("'[]'::json")
_AS_IT_IS = (
    *(Integer, Boolean, String, Numeric, ExactDecimal, Uuid, DateTime, Date, Time, JSON, Json),
    *(*NETWORK, postgresql.MACADDR, postgresql.MACADDR8),
)


class PostgreSQL:
    """The building blocks of PostgreSQL 14 and later."""

    max_nesting: int | None = None
    max_ctes: int | None = None
    nests_cte = True

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        # asyncpg reads every type in binary form; psycopg reads text, which follows the session's settings
        self._reads_text = dialect.driver in ("psycopg", "psycopg_async")

    def native(self, column: ColumnElement[Any], kind: TypeEngine[Any], annotation: Any) -> Carrier:
        """Return how a root column travels on the driver path."""
        plain = travelling(kind, self.dialect)
        if plain is None or isinstance(plain, HasCodec):
            return Carrier(column, use_processor=True)
        kind = plain
        if isinstance(kind, (JSON, Json)):
            return self._as_json(column, kind, annotation)
        if isinstance(kind, ARRAY):
            return self._native_array(column, kind, annotation)
        if RANGES.get(type(kind), MULTIRANGES.get(type(kind))) in (datetime.datetime, datetime.date):
            return self._as_json(self.encode(column, kind, str(column)), kind, annotation)
        for is_kind, form, load in _AS_TEXT:
            if is_kind(kind):
                return Carrier(form(column), load)
        if self._reads_text and isinstance(kind, Float) and not kind.asdecimal:
            return Carrier(_all_digits(column))
        if isinstance(kind, NETWORK) and parse(annotation).type is str:
            return Carrier(_iso_text(column))
        if isinstance(kind, (ExactDecimal, Numeric)) and not isinstance(kind, Float) and _is_decimal(kind):
            return Carrier(column)
        return Carrier(column, use_processor=True)

    def _as_json(self, column: ColumnElement[Any], kind: TypeEngine[Any], annotation: Any) -> Carrier:
        return Carrier(cast(column, Text), loaded(wire_of(kind, annotation)))

    def _native_array(self, column: ColumnElement[Any], kind: ARRAY[Any], annotation: Any) -> Carrier:
        item, check = travelling(kind.item_type, self.dialect), _items_of(annotation)
        if self._reads_text and isinstance(item, BYTES):
            return Carrier(_pinned("bytea_output", "hex", column), check, use_processor=True)
        if self._reads_text and isinstance(item, Float):
            return Carrier(_all_digits(column), check, use_processor=True)
        is_bent = item is not None and any(is_kind(item) for is_kind, _, _ in _AS_TEXT)
        form = self._listed(column, kind, "") if is_bent else None
        if form is None:
            return Carrier(column, check, use_processor=True)
        return self._as_json(func.to_json(form), kind, annotation)

    def encode(self, column: ColumnElement[Any], kind: TypeEngine[Any], label: str) -> ColumnElement[Any]:
        """Return the JSON form of a column."""
        plain = travelling(kind, self.dialect)
        form = self._form(column, plain, label) if plain is not None else None
        if form is None:
            raise NoExactForm(label, repr(kind), "PostgreSQL")
        return form

    def _form(self, column: ColumnElement[Any], kind: TypeEngine[Any], label: str) -> ColumnElement[Any] | None:
        if isinstance(kind, HasCodec):
            return kind.shape_codec().to_json(column, self.dialect)
        if isinstance(kind, Enum):
            return _enum_value(column, kind)
        if isinstance(kind, BYTES):
            # encode() breaks lines at 76 characters, which no JSON decoder takes for base64
            return func.replace(
                func.encode(column, literal_column("'base64'")), literal_column("E'\\n'"), literal_column("''")
            )
        if _is_instant(kind):
            return _utc_text(column)
        if _is_duration(kind):
            return _duration_text(column)
        if isinstance(kind, Float):
            return None if kind.asdecimal else self._float(column, kind)
        if isinstance(kind, ARRAY):
            return self._listed(column, kind, label)
        if type(kind) in RANGES:
            return _range(column, kind)
        if type(kind) in MULTIRANGES:
            return _each(func.unnest(column), column, lambda item: _range(item, kind))
        if isinstance(kind, Uuid) and not kind.as_uuid and not kind.native_uuid:
            return cast(column, postgresql.UUID())  # stored as 32 digits, read with dashes
        return column if isinstance(kind, _AS_IT_IS) else None

    def _float(self, column: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
        # asyncpg widens the four bytes of a real, psycopg reads its shortest decimal; inside JSON as at the root
        wide = column if self._reads_text or isinstance(kind, Double) else cast(column, Double)
        minus_zero = and_(wide == literal_column("0"), cast(wide, Text) == literal_column("'-0'"))
        return case((minus_zero, func.to_json(literal_column("'-0'::text"))), else_=func.to_json(_all_digits(wide)))

    def _listed(self, column: ColumnElement[Any], kind: ARRAY[Any], label: str) -> ColumnElement[Any] | None:
        item = travelling(kind.item_type, self.dialect)
        if isinstance(item, _AS_IT_IS) and not isinstance(item, Enum) and not _is_instant(item):
            return column
        if item is None or (kind.dimensions or 1) > 1 or self._form(column, item, label) is None:
            return None
        listed = _each(func.unnest(column), column, lambda each: self.encode(each, item, label))
        # unnest would flatten a second dimension; as it is, it fits no list of plain items and is refused
        return case((func.array_ndims(column) > literal_column("1"), func.to_json(column)), else_=listed)

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
        """Return the JSON array of a collection, or the array of it and of the values beside it."""
        child = rows.alias()
        if rows.limit is None:
            listed = func.json_agg(rows.item(child)).aggregate_order_by(*rows.order_by(child))
            whole = self._beside(func.coalesce(listed, _EMPTY), rows.values, child)
            return rows.select(child, whole).scalar_subquery()
        if rows.values is not None:
            return self._first_beside(rows, rows.values)
        order_by = rows.order_by(child)
        sorts = [bare(each).label(f"hermetic_o{number}") for number, each in enumerate(order_by)]
        chosen = rows.select(child, *inspect(child).selectable.columns, *sorts)
        picked = chosen.order_by(*order_by).limit(rows.limit).subquery()
        child = rows.alias(picked)
        order = [ordered_as(each, picked.c[f"hermetic_o{number}"]) for number, each in enumerate(order_by)]
        listed = func.json_agg(rows.item(child)).aggregate_order_by(*order)
        return select(func.coalesce(listed, _EMPTY)).select_from(child).scalar_subquery()

    def _beside(self, listed: ColumnElement[Any], values: Values | None, child: Any) -> ColumnElement[Any]:
        return listed if values is None else self.array([listed, *values.encoded(values.arguments(child))])

    def _first_beside(self, rows: Rows, values: Values) -> ColumnElement[Any]:
        """Return the array of the first rows and of the values over all of them, which are numbered for it."""
        child = rows.alias()
        arguments = [each.label(f"hermetic_a{number}") for number, each in enumerate(values.arguments(child))]
        place = func.row_number().over(order_by=rows.order_by(child)).label("hermetic_n")
        placed = rows.select(child, *inspect(child).selectable.columns, *arguments, place).subquery()
        child = rows.alias(placed)
        listed = func.json_agg(rows.item(child)).aggregate_order_by(placed.c.hermetic_n)
        first = func.coalesce(listed.filter(placed.c.hermetic_n <= rows.limit), _EMPTY)
        encoded = values.encoded([placed.c[each.name] for each in arguments])
        return select(self.array([first, *encoded])).select_from(child).scalar_subquery()

    def grouped(
        self,
        source: Select[Any],
        keys: Sequence[ColumnElement[Any]],
        item: ColumnElement[Any],
        order_by: Sequence[ColumnElement[Any]],
    ) -> Select[Any]:
        """Return the JSON array `j` of the items of each key."""
        listed = func.json_agg(item).aggregate_order_by(*order_by).label("j")
        return source.with_only_columns(*keys, listed, maintain_column_froms=True).group_by(*keys)

    def filled(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a grouped column, empty where it is NULL."""
        return func.coalesce(json, _EMPTY)

    def among(
        self, columns: Sequence[ColumnElement[Any]], keys: Select[Any], *, is_indexed: bool
    ) -> ColumnElement[bool]:
        """Return the condition that the columns equal a row of `keys`."""
        if len(columns) > 1:
            return tuple_(*columns).in_(keys)
        if not is_indexed:
            return columns[0].in_(keys)
        # an array is looked up in the index, where IN (SELECT ...) joins, and often scans, the whole table
        return columns[0] == any_(func.array(keys.scalar_subquery()))

    def keys(self, kinds: Sequence[TypeEngine[Any]]) -> Any:
        """Return the rows of array parameters, one for each key column."""
        arrays = [bindparam(f"{KEYS}{number}", type_=ARRAY(kind)) for number, kind in enumerate(kinds)]
        names = [f"k{number}" for number in range(len(kinds))]
        return func.unnest(*arrays).table_valued(*names, with_ordinality="n").render_derived()

    def key_values(self, rows: Sequence[Sequence[Any]], width: int) -> dict[str, Any]:
        """Return the array parameters."""
        return {f"{KEYS}{number}": [row[number] for row in rows] for number in range(width)}


def _is_decimal(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, ExactDecimal) or (isinstance(kind, Numeric) and bool(kind.asdecimal))


def _is_instant(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, AwareDateTime) or (isinstance(kind, DateTime) and bool(kind.timezone))


def _is_duration(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, (ExactInterval, postgresql.INTERVAL)) or (isinstance(kind, Interval) and kind.native)


def _text(json: ColumnElement[Any]) -> ColumnElement[Any]:
    return json.op("#>>")(literal_column("'{}'"))


def _utc_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # to_json ignores DateStyle; to_char would lose "BC" and turn infinity into NULL
    return _text(func.to_json(func.timezone(literal_column("'UTC'"), column))).op("||")(literal_column("'Z'"))


def _iso_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return _text(func.to_json(column))


def _ordinal(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the day as Python counts days; 0, which is no day, for the infinities."""
    days = column.op("-")(literal_column("date '0001-01-01'")).op("+")(literal_column("1"))
    return case((func.isfinite(column), days), (column.is_not(None), literal_column("0")))


def _range(column: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any]:
    bounds: list[ColumnElement[Any]] = [func.lower(column), func.upper(column)]
    if isinstance(kind, (postgresql.TSTZRANGE, postgresql.TSTZMULTIRANGE)):
        bounds = [_utc_text(bound) for bound in bounds]
    parts = func.json_build_array(*bounds, func.lower_inc(column), func.upper_inc(column), func.isempty(column))
    return case((column.is_not(None), parts))


def _each(
    unnested: Any, column: ColumnElement[Any], form: Callable[[ColumnElement[Any]], ColumnElement[Any]]
) -> ColumnElement[Any]:
    """Return the JSON array of the items of `column`, in order; NULL for NULL."""
    elements = unnested.table_valued("e", with_ordinality="o", joins_implicitly=True).render_derived()
    listed = func.json_agg(form(elements.c.e)).aggregate_order_by(elements.c.o)
    values = select(func.coalesce(listed, _EMPTY)).select_from(elements).scalar_subquery()
    return case((column.is_not(None), values))


def _duration_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    seconds = extract("epoch", column)
    has_months = or_(extract("year", column) != literal_column("0"), extract("month", column) != literal_column("0"))
    return case(
        (has_months, literal_column("'a month has no length'")),  # drivers, and epoch, count 30 days and 365
        (seconds < literal_column("0"), literal_column("'-PT'").op("||")(-seconds).op("||")(literal_column("'S'"))),
        else_=literal_column("'PT'").op("||")(seconds).op("||")(literal_column("'S'")),
    )


def _all_digits(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return _pinned("extra_float_digits", "1", column)  # 0 would print 0.1 + 0.2 as 0.3


def _pinned(setting: str, value: str, column: ColumnElement[Any]) -> ColumnElement[Any]:
    # set for the transaction, once for each statement, before the value is printed: the session's own does not matter
    name: ColumnElement[str] = literal_column(f"'{setting}'")
    said: ColumnElement[str] = literal_column(f"'{value}'")
    pinned = select(func.set_config(name, said, literal_column("true"))).scalar_subquery()
    return case((pinned == said, column))


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


def _items_of(annotation: Any) -> Load:
    """Return what lets a list pass whose items the annotation allows, by their None and by their dimensions: arrays of
    PostgreSQL may have NULL anywhere and any number of dimensions.
    """
    said = parse(annotation)
    inside = get_args(said.type)[0] if get_args(said.type) else Any
    item = parse(inside)
    if item.type in (Any, object):
        return lambda items: items
    nested = _items_of(inside) if get_origin(item.type) in (list, tuple) else None

    def checked(items: Any) -> Any:
        if isinstance(items, str):  # of a type that psycopg does not know; its processor makes the items
            return items
        if None in items and not item.is_optional:
            raise ValueError("NULL in an array whose items have no None")
        if any(isinstance(each, (list, tuple)) is (nested is None) for each in items if each is not None):
            raise ValueError("an array of another number of dimensions")
        if nested is not None:
            for each in items:
                nested(each)
        return items

    return checked


def _duration(text: str) -> datetime.timedelta:
    return msgspec.convert(text, datetime.timedelta)


def _is(*kinds: type[TypeEngine[Any]]) -> Callable[[TypeEngine[Any]], bool]:
    return lambda kind: isinstance(kind, kinds)


# psycopg reads times as text that follows the session's settings, and fails on what Python cannot hold. asyncpg makes
# the first and the last day of Python's calendar of the infinities, and a timestamp slower than `fromisoformat` does
_AS_TEXT: tuple[tuple[Callable[[Any], bool], Callable[[Any], ColumnElement[Any]], Load], ...] = (
    (_is_instant, _utc_text, datetime.datetime.fromisoformat),
    (_is(DateTime), _iso_text, datetime.datetime.fromisoformat),
    (_is(Date), _ordinal, datetime.date.fromordinal),
    (_is(Time), _iso_text, time_of),
    (_is_duration, _duration_text, _duration),
)
