"""`AwareDateTime` and `ExactInterval`: instants and durations that come back as they went in, on every database."""

from __future__ import annotations

import datetime
from typing import Any

from sqlalchemy import BigInteger, DateTime, Double, Interval, type_coerce
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from hermetic.model.refusals import IntervalTooLong, NaiveDateTime

_MYSQL = frozenset({"mysql", "mariadb"})
_ZONELESS = _MYSQL | {"sqlite"}  # no type there keeps an offset, so UTC is stored without one
_MICROSECOND = datetime.timedelta(microseconds=1)
_INT64 = 2**63
_SCALING = (operators.mul, operators.truediv)


class AwareDateTime(TypeDecorator[datetime.datetime]):
    """An instant: only datetimes with a time zone go in, and UTC comes out.

    Databases: `timestamp with time zone` on PostgreSQL; UTC without an offset, to the microsecond, on SQLite, MariaDB.
    Raises:
        NaiveDateTime: a value without a time zone, a date or a string was bound.
    Source: PostgreSQL manual, "Date/Time Types"; SQLAlchemy issue 7537.
    """

    impl = DateTime
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[datetime.datetime], DateTime.Comparator[datetime.datetime]):
        """The operators of DateTime; what is still an instant afterwards keeps this type."""

        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
            """Return the expression, typed as an instant where it is one."""
            result = super().operate(op, *other, **kwargs)
            return type_coerce(result, self.type) if isinstance(result.type, DateTime) else result

    comparator_factory = Comparator  # pyright: ignore[reportAssignmentType]  # a documented attribute, declared memoized

    def __init__(self) -> None:
        super().__init__(timezone=True)

    @property
    def python_type(self) -> type[datetime.datetime]:
        """Return `datetime.datetime`."""
        return datetime.datetime

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type that stores the instant: with microseconds on MariaDB, whose default has none."""
        if dialect.name in _MYSQL:
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(DateTime(timezone=True))

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """Return the type of a literal beside this column: a duration stays a duration."""
        return ExactInterval() if isinstance(value, datetime.timedelta) else self

    def process_bind_param(self, value: datetime.datetime | None, dialect: Dialect) -> datetime.datetime | None:
        """Return what the driver gets: UTC where the database keeps no zone."""
        if value is None:
            return None
        if not isinstance(value, datetime.datetime):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without a type checker
            raise NaiveDateTime(f"a {type(value).__name__}")
        if value.utcoffset() is None:
            raise NaiveDateTime("a datetime without a time zone")
        return value.astimezone(datetime.UTC).replace(tzinfo=None) if dialect.name in _ZONELESS else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime.datetime | None:
        """Return the instant in UTC, whatever zone the database session shows."""
        if value is None:
            return None
        instant: datetime.datetime = value
        return instant.replace(tzinfo=datetime.UTC) if instant.tzinfo is None else instant.astimezone(datetime.UTC)


class ExactInterval(TypeDecorator[datetime.timedelta]):
    """A duration, exact to the microsecond.

    Databases: `interval` on PostgreSQL; elsewhere a 64-bit count of microseconds, so that order and sum are right.
        On SQLite and MariaDB `instant + duration` is text or number arithmetic: compute it in Python there.
    Raises:
        IntervalTooLong: more than 2**63 microseconds, where microseconds are what is stored.
    """

    impl = Interval
    cache_ok = True

    class Comparator(Interval.Comparator[datetime.timedelta]):
        """The operators of Interval; what is still a duration afterwards keeps this type."""

        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
            """Return the expression, typed as a duration where it is one."""
            result = super().operate(op, *other, **kwargs)
            still = isinstance(result.type, Interval) or (op in _SCALING and not isinstance(result.type, DateTime))
            return type_coerce(result, self.type) if still else result

    comparator_factory = Comparator  # pyright: ignore[reportAssignmentType]  # a documented attribute, declared memoized

    def __init__(self) -> None:
        super().__init__()

    @property
    def python_type(self) -> type[datetime.timedelta]:
        """Return `datetime.timedelta`."""
        return datetime.timedelta

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type that stores the duration."""
        return dialect.type_descriptor(postgresql.INTERVAL() if dialect.name == "postgresql" else BigInteger())

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """Return the type of a literal beside this column: a number scales it, a datetime is an instant."""
        if isinstance(value, datetime.datetime):
            return AwareDateTime()
        if isinstance(value, int):
            return BigInteger()
        return Double() if isinstance(value, float) else self

    def process_bind_param(self, value: datetime.timedelta | None, dialect: Dialect) -> Any:
        """Return what the driver gets: the timedelta, or its microseconds."""
        if value is None or dialect.name == "postgresql":
            return value
        microseconds = value // _MICROSECOND
        if not -_INT64 <= microseconds < _INT64:
            raise IntervalTooLong(dialect.name)
        return microseconds

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime.timedelta | None:
        """Return the duration."""
        if value is None or isinstance(value, datetime.timedelta):
            return value
        return datetime.timedelta(microseconds=round(value))
