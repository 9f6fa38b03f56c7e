"""Which column type an annotation means, and how constraints are named."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import inspect
from typing import Any, NewType

import msgspec
from sqlalchemy import (
    DECIMAL,
    NUMERIC,
    TIMESTAMP,
    BigInteger,
    Column,
    DateTime,
    Double,
    Integer,
    Interval,
    LargeBinary,
    Numeric,
    String,
    Time,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import TypeResolve
from sqlalchemy.types import TypeEngine, to_instance

from hermetic.model.decimals import ExactDecimal
from hermetic.model.documents import Json
from hermetic.model.enums import enum_by_value
from hermetic.model.instants import AwareDateTime, ExactInterval

NAMING: dict[str, str] = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names by which a migration can drop what it once created. Source: Alembic, "The Importance of Naming Constraints"."""

TYPES: dict[Any, Any] = {
    int: BigInteger().with_variant(Integer(), "sqlite"),  # only INTEGER PRIMARY KEY is the rowid there
    float: Double(),
    str: String().with_variant(mysql.VARCHAR(255), "mysql", "mariadb"),  # VARCHAR needs a length there
    bytes: LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"),  # whose BLOB ends at 64 KiB
    datetime.datetime: AwareDateTime(),
    datetime.time: Time().with_variant(mysql.TIME(fsp=6), "mysql", "mariadb"),  # whose TIME drops microseconds
    datetime.timedelta: ExactInterval(),
}

_DECIMAL = frozenset[type]({Numeric, NUMERIC, DECIMAL})
_INSTANT = frozenset[type]({DateTime, TIMESTAMP, postgresql.TIMESTAMP})


def resolve_annotation(resolve: TypeResolve) -> TypeEngine[Any] | None:
    """Return the column type of an enum, a struct, a dataclass or a NewType; None leaves the rest to `TYPES`.

    What a base of the project's own says in its `type_annotation_map` goes before all of it.
    """
    kind: Any = resolve.resolved_type
    own = _own_entry(resolve.cls, resolve.raw_pep_695_type, resolve.raw_pep_593_type, kind)
    if own is not None or not isinstance(kind, NewType):
        return own or _of_class(kind)
    while isinstance(kind, NewType):
        kind = kind.__supertype__
    plain: TypeEngine[Any] | None = _own_entry(resolve.cls, kind) or _of_class(kind) or resolve.resolve(kind)
    return plain


def _own_entry(cls: type[Any], *kinds: Any) -> TypeEngine[Any] | None:
    # SQLAlchemy reads the map of the class right below DeclarativeBase only, and ignores one on an abstract base
    for base in cls.__mro__:
        entries = vars(base).get("type_annotation_map", TYPES)
        for kind in kinds:
            if entries is not TYPES and kind in entries:
                entry: TypeEngine[Any] = to_instance(entries[kind])
                return entry
    return None


def _of_class(kind: Any) -> TypeEngine[Any] | None:
    if not inspect.isclass(kind):
        return None
    if issubclass(kind, enum.Enum):
        return enum_by_value(kind)
    if issubclass(kind, msgspec.Struct) or dataclasses.is_dataclass(kind):
        return Json(kind)
    return None


def conform(column: Column[Any]) -> None:
    """Give a column that was written with a type of SQLAlchemy our exact form of it."""
    exact = _exact_form(column.type)
    if exact is not None:
        column.type = exact


def _exact_form(kind: TypeEngine[Any]) -> TypeEngine[Any] | None:
    if type(kind) in _DECIMAL and isinstance(kind, Numeric):
        if kind.asdecimal and kind.precision is not None and kind.scale is not None:
            return ExactDecimal(kind.precision, kind.scale)
    elif type(kind) in _INSTANT and isinstance(kind, DateTime):
        if kind.timezone and getattr(kind, "precision", None) is None:
            return AwareDateTime()
    elif type(kind) is Interval and kind.second_precision is None:
        return ExactInterval()
    return None
