"""The building blocks of a database, and which column types have an exact form inside JSON."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ARRAY, ColumnElement, Dialect, FromClause, Select, column, select
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.orm import Mapper, aliased
from sqlalchemy.types import (
    BINARY,
    JSON,
    VARBINARY,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    Integer,
    Interval,
    LargeBinary,
    NullType,
    Numeric,
    String,
    Time,
    TypeDecorator,
    TypeEngine,
    Uuid,
)

from hermetic.errors import NoExactForm
from hermetic.shape.statement import variant
from hermetic.shape.wire import MULTIRANGES, NETWORK, OWN, RANGES, HasCodec, Load, enum_members, enum_values, unwrap

BYTES = (LargeBinary, BINARY, VARBINARY)
_COMMON = (Integer, Boolean, String, Numeric, Float, Uuid, DateTime, Date, Time, Interval, JSON, Enum)
_POSTGRESQL = (postgresql.INTERVAL, *NETWORK, postgresql.MACADDR, postgresql.MACADDR8, *RANGES, *MULTIRANGES)
_MARIADB = (mysql.BIT, mysql.YEAR)
_EXACT = (*OWN, *BYTES, *_COMMON, *_POSTGRESQL, *_MARIADB)


@dataclass(frozen=True, slots=True)
class Carrier:
    """How a root column travels: the expression to select, and what turns the driver's value into the field's value.

    With `use_processor` the value goes through the result processor that SQLAlchemy itself would use.
    """

    expression: ColumnElement[Any]
    load: Load | None = None
    use_processor: bool = False


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one collection, as the dialect composes them: whose children, which, in what order, and what of
    each.
    """

    mapper: Mapper[Any]
    parent: Any
    where: Callable[[Any], list[ColumnElement[bool]]]
    order_by: Callable[[Any], list[ColumnElement[Any]]]
    item: Callable[[Any], ColumnElement[Any]]
    limit: int | None
    orders_by_link: bool = False  # by a column of the link table, which an alias of the picked children lacks

    def alias(self, source: FromClause | None = None) -> Any:
        """Return a fresh alias of the child class, over its table or over `source`."""
        return aliased(self.mapper, source)

    def select(self, child: Any, *columns: Any) -> Select[*tuple[Any, ...]]:
        """Return the statement over the children of one parent."""
        return select(*columns).select_from(child).where(*self.where(child)).correlate(self.parent)


class Blocks(Protocol):
    """The building blocks of a database: what its dialect module provides to the compiler."""

    dialect: Dialect
    max_nesting: int | None

    def native(self, column: ColumnElement[Any], kind: TypeEngine[Any], annotation: Any) -> Carrier:
        """Return how a root column travels on the driver path."""
        ...

    def encode(self, column: ColumnElement[Any], kind: TypeEngine[Any], label: str) -> ColumnElement[Any]:
        """Return the JSON form of a column.

        Raises:
            NoExactForm: there is none on this database.
        """
        ...

    def array(self, items: list[ColumnElement[Any]]) -> ColumnElement[Any]:
        """Return the JSON array of `items`."""
        ...

    def children(self, rows: Rows) -> ColumnElement[Any]:
        """Return the JSON array of a collection; empty, never NULL."""
        ...

    def text(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return a JSON value as the text column that the driver hands over unparsed."""
        ...


def type_of(python: Any) -> TypeEngine[Any]:
    """Return the SQL type whose values are of the Python type; NullType where several are or none is."""
    kinds: dict[Any, TypeEngine[Any]] = {bool: Boolean(), int: Integer(), float: Float(), str: String()}
    return kinds.get(python, NullType())


def travelling(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any] | None:
    """Return the type whose stored values travel in JSON; None where SQL or Python of the type's own changes them."""
    plain = unwrap(kind)
    if isinstance(plain, HasCodec):
        return plain
    if is_rewritten(kind) or (isinstance(plain, TypeDecorator) and not isinstance(plain, (*OWN, Interval))):
        return None
    return variant(plain, dialect)


def is_rewritten(kind: TypeEngine[Any]) -> bool:
    """Return whether the SQL of a selected column is not the column alone."""
    if isinstance(kind, mysql.SET):
        return bool(kind.retrieve_as_bitwise)
    plain = TypeDecorator if isinstance(kind, TypeDecorator) else TypeEngine
    if type(kind).column_expression is not plain.column_expression:
        return True
    return (
        isinstance(kind, TypeDecorator) and not isinstance(kind, (*OWN, Interval)) and is_rewritten(kind.impl_instance)
    )


def has_exact_form(kind: TypeEngine[Any]) -> bool:
    """Return whether values of `kind` can travel inside JSON without loss, on at least one database."""
    plain = unwrap(kind)
    if isinstance(plain, HasCodec):
        return True
    if is_rewritten(kind) or (isinstance(plain, TypeDecorator) and not isinstance(plain, (*OWN, Interval))):
        return False
    if isinstance(plain, ARRAY):
        return has_exact_form(plain.item_type)
    return isinstance(plain, _EXACT) and not (isinstance(plain, Float) and plain.asdecimal)


def is_exact_on(blocks: Blocks, kind: TypeEngine[Any]) -> bool:
    """Return whether values of `kind` can travel inside JSON without loss on the database of `blocks`."""
    try:
        blocks.encode(column("value", kind), kind, "")
    except NoExactForm:
        return False
    return True


__all__ = [
    "BYTES",
    "Blocks",
    "Carrier",
    "Load",
    "Rows",
    "enum_members",
    "enum_values",
    "has_exact_form",
    "is_exact_on",
    "is_rewritten",
    "travelling",
    "type_of",
    "unwrap",
]
