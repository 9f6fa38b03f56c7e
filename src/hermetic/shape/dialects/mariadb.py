"""MariaDB 10.11 and later: JSON forms for values that its JSON functions would bend, and collections that order and
limit themselves inside the aggregate.

MariaDB cuts an aggregate that grows beyond `group_concat_max_len` or `max_allowed_packet` and only warns; whoever
sends these statements looks at the warnings (`hermetic.engine`). Source: MariaDB documentation, "JSON_ARRAYAGG",
"CONVERT" and "SHOW WARNINGS"; each form is checked on 10.11.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Dialect,
    Double,
    Integer,
    Numeric,
    Select,
    String,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    tuple_,
    type_coerce,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import (
    JSON,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    Interval,
    Time,
    TypeEngine,
    Uuid,
)

from hermetic.errors import NoExactForm
from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval, Json
from hermetic.shape.codec import BYTES, KEYS, Carrier, Load, Rows, travelling
from hermetic.shape.wire import HasCodec, enum_values, loaded, unwrap, wire_of

_MIDNIGHT = datetime.datetime(1, 1, 1)  # noqa: DTZ001  # only its time of day is used, which has no zone
_AS_IT_IS = (Integer, Numeric, ExactDecimal, DateTime, Date, Time, mysql.YEAR)
_ZERO: ColumnElement[Any] = literal_column("0")


class Utf8(FunctionElement[str]):
    """A text in the character set and the collation of JSON documents.

    JSON_ARRAY refuses columns of different collations side by side, and would repeat the bytes of other character sets.
    """

    inherit_cache = True
    type = String()


class Limited(FunctionElement[Any]):
    """An aggregate over the first rows of its own order: its `LIMIT` stands inside, since a derived table could not see
    the row of the parent.
    """

    inherit_cache = True


@compiles(Utf8)
def _utf8(element: Utf8, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CONVERT({compiler.process(element.clauses, **kw)} USING utf8mb4) COLLATE utf8mb4_bin"


@compiles(Limited)
def _limited(element: Limited, compiler: SQLCompiler, **kw: Any) -> str:
    aggregate, limit = (compiler.process(each, **kw) for each in element.clauses)
    return f"{aggregate.removesuffix(')')} LIMIT {limit})"


class MariaDB:
    """The building blocks of MariaDB 10.11 and later."""

    # measured on 10.11: 63 selects inside one another; a collection is one of them, and counts two
    max_nesting: int | None = 62
    max_ctes: int | None = 64
    nests_cte = False  # 10.11 does not see the CTEs around it

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect

    def native(self, column: ColumnElement[Any], kind: TypeEngine[Any], annotation: Any) -> Carrier:
        """Return how a root column travels on the driver path."""
        kind = travelling(kind, self.dialect) or kind
        if isinstance(kind, HasCodec):
            return Carrier(column, use_processor=True)
        if isinstance(kind, (JSON, Json)):
            return Carrier(type_coerce(column, String), loaded(wire_of(kind, annotation)))
        if isinstance(kind, AwareDateTime):
            return Carrier(column, _instant)
        if isinstance(kind, (DateTime, Date)):
            return Carrier(column, _only(datetime.datetime if isinstance(kind, DateTime) else datetime.date))
        if isinstance(kind, Time):
            return Carrier(column, _time_of_day)
        if _is_single(kind):
            return Carrier(_widened(column))
        return Carrier(column, use_processor=True)

    def encode(self, column: ColumnElement[Any], kind: TypeEngine[Any], label: str) -> ColumnElement[Any]:
        """Return the JSON form of a column."""
        plain = travelling(kind, self.dialect)
        form = self._form(column, plain) if plain is not None else None
        if form is None:
            raise NoExactForm(label, repr(kind), "MariaDB")
        return form

    def _form(self, column: ColumnElement[Any], kind: TypeEngine[Any]) -> ColumnElement[Any] | None:
        if isinstance(kind, HasCodec):
            return kind.shape_codec().to_json(column, self.dialect)
        if isinstance(kind, Enum):
            return _enum_value(column, kind)
        if isinstance(kind, mysql.SET):
            return _set_list(column)
        if isinstance(kind, AwareDateTime):
            return func.concat(type_coerce(column, String), literal_column("'Z'"))
        if isinstance(kind, ExactInterval):
            return _duration_text(column)
        if isinstance(kind, (JSON, Json)):
            return _document(column)
        if isinstance(kind, Boolean):
            return type_coerce(column, Integer).op("<>")(_ZERO)
        if isinstance(kind, mysql.BIT):
            return type_coerce(column, Integer).op("+")(_ZERO)
        if isinstance(kind, BYTES):
            # to_base64() breaks lines at 76 characters, which no JSON decoder takes for base64
            return func.replace(func.to_base64(column), literal_column("CHAR(10)"), literal_column("''"))
        if isinstance(kind, Float):
            return _number(_widened(column) if _is_single(kind) else column)
        if isinstance(kind, Interval):
            return _duration_text(_since_epoch(column))
        if isinstance(kind, Uuid) and not kind.as_uuid and not kind.native_uuid:
            return None
        if isinstance(kind, (String, Uuid)):
            return Utf8(column)
        return column if isinstance(kind, _AS_IT_IS) else None

    def array(self, items: list[ColumnElement[Any]]) -> ColumnElement[Any]:
        """Return the JSON array of `items`."""
        return func.json_array(*items)

    def children(self, rows: Rows) -> ColumnElement[Any]:
        """Return the JSON array of a collection, or the array of it and of the values beside it."""
        child = rows.alias()
        listed: ColumnElement[Any] = func.json_arrayagg(rows.item(child)).aggregate_order_by(*rows.order_by(child))
        if rows.limit is not None:
            listed = Limited(listed, literal(rows.limit, Integer()))
        # json_array() and not '[]', which would become a text inside the document
        whole: ColumnElement[Any] = func.coalesce(listed, func.json_array())
        if rows.values is not None:
            whole = self.array([whole, *rows.values.encoded(rows.values.arguments(child))])
        return rows.select(child, whole).scalar_subquery()

    def grouped(
        self,
        source: Select[Any],
        keys: Sequence[ColumnElement[Any]],
        item: ColumnElement[Any],
        order_by: Sequence[ColumnElement[Any]],
    ) -> Select[Any]:
        """Return the JSON array `j` of the items of each key."""
        listed = func.json_arrayagg(item).aggregate_order_by(*order_by).label("j")
        return source.with_only_columns(*keys, listed, maintain_column_froms=True).group_by(*keys)

    def filled(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a grouped column, empty where it is NULL."""
        return func.coalesce(json, func.json_array())

    def among(
        self, columns: Sequence[ColumnElement[Any]], keys: Select[Any], *, is_indexed: bool
    ) -> ColumnElement[bool]:
        """Return the condition that the columns equal a row of `keys`."""
        return (tuple_(*columns) if len(columns) > 1 else columns[0]).in_(keys)

    def keys(self, kinds: Sequence[TypeEngine[Any]]) -> Any:
        """Return the rows of a JSON parameter: an array of arrays, of whole numbers and UUIDs."""
        names = [f"k{number}" for number in range(len(kinds))]
        forms = [f"k{number} {_key_type(kind)} PATH '$[{number}]'" for number, kind in enumerate(kinds)]
        columns = ", ".join(forms)
        listed: ColumnElement[Any] = literal_column(f"'$[*]' COLUMNS (n FOR ORDINALITY, {columns})")
        return func.json_table(bindparam(f"{KEYS}0", type_=String()), listed).table_valued("n", *names)

    def key_values(self, rows: Sequence[Sequence[Any]], width: int) -> dict[str, Any]:
        """Return the JSON parameter."""
        return {f"{KEYS}0": msgspec.json.encode([list(row) for row in rows]).decode()}

    def text(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a JSON value as text; MariaDB's JSON is text."""
        return json


def _key_type(kind: TypeEngine[Any]) -> str:
    key = unwrap(kind)
    if isinstance(key, Integer):
        return "BIGINT UNSIGNED" if getattr(key, "unsigned", False) else "BIGINT"
    if isinstance(key, Uuid) and key.native_uuid:
        return "CHAR(36)"  # compared as UUID, through the index
    # a text would have to be compared in the collation of its column, which only the server knows
    raise NoExactForm("a key", repr(kind), "MariaDB")


def _is_single(kind: TypeEngine[Any]) -> bool:
    """Return whether a column is of 24 binary digits, of which MariaDB prints six decimal ones."""
    return isinstance(kind, (Float, mysql.FLOAT)) and not isinstance(kind, (Double, mysql.DOUBLE, mysql.REAL))


def _widened(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return type_coerce(column, Double()).op("+")(literal_column("0e0"))


def _number(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # MariaDB reserves 22 characters for a double, prints up to 34 (as 0.0000000023523573848418126), and cuts the end of
    # the array around it where an aggregate is ordered, without a warning: as a text it has room
    return func.json_compact(Utf8(cast(column, mysql.CHAR(40))))


def _duration_text(column: ColumnElement[Any]) -> ColumnElement[Any]:
    microseconds = cast(type_coerce(column, Integer), Numeric(26, 6))
    seconds = cast(func.abs(microseconds) / literal_column("1000000"), Numeric(26, 6))
    sign = case((microseconds < _ZERO, literal_column("'-PT'")), else_=literal_column("'PT'"))
    return func.concat(sign, seconds, literal_column("'S'"))


def _since_epoch(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the microseconds from SQLAlchemy's epoch to a stored datetime, by which it stores an interval."""
    return func.timestampdiff(literal_column("MICROSECOND"), literal_column("'1970-01-01'"), column)


def _document(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # json_compact() marks a text as JSON, which a column lacks that was made as LONGTEXT, and looks at nothing: what is
    # no JSON would become several elements of the array around it, so something that none can decode takes its place
    text = Utf8(type_coerce(column, String))
    return func.json_compact(case((func.json_valid(text) == _ZERO, literal_column("'!'")), else_=text))


def _set_list(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # no member of a SET holds a comma
    text = Utf8(type_coerce(column, String))
    quoted = func.replace(func.json_quote(text), literal_column("','"), literal_column("""'","'"""))
    listed = func.json_compact(func.concat(literal_column("'['"), quoted, literal_column("']'")))
    return case((text == literal_column("''"), func.json_array()), else_=listed)


def _enum_value(column: ColumnElement[Any], kind: Enum) -> ColumnElement[Any]:
    label = Utf8(type_coerce(column, String))
    values = enum_values(kind)
    if values is None:
        return label
    documents = ((label == stored, literal(msgspec.json.encode(value).decode())) for stored, value in values.items())
    # a label that no member has stays as it is: the decoder then names it
    return func.json_compact(Utf8(case(*documents, else_=func.json_quote(label))))


def _instant(value: Any) -> datetime.datetime:
    instant: datetime.datetime = _checked(value, datetime.datetime)
    return instant.replace(tzinfo=datetime.UTC)


def _only(expected: type[Any]) -> Load:
    return lambda value: _checked(value, expected)


def _checked(value: Any, expected: type[Any]) -> Any:
    # drivers hand over as text what Python cannot hold, such as the day 0000-00-00
    if isinstance(value, expected):
        return value
    raise ValueError(f"a date of {type(value).__name__} is none that Python's {expected.__name__} can hold")


def _time_of_day(value: Any) -> datetime.time:
    # SQLAlchemy itself would drop the days of a TIME beyond one day, and the sign of a negative one
    if isinstance(value, datetime.timedelta) and value.days == 0:
        return (_MIDNIGHT + value).time()
    raise ValueError("a TIME below 0 or of 24 hours and more is no time of day")
