"""SQLite 3.40 and later: JSON forms for values that its JSON functions would bend, with two functions of our own.

SQLite up to 3.51 prints REAL inside JSON with 15 digits and refuses BLOBs; both go through functions that every
connection of hermetic registers (`register_functions`).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable
from typing import Any, Protocol

import msgspec
from sqlalchemy import ColumnElement, Dialect, Integer, String, case, func, literal, literal_column, select, type_coerce
from sqlalchemy.types import JSON, Boolean, Enum, Float, Interval, Numeric, TypeDecorator, TypeEngine, Uuid

from hermetic.errors import NoExactForm
from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval, Json
from hermetic.shape.codec import BYTES, Carrier, Rows, enum_values, unwrap

_MAX_ARGUMENTS = 100  # of any function: SQLITE_MAX_FUNCTION_ARG is 100 or 127 by default
_DEFAULT_SCALE = 10  # of SQLAlchemy, for a Numeric that states none


class Connection(Protocol):
    """What `register_functions` needs of a driver connection."""

    def create_function(self, name: str, narg: int, func: Callable[..., Any], *, deterministic: bool = False) -> object:
        """Register a function for SQL."""
        ...


def register_functions(connection: Connection) -> None:
    """Register the functions that shapes use on SQLite; once for each connection."""
    connection.create_function("hermetic_f64", 1, _float_json, deterministic=True)
    connection.create_function("hermetic_b64", 1, _base64_text, deterministic=True)


def _float_json(value: float | None) -> str | None:
    if value is None:
        return None
    number = float(value)
    if math.isfinite(number):
        return repr(number)
    return '"Infinity"' if number > 0 else '"-Infinity"'


def _base64_text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


class SQLite:
    """The building blocks of SQLite."""

    # measured on 3.40: five nested collections are read, the sixth overflows the parser's stack of 100
    max_nesting: int | None = 10

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def native(self, column: ColumnElement[Any], kind: TypeEngine[Any], annotation: Any) -> Carrier:
        """Return how a root column travels on the driver path."""
        if isinstance(unwrap(kind), (JSON, Json)):
            return Carrier(type_coerce(column, String), msgspec.json.Decoder(annotation).decode)
        return Carrier(column, use_processor=True)

    def encode(self, column: ColumnElement[Any], kind: TypeEngine[Any], label: str) -> ColumnElement[Any]:
        """Return the JSON form of a column."""
        kind = unwrap(kind)
        if isinstance(kind, Enum):
            return _enum_value(column, kind)
        if isinstance(kind, AwareDateTime):
            return type_coerce(column, String).op("||")(literal_column("'+00:00'"))
        if isinstance(kind, ExactDecimal):
            return _scaled(column, kind.scale)
        if isinstance(kind, ExactInterval):
            return _scaled(column, 6, "PT{}S")
        if isinstance(kind, (JSON, Json)):
            return func.json(type_coerce(column, String))
        if isinstance(kind, Boolean):
            truth = type_coerce(column, Integer)
            return func.json(
                case(
                    (truth == literal_column("1"), literal_column("'true'")),
                    (truth == literal_column("0"), literal_column("'false'")),
                )
            )
        if isinstance(kind, BYTES):
            return func.hermetic_b64(column)
        if isinstance(kind, Float) or (isinstance(kind, Numeric) and not kind.asdecimal):
            return func.json(func.hermetic_f64(column))
        if isinstance(kind, Numeric):
            # REAL in storage: the digits that SQLAlchemy itself would make of it
            form = f"'%.{kind.decimal_return_scale or kind.scale or _DEFAULT_SCALE}f'"
            return case((column.is_not(None), func.printf(literal_column(form), column)))
        if (
            isinstance(kind, Interval)
            or (isinstance(kind, Uuid) and not kind.as_uuid)
            or isinstance(kind, TypeDecorator)
        ):
            raise NoExactForm(label, repr(kind), "SQLite")
        return column

    def array(self, items: list[ColumnElement[Any]]) -> ColumnElement[Any]:
        """Return the JSON array of `items`."""
        if len(items) <= _MAX_ARGUMENTS:
            return func.json_array(*items)
        # without the bracket at the end: substr(x, -1, -n) is the n characters before the last; then without the first
        head = func.substr(
            func.json_array(*items[:_MAX_ARGUMENTS]), literal_column("-1"), literal_column("-2147483647")
        )
        tail = func.substr(self.array(items[_MAX_ARGUMENTS:]), literal_column("2"))
        return func.json(head.op("||")(literal_column("','")).op("||")(tail))

    def children(self, rows: Rows) -> ColumnElement[Any]:
        """Return the JSON array of a collection; empty, never NULL."""
        child = rows.alias()
        chosen = (
            rows.select(child, rows.item(child).label("j")).order_by(*rows.order_by(child)).limit(rows.limit).subquery()
        )
        # json() again: a derived table loses the mark that its text is JSON
        return select(func.json_group_array(func.json(chosen.c.j))).scalar_subquery()

    def text(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a JSON value as text; SQLite's JSON is text."""
        return json


def _scaled(column: ColumnElement[Any], scale: int, form: str = "{}") -> ColumnElement[Any]:
    """Return the decimal text of an integer that counts units of 10**-scale."""
    number = type_coerce(column, Integer)
    sign = case((number < literal_column("0"), literal_column("'-'")), else_=literal_column("''"))
    unit: ColumnElement[Any] = literal_column(str(10**scale))
    whole = func.abs(number.op("/")(unit))
    if scale == 0:
        digits: ColumnElement[Any] = func.printf(literal_column("'" + form.format("%s%d") + "'"), sign, whole)
    else:
        pattern = "'" + form.format(f"%d.%0{scale}d") + "'"
        digits = sign.op("||")(func.printf(literal_column(pattern), whole, func.abs(number.op("%")(unit))))
    return case((column.is_not(None), digits))


def _enum_value(column: ColumnElement[Any], kind: Enum) -> ColumnElement[Any]:
    values = enum_values(kind)
    if values is None:
        return column
    label = type_coerce(column, String)
    # a label that no member has stays as it is: the decoder then names it
    return case(
        *((label == stored, type_coerce(literal(value), String)) for stored, value in values.items()), else_=label
    )
