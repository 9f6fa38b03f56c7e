"""The order of a page as a key: compared with the values of one row, it says which rows come behind that row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Dialect, and_, bindparam, false, or_, tuple_, type_coerce
from sqlalchemy.types import Enum, TypeDecorator, TypeEngine

_SMALL_NULLS = ("sqlite", "mysql", "mariadb")  # NULL sorts below every value there, above every value on PostgreSQL
_ROW_VALUES = ("postgresql", "sqlite")  # MariaDB compares rows too, but reads no index range for them


@dataclass(frozen=True, slots=True)
class Key:
    """One expression of an order.

    `nulls_first` is what the statement says; None where it leaves that to the database.
    """

    expression: ColumnElement[Any]
    is_descending: bool = False
    nulls_first: bool | None = None
    is_nullable: bool = True

    def ordered(self, *, backward: bool) -> ColumnElement[Any]:
        """Return the key for an ORDER BY, forward or backward."""
        ordered = self.expression.desc() if self.is_descending != backward else self.expression.asc()
        if self.nulls_first is None:
            return ordered
        return ordered.nulls_first() if self.nulls_first != backward else ordered.nulls_last()


class Keyset:
    """The keys of one order on one database; together they are unique, so each row has one place."""

    def __init__(self, keys: Sequence[Key], dialect: Dialect) -> None:
        self.keys = tuple(keys)
        self._dialect = dialect

    def order_by(self, *, backward: bool = False) -> list[ColumnElement[Any]]:
        """Return the ORDER BY; backward it is the exact reverse, NULLs included."""
        return [key.ordered(backward=backward) for key in self.keys]

    def stored(self, values: Sequence[Any]) -> list[Any]:
        """Return the values of a row's keys in the form that a token holds and `after` takes."""
        return [
            _stored(value, key.expression.type, self._dialect) for key, value in zip(self.keys, values, strict=True)
        ]

    def after(self, values: Sequence[Any], *, backward: bool = False, includes: bool = False) -> ColumnElement[bool]:
        """Return the condition of the rows behind the row with these values, forward or backward.

        Args:
            values: the keys of the row, as `stored` returned them; the row need not exist any more.
            backward: the rows before it instead.
            includes: the row itself as well.
        Source: PostgreSQL manual, "Row and Array Comparisons"; a row comparison is right only where all keys have one
            direction and none is NULL, so elsewhere the condition is written out.
        """
        places = [self._place(key, value, backward) for key, value in zip(self.keys, values, strict=True)]
        start = self._first_of_row(places)
        condition = _beyond_row(places[start:], includes)
        for place in reversed(places[:start]):
            condition = or_(place.beyond(), and_(place.equal(), condition))
        if start and not places[0].may_be_null:
            return and_(places[0].reached(), condition)  # an index range, for what an OR would only filter
        return condition

    def _place(self, key: Key, value: Any, backward: bool) -> _Place:
        nulls_first = key.nulls_first
        if nulls_first is None:
            nulls_first = (self._dialect.name in _SMALL_NULLS) != key.is_descending
        return _Place(
            _coerced(key.expression, self._dialect),
            value,
            is_descending=key.is_descending != backward,
            is_null_first=nulls_first != backward,
            may_be_null=key.is_nullable or value is None,
        )

    def _first_of_row(self, places: Sequence[_Place]) -> int:
        """Return where the keys begin that can be compared as one row; at least the last one can."""
        start = len(places) - 1
        if self._dialect.name not in _ROW_VALUES or places[-1].may_be_null:
            return start
        while (
            start and not (before := places[start - 1]).may_be_null and before.is_descending == places[-1].is_descending
        ):
            start -= 1
        return start


@dataclass(frozen=True, slots=True)
class _Place:
    """One key beside the value it is compared with."""

    key: ColumnElement[Any]
    value: Any
    is_descending: bool
    is_null_first: bool
    may_be_null: bool

    def bound(self) -> ColumnElement[Any]:
        return bindparam(None, self.value, self.key.type, unique=True)

    def equal(self) -> ColumnElement[bool]:
        return self.key.is_(None) if self.value is None else self.key == self.bound()

    def beyond(self) -> ColumnElement[bool]:
        if self.value is None:
            return self.key.is_not(None) if self.is_null_first else false()
        further = self.key < self.bound() if self.is_descending else self.key > self.bound()
        return or_(further, self.key.is_(None)) if self.may_be_null and not self.is_null_first else further

    def reached(self) -> ColumnElement[bool]:
        return self.key <= self.bound() if self.is_descending else self.key >= self.bound()


def _beyond_row(places: Sequence[_Place], includes: bool) -> ColumnElement[bool]:
    if len(places) == 1:
        return or_(places[0].beyond(), places[0].equal()) if includes else places[0].beyond()
    keys, values = tuple_(*(each.key for each in places)), tuple_(*(each.bound() for each in places))
    if places[0].is_descending:
        return keys <= values if includes else keys < values
    return keys >= values if includes else keys > values


# a decorated type is compared in the form that the database stores, which every Python value of it has


def _coerced(expression: ColumnElement[Any], dialect: Dialect) -> ColumnElement[Any]:
    kind = expression.type
    while isinstance(kind, TypeDecorator):
        kind = kind.load_dialect_impl(dialect)
    return expression if kind is expression.type else type_coerce(expression, kind)


def _stored(value: Any, kind: TypeEngine[Any], dialect: Dialect) -> Any:
    while isinstance(kind, TypeDecorator):
        value = kind.process_bind_param(value, dialect)
        kind = kind.load_dialect_impl(dialect)
    if isinstance(kind, Enum) and value is not None:
        process = kind.dialect_impl(dialect).bind_processor(dialect)
        return process(value) if process is not None else value
    return value
