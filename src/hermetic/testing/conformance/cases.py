"""The column types of each database, with values at the edges of them."""

from __future__ import annotations

import datetime
import enum
import ipaddress
import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy import (
    ARRAY,
    CHAR,
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Double,
    Enum,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Text,
    Time,
    Uuid,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.dialects.postgresql.ranges import MultiRange
from sqlalchemy.types import TypeEngine

from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval, Json, enum_by_value
from hermetic.shape import CalendarInterval, Span


@dataclass(frozen=True)
class Case:
    """A column type and values at its edges; NULL is always added.

    Args:
        name: shown in the report.
        type: the column type; a type of your own is checked through its `shape_codec`.
        annotation: what the field is annotated with, without None.
        values: written by plain SQLAlchemy, and compared with what plain SQLAlchemy reads.
        unreadable: SQL expressions of values that Python cannot hold; each path must raise `ValueMismatch`.
    """

    name: str
    type: TypeEngine[Any]
    annotation: Any
    values: Sequence[Any] = ()
    unreadable: Sequence[str] = field(default=())


class Color(enum.Enum):
    """An enum whose names and values differ, with the member that a lax decoder loses."""

    RED = "red"
    NULL = "null"
    ODD = "it's \U0001f600"


class Level(enum.IntEnum):
    """Whole numbers."""

    LOW = 1
    HIGH = 2


class Corner(enum.Enum):
    """Values that no JSON has."""

    TOP = (0, 1)
    LOW = (1, 0)


class Document(msgspec.Struct, frozen=True):
    """A typed document."""

    amount: Decimal
    at: datetime.datetime
    big: int
    raw: bytes


def _at(year: int, month: int, day: int, *, clock: datetime.time = datetime.time.min) -> datetime.datetime:
    return datetime.datetime.combine(datetime.date(year, month, day), clock)


_TEXTS = ["", " ", "null", "\"'\\/%:{}[]", "é 😀 𝄞 \u2028\u2029\ufeff", "".join(map(chr, range(1, 32))), "x" * 10_000]
_BYTES = [b"", b"\x00", bytes(range(256)), b"\xff" * 100, b"\\x00", b"x" * 10_000]
_FLOATS = [
    0.0,
    0.1 + 0.2,
    1 / 3,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -1e22,
    123456789.12345678,
    2.3523573848418126e-09,
]
_NOT_FINITE = [math.inf, -math.inf]
_UTC = datetime.UTC
_FIRST, _LAST = _at(1, 1, 2), _at(9999, 12, 30, clock=datetime.time.max)
_NOON = _at(2030, 1, 2, clock=datetime.time(10, 11, 12, 123456))
_INSTANTS = [each.replace(tzinfo=_UTC) for each in (_FIRST, _NOON, _at(1900, 1, 1), _LAST)]
_DATES = [datetime.date(1, 1, 2), datetime.date(2000, 2, 29), datetime.date(9999, 12, 30)]
_TIMES = [datetime.time(0), datetime.time(23, 59, 59, 999999), datetime.time(1, 2, 3)]
_DURATION = datetime.timedelta
_SPANS = [_DURATION(0), _DURATION(microseconds=-1), _DURATION(days=-400, microseconds=1), _DURATION(days=100_000)]
_CALENDAR = [
    Span(),
    Span(1, 2, 3),
    Span(-13, 400, -1),
    Span(12, -1, 86_400_000_000),
    Span(2**31 - 1, 2**31 - 1, 2**63 - 1),
    Span(-(2**31) + 1, -(2**31) + 1, -(2**63) + 1),
]
_MONTHS = [f"interval '{text}'" for text in ("1 month", "1 year", "-1 month 30 days")]
_IDS = [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID("12345678-1234-5678-1234-567812345678")]
_DOCUMENTS = [{}, [], "", "null", 0, -1.5, True, {"a": {"é😀\u2028": [1, 2.5, None]}}, [2**63 - 1], {"n": None}]
_DOCUMENT = Document(Decimal("1.10"), _INSTANTS[1], 2**63 - 1, b"\x00\xff")


def cases_for(dialect: str) -> list[Case]:
    """Return the cases of a database by the name of its SQLAlchemy dialect; no driver is asked for what it lacks."""
    own = {"postgresql": _postgresql, "mysql": _mariadb, "mariadb": _mariadb, "sqlite": _sqlite}
    return [*_everywhere(), *own.get(dialect, list[Case])()]


def _everywhere() -> list[Case]:
    return [
        Case("smallint", SmallInteger(), int, [0, -(2**15), 2**15 - 1]),
        Case("integer", Integer(), int, [0, -(2**31), 2**31 - 1]),
        Case("bigint", BigInteger(), int, [0, 2**53 + 1, -(2**63), 2**63 - 1]),
        Case("boolean", Boolean(), bool, [True, False]),
        Case("text", Text(), str, _TEXTS),
        Case("varchar", String(20), str, ["", "é😀", "null"]),
        Case("double", Double(), float, _FLOATS),
        Case("numeric(18,4) of a model", ExactDecimal(18, 4), Decimal, [Decimal("-12345678901234.0001"), Decimal("0")]),
        Case("bytes", LargeBinary(), bytes, _BYTES),
        Case("uuid", Uuid(), uuid.UUID, _IDS),
        Case("uuid as text", Uuid(as_uuid=False), str, [str(each) for each in _IDS]),
        Case("enum by value", enum_by_value(Color), Color, list(Color)),
        Case("enum by name", Enum(Color, native_enum=False, length=20), Color, list(Color)),
        Case("enum of numbers", Enum(Level, native_enum=False, length=20), Level, list(Level)),
        Case("enum of tuples", Enum(Corner, native_enum=False, length=20), Corner, list(Corner)),
        Case("date", Date(), datetime.date, _DATES),
        Case("time", Time(), datetime.time, _TIMES),
        Case("datetime", DateTime(), datetime.datetime, [_FIRST, _NOON, _LAST]),
        Case("instant of a model", AwareDateTime(), datetime.datetime, _INSTANTS),
        Case("duration of a model", ExactInterval(), _DURATION, _SPANS),
        Case("interval", Interval(), _DURATION, _SPANS),
        Case("json", JSON(none_as_null=True), Any, _DOCUMENTS),
        Case("json of a struct", Json(Document), Document, [_DOCUMENT]),
        Case("json of a list", Json(list[Decimal]), list[Decimal], [[], [Decimal("0.10"), Decimal("1e-30")]]),
    ]


def _sqlite() -> list[Case]:
    return [
        Case("double, not finite", Double(), float, _NOT_FINITE),
        Case("real", REAL(), float, _FLOATS),
        Case("numeric as float", Numeric(asdecimal=False), float, _FLOATS),
        Case("numeric in REAL", Numeric(18, 4), Decimal, [Decimal("0.1"), Decimal("123456789.1235"), Decimal("-0.5")]),
        Case("numeric in REAL, no scale", Numeric(), Decimal, [Decimal("1234567890.1234567"), Decimal("1e15")]),
        Case("text with NUL", Text(), str, ["a\x00b"]),
    ]


def _mariadb() -> list[Case]:
    digits = Decimal("-12345678901234567890123456789012345.000000000000000000000000000001")
    return [
        Case("bit(9)", mysql.BIT(9), int, [0, 1, 385, 511]),
        Case("set", mysql.SET("a", 'c "d" \\', "é"), set[str], [set(), {"a"}, {"a", 'c "d" \\', "é"}]),
        Case("native enum", mysql.ENUM("on", "off", "null"), str, ["on", "null"]),
        Case("bigint unsigned", mysql.BIGINT(unsigned=True), int, [0, 2**64 - 1]),
        Case("year", mysql.YEAR(), int, [1901, 2155]),
        Case("decimal(65, 30)", mysql.DECIMAL(65, 30), Decimal, [digits, Decimal("1.10")]),
        Case("float", mysql.FLOAT(), float, [0.5, -1.25]),  # of more digits, SQLAlchemy itself reads six
        Case("latin1 text", mysql.VARCHAR(20, charset="latin1"), str, ["", "é ÿ"]),
        Case("text of another collation", mysql.VARCHAR(20, collation="utf8mb4_unicode_ci"), str, ["É😀"]),
        Case("longtext", mysql.LONGTEXT(), str, _TEXTS),
        Case("binary(4)", mysql.BINARY(4), bytes, [bytes(4), b"\x00\xff\x01 "]),
        Case("varbinary", mysql.VARBINARY(300), bytes, [b"", bytes(range(256))]),
        Case("uuid in char(32)", Uuid(native_uuid=False), uuid.UUID, _IDS),
        Case("datetime(6)", mysql.DATETIME(fsp=6), datetime.datetime, [_FIRST, _NOON, _LAST]),
        Case("time(6)", mysql.TIME(fsp=6), datetime.time, _TIMES),
        Case("time beyond Python", mysql.TIME(fsp=6), datetime.time, [], ["'24:00:00'", "'-00:00:01'", "'838:59:59'"]),
    ]


def _postgresql() -> list[Case]:
    return [
        *_postgresql_numbers(),
        *_postgresql_times(),
        *_postgresql_arrays(),
        *_postgresql_ranges(),
        *_postgresql_rest(),
    ]


def _postgresql_numbers() -> list[Case]:
    wide = [Decimal("933765389713366787.1000"), Decimal("1." + "3" * 400), Decimal("-1e100"), Decimal("0E-20")]
    return [
        Case("numeric", Numeric(), Decimal, [*wide, Decimal("NaN")]),
        Case("numeric, infinite", Numeric(), Decimal, [Decimal("Infinity"), Decimal("-Infinity")]),
        Case("numeric(18,4)", Numeric(18, 4), Decimal, [Decimal("1.1000"), Decimal("-12345678901234.0001")]),
        Case("numeric as float", Numeric(asdecimal=False), float, [0.5, 0.1, -1e22]),
        Case("double, not finite", Double(), float, [*_NOT_FINITE, math.nan, -0.0]),
        Case("real", REAL(), float, [0.0, -0.0, 0.1, 3.4028234663852886e38, 1e-45, math.inf, math.nan]),
    ]


def _postgresql_times() -> list[Case]:
    zones = [datetime.timezone(_DURATION(minutes=minutes)) for minutes in (0, 330, -719)]

    def beyond(kind: str) -> list[str]:
        return [f"{kind} '{text}'" for text in ("infinity", "-infinity", "0044-03-15 BC", "12000-01-01")]

    return [
        Case("timestamptz", DateTime(timezone=True), datetime.datetime, _INSTANTS),
        Case("timetz", Time(timezone=True), datetime.time, [datetime.time(10, 11, 12, 5, zone) for zone in zones]),
        Case("interval of PostgreSQL", postgresql.INTERVAL(), _DURATION, _SPANS),
        Case("interval with months", CalendarInterval(), Span, _CALENDAR),
        Case("interval with months, as a timedelta", Interval(), _DURATION, unreadable=_MONTHS),
        Case("interval of a model with months", ExactInterval(), _DURATION, unreadable=_MONTHS),
        Case("date beyond Python", Date(), datetime.date, unreadable=beyond("date")),
        Case("datetime beyond Python", DateTime(), datetime.datetime, unreadable=beyond("timestamp")),
        Case("instant beyond Python", AwareDateTime(), datetime.datetime, unreadable=beyond("timestamptz")),
        Case("time 24:00", Time(), datetime.time, unreadable=["time '24:00'"]),
        Case("interval beyond Python", Interval(), _DURATION, unreadable=["interval '3000000 years'"]),
    ]


def _postgresql_arrays() -> list[Case]:
    def array(name: str, kind: TypeEngine[Any], annotation: Any, items: Sequence[Any]) -> Case:
        return Case(f"{name}[]", ARRAY(kind), list[annotation | None], [[], list(items), [None, items[0]]])

    return [
        array("bigint", BigInteger(), int, [2**63 - 1, -(2**63)]),
        array("text", Text(), str, _TEXTS),
        array("boolean", Boolean(), bool, [True, False]),
        array("numeric", Numeric(), Decimal, [Decimal("1.10"), Decimal("NaN")]),
        array("double", Double(), float, [*_FLOATS, *_NOT_FINITE, math.nan, -0.0]),
        array("bytea", LargeBinary(), bytes, _BYTES),
        array("uuid", Uuid(), uuid.UUID, _IDS),
        array("date", Date(), datetime.date, _DATES),
        array("time", Time(), datetime.time, _TIMES),
        array("timestamp", DateTime(), datetime.datetime, [_FIRST, _NOON, _LAST]),
        array("timestamptz", DateTime(timezone=True), datetime.datetime, _INSTANTS),
        array("interval", Interval(), _DURATION, _SPANS),
        array("enum by name", Enum(Color, native_enum=False, length=20), Color, list(Color)),
        array("jsonb", postgresql.JSONB(), dict[str, int], [{"a": 1}, {}]),
        Case("bigint[][]", ARRAY(BigInteger(), dimensions=2), list[list[int]], [[[1, 2], [3, 2**63 - 1]], []]),
        Case("bytea[][]", ARRAY(LargeBinary(), dimensions=2), list[list[bytes]], [[[b"\x00"], [b"\xff"]]]),
    ]


def _postgresql_ranges() -> list[Case]:
    def ranges(name: str, kind: Any, many: Any, bound: Any, low: Any, high: Any) -> list[Case]:
        values: list[Range[Any]] = [
            *(Range(low, high), Range(low, high, bounds="[]"), Range(low, high, bounds="()")),
            *(Range(None, high, bounds="()"), Range(low, None), Range(None, None, bounds="()")),
            Range(None, None, empty=True),
        ]
        multi = [MultiRange([]), MultiRange([Range(low, high)]), MultiRange([Range(None, low, bounds="()"), values[4]])]
        return [
            Case(name, kind, Range[bound], values),
            Case(name.replace("range", "multirange"), many, MultiRange[bound], multi),
        ]

    decimals, days = (Decimal("1.10"), Decimal("2.5")), (_DATES[1], _DATES[2])
    return [
        *ranges("int4range", postgresql.INT4RANGE(), postgresql.INT4MULTIRANGE(), int, 1, 2**31 - 2),
        *ranges("int8range", postgresql.INT8RANGE(), postgresql.INT8MULTIRANGE(), int, 1, 2**63 - 2),
        *ranges("numrange", postgresql.NUMRANGE(), postgresql.NUMMULTIRANGE(), Decimal, *decimals),
        *ranges("daterange", postgresql.DATERANGE(), postgresql.DATEMULTIRANGE(), datetime.date, *days),
        *ranges("tsrange", postgresql.TSRANGE(), postgresql.TSMULTIRANGE(), datetime.datetime, _NOON, _LAST),
        *ranges(
            "tstzrange", postgresql.TSTZRANGE(), postgresql.TSTZMULTIRANGE(), datetime.datetime, *_INSTANTS[1:3][::-1]
        ),
    ]


def _postgresql_rest() -> list[Case]:
    v4, v6 = ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("2001:db8::1")
    networks = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32")]
    return [
        Case("char(5)", CHAR(5), str, ["a", "", "12345"]),
        Case("native enum", Enum(Color, name="hermetic_check_color"), Color, list(Color)),
        Case("uuid in char(32)", Uuid(native_uuid=False), uuid.UUID, _IDS),
        Case("uuid in char(32), as text", Uuid(native_uuid=False, as_uuid=False), str, [str(each) for each in _IDS]),
        Case("jsonb", postgresql.JSONB(none_as_null=True), Any, _DOCUMENTS),
        Case("inet", postgresql.INET(), ipaddress.IPv4Address | ipaddress.IPv6Address, [v4, v6]),
        Case("inet with a mask", postgresql.INET(), ipaddress.IPv4Interface, [ipaddress.ip_interface("10.0.0.1/24")]),
        Case("cidr", postgresql.CIDR(), ipaddress.IPv4Network | ipaddress.IPv6Network, networks),
        Case("macaddr", postgresql.MACADDR(), str, ["08:00:2b:01:02:03"]),
        Case("money", postgresql.MONEY(), str, ["$1.10"]),
        Case("interval in timestamp", Interval(native=False), _DURATION, _SPANS),
    ]
