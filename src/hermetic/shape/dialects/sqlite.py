"""SQLite 3.40 and later: JSON forms for values that its JSON functions would bend, with two functions of our own.

SQLite up to 3.51 prints REAL inside JSON with 15 digits and refuses BLOBs; both go through functions that every
connection of hermetic registers (`register_functions`).
"""

from __future__ import annotations

import base64
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from sqlalchemy import (
    ColumnElement,
    Dialect,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    select,
    tuple_,
    type_coerce,
)
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import (
    JSON,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    Interval,
    Numeric,
    Time,
    TypeEngine,
    Uuid,
)

from hermetic.errors import NoExactForm
from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval, Json
from hermetic.shape.codec import BYTES, KEYS, Carrier, Rows, Values, travelling
from hermetic.shape.ways import selecting
from hermetic.shape.wire import HasCodec, enum_values, is_float, loaded, unwrap, wire_of

_MAX_ARGUMENTS = 100  # of any function: SQLITE_MAX_FUNCTION_ARG is 100 or 127 by default
_TEXT_OF_ANOTHER_KIND = "a value of another kind"  # no base64 and no number
_JSON_OF_ANOTHER_KIND = "{}"
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
    connection.create_function("hermetic_dec", 2, _decimal_text, deterministic=True)


# SQLite keeps any value in any column; what is of another kind goes through as it is, and the decoder refuses it


def _float_json(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)):
        return _JSON_OF_ANOTHER_KIND
    number = float(value)
    if math.isfinite(number):
        return repr(number)
    return '"Infinity"' if number > 0 else '"-Infinity"'


def _base64_text(value: object) -> str | None:
    if value is None:
        return None
    return base64.b64encode(value).decode() if isinstance(value, bytes) else _TEXT_OF_ANOTHER_KIND


def _decimal_text(value: object, scale: int) -> str | None:
    if value is None:
        return None
    return f"{value:.{scale}f}" if isinstance(value, (int, float)) else _TEXT_OF_ANOTHER_KIND


class SQLite:
    """The building blocks of SQLite."""

    # measured on 3.40: five nested collections are read, the sixth overflows the parser's stack of 100
    max_nesting: int | None = 10
    max_ctes: int | None = None
    nests_cte = False

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def native(self, column: ColumnElement[Any], kind: TypeEngine[Any], annotation: Any) -> Carrier:
        """Return how a root column travels on the driver path."""
        plain = travelling(kind, self.dialect)
        if isinstance(plain or kind, (JSON, Json)):
            return Carrier(type_coerce(column, String), loaded(wire_of(plain or kind, annotation)))
        return Carrier(column, use_processor=True, stored=_stored(plain))

    def encode(self, column: ColumnElement[Any], kind: TypeEngine[Any], label: str) -> ColumnElement[Any]:
        """Return the JSON form of a column."""
        plain = travelling(kind, self.dialect)
        form = self._form(column, plain) if plain is not None else None
        if form is None:
            raise NoExactForm(label, repr(kind), "SQLite")
        return form

    def _form(self, column: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any] | None:
        if isinstance(kind, HasCodec):
            return kind.shape_codec().to_json(column, self.dialect)
        if isinstance(kind, Enum):
            return _enum_value(column, kind)
        if isinstance(kind, AwareDateTime):
            return type_coerce(column, String).op("||")(literal_column("'+00:00'"))
        if isinstance(kind, ExactDecimal):
            return _scaled(column, kind.scale)
        if isinstance(kind, ExactInterval):
            return _scaled(type_coerce(column, Integer), 6, "PT{}S")
        if isinstance(kind, Interval):
            return _scaled(_since_epoch(type_coerce(column, String)), 6, "PT{}S")
        if isinstance(kind, (JSON, Json)):
            text = type_coerce(column, String)
            is_real = func.typeof(text) == literal_column("'real'")
            return func.json(case((is_real, func.hermetic_f64(text)), else_=text))
        if isinstance(kind, Boolean):
            truth = type_coerce(column, Integer)
            is_number = func.typeof(truth) == literal_column("'integer'")
            return func.json(
                case(
                    (truth == literal_column("0"), literal_column("'false'")),
                    (and_(truth.is_not(None), is_number), literal_column("'true'")),
                    (truth.is_not(None), literal_column(f"'{_JSON_OF_ANOTHER_KIND}'")),
                )
            )
        if isinstance(kind, BYTES):
            return func.hermetic_b64(column)
        if is_float(kind):
            return func.json(func.hermetic_f64(column))
        if isinstance(kind, Float):
            return None
        if isinstance(kind, Numeric):
            # REAL in storage: the digits that SQLAlchemy itself would make of it
            scale = kind.decimal_return_scale or kind.scale or _DEFAULT_SCALE
            return func.hermetic_dec(column, literal_column(str(scale)))
        if isinstance(kind, Uuid) and not kind.as_uuid:
            return _dashed(type_coerce(column, String))
        if isinstance(kind, (sqlite.DATETIME, sqlite.DATE, sqlite.TIME)):
            return None  # these are named for a format of their own, which no public name tells
        return column if isinstance(kind, (Integer, String, Uuid, DateTime, Date, Time)) else None

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
        """Return the JSON array of a collection, or the array of it and of the values beside it."""
        if rows.values is not None:
            return self._beside(rows, rows.values)
        child = rows.alias()
        chosen = (
            rows.select(child, rows.item(child).label("j")).order_by(*rows.order_by(child)).limit(rows.limit).subquery()
        )
        # json() again: a derived table loses the mark that its text is JSON
        return select(func.json_group_array(func.json(chosen.c.j))).scalar_subquery()

    def _beside(self, rows: Rows, values: Values) -> ColumnElement[Any]:
        child, order_by = (alias := rows.alias()), rows.order_by(alias)
        arguments = [each.label(f"a{number}") for number, each in enumerate(values.arguments(child))]
        place = [] if rows.limit is None else [func.row_number().over(order_by=order_by).label("n")]
        each = rows.select(child, rows.item(child).label("j"), *arguments, *place).order_by(*order_by).subquery()
        listed: Any = func.json_group_array(func.json(each.c.j))
        if rows.limit is not None:
            listed = listed.filter(each.c.n <= rows.limit)
        encoded = values.encoded([each.c[argument.name] for argument in arguments])
        return select(self.array([listed, *encoded])).scalar_subquery()

    def grouped(
        self,
        source: Select[Any],
        keys: Sequence[ColumnElement[Any]],
        item: ColumnElement[Any],
        order_by: Sequence[ColumnElement[Any]],
    ) -> Select[Any]:
        """Return the JSON array `j` of the items of each key; before 3.44 an aggregate takes rows as they come."""
        chosen = source.with_only_columns(*keys, item.label("j"), maintain_column_froms=True)
        rows = chosen.order_by(*keys, *order_by).subquery()
        names: list[Any] = [rows.c[f"k{number}"] for number in range(len(keys))]
        listed = [*names, func.json_group_array(func.json(rows.c.j)).label("j")]
        return selecting(listed).group_by(*names)

    def filled(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a grouped column, empty where it is NULL; json() again, as the column lost the mark."""
        return func.json(func.coalesce(json, literal_column("'[]'")))

    def among(
        self, columns: Sequence[ColumnElement[Any]], keys: Select[Any], *, is_indexed: bool
    ) -> ColumnElement[bool]:
        """Return the condition that the columns equal a row of `keys`."""
        return (tuple_(*columns) if len(columns) > 1 else columns[0]).in_(keys)

    def keys(self, kinds: Sequence[TypeEngine[Any]]) -> Any:
        """Return the rows of a JSON parameter: an array of keys, or of arrays where a key has several columns."""
        for kind in kinds:
            if isinstance(unwrap(kind), (*BYTES, Float, Numeric)):
                raise NoExactForm("a key", repr(kind), "SQLite")
        each = func.json_each(bindparam(f"{KEYS}0", type_=String())).table_valued("key", "value", joins_implicitly=True)
        values: list[ColumnElement[Any]] = [each.c.value]
        if len(kinds) > 1:
            values = [func.json_extract(each.c.value, literal_column(f"'$[{n}]'")) for n in range(len(kinds))]
        columns = [value.label(f"k{number}") for number, value in enumerate(values)]
        return select((each.c.key + literal_column("1")).label("n"), *columns).subquery()

    def key_values(self, rows: Sequence[Sequence[Any]], width: int) -> dict[str, Any]:
        """Return the JSON parameter."""
        keys = [list(row) for row in rows] if width > 1 else [row[0] for row in rows]
        return {f"{KEYS}0": msgspec.json.encode(keys).decode()}

    def text(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a JSON value as text; SQLite's JSON is text."""
        return json


def _stored(kind: TypeEngine[Any] | None) -> frozenset[type] | None:
    """Return the Python types of the values that a column of this type should hold, or None where that is not known."""
    if kind is None or isinstance(kind, HasCodec):
        return None
    return next((frozenset([*found, type(None)]) for kinds, found in _STORED if isinstance(kind, kinds)), None)


# an Enum is a String, an Interval is stored as a DateTime
_STORED: tuple[tuple[Any, tuple[type, ...]], ...] = (
    ((Boolean, Integer, ExactDecimal, ExactInterval), (int,)),
    ((Float, Numeric), (int, float)),
    ((String, DateTime, Date, Time, Interval, AwareDateTime, Uuid), (str,)),
    (BYTES, (bytes,)),
)


def _since_epoch(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the microseconds from SQLAlchemy's epoch to a stored datetime, by which it stores an interval."""
    seconds = func.unixepoch(func.substr(text, literal_column("1"), literal_column("19")))
    fraction = sql_cast(func.substr(text, literal_column("21"), literal_column("6")), Integer)
    return seconds.op("*")(literal_column("1000000")).op("+")(fraction)


def _dashed(text: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the canonical form of a UUID that is stored as 32 digits."""
    digits = func.lower(func.replace(text, literal_column("'-'"), literal_column("''")))
    parts = [
        func.substr(digits, literal_column(str(start)), literal_column(str(length)))
        for start, length in ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    ]
    return functools.reduce(lambda left, right: left.op("||")(literal_column("'-'")).op("||")(right), parts)


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
