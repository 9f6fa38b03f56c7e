"""The building blocks of a database, and which column types have an exact form inside JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sqlalchemy import ARRAY, ColumnElement, Dialect, FromClause, Select, select
from sqlalchemy.dialects import mysql, postgresql
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

from hermetic.shape.node import Node
from hermetic.shape.statement import variant
from hermetic.shape.variants import alias_of
from hermetic.shape.wire import MULTIRANGES, NETWORK, OWN, RANGES, HasCodec, Load, enum_members, enum_values, unwrap

KEYS = "hermetic_keys"
"""The name, with a number behind it, of a parameter that holds keys of parents."""

BYTES = (LargeBinary, BINARY, VARBINARY)
_COMMON = (Integer, Boolean, String, Numeric, Float, Uuid, DateTime, Date, Time, Interval, JSON, Enum)
_POSTGRESQL = (postgresql.INTERVAL, *NETWORK, postgresql.MACADDR, postgresql.MACADDR8, *RANGES, *MULTIRANGES)
_MARIADB = (mysql.BIT, mysql.YEAR)
_EXACT = (*OWN, *BYTES, *_COMMON, *_POSTGRESQL, *_MARIADB)


@dataclass(frozen=True, slots=True)
class Carrier:
    """How a root column travels: the expression to select, and what turns the driver's value into the field's value.

    With `use_processor` the value goes through the result processor that SQLAlchemy itself would use, and `load` looks
    at the value alone.

    `stored` are the types of what the driver may hand over, where the database keeps any value in any column.
    """

    expression: ColumnElement[Any]
    load: Load | None = None
    use_processor: bool = False
    stored: frozenset[type] | None = None

    def over(self, expression: ColumnElement[Any]) -> Carrier:
        """Return the same carrier over another expression, such as a column of a CTE."""
        return replace(self, expression=expression)


@dataclass(frozen=True, slots=True)
class Values:
    """The values over all rows of a collection, beside its list: what they are computed of, and their JSON form."""

    arguments: Callable[[Any], list[ColumnElement[Any]]]
    encoded: Callable[[Sequence[ColumnElement[Any]]], list[ColumnElement[Any]]]


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one collection, as the dialect composes them: whose children, which, in what order, and what of
    each.
    """

    node: Node
    parent: Any
    where: Callable[[Any], list[ColumnElement[bool]]]
    order_by: Callable[[Any], list[ColumnElement[Any]]]
    item: Callable[[Any], ColumnElement[Any]]
    limit: int | None
    values: Values | None = None

    def alias(self, source: FromClause | None = None) -> Any:
        """Return a fresh alias of the child class, over its table or over `source`."""
        return alias_of(self.node, source)

    def select(self, child: Any, *columns: Any) -> Select[*tuple[Any, ...]]:
        """Return the statement over the children of one parent."""
        return select(*columns).select_from(child).where(*self.where(child)).correlate(self.parent)


class Blocks(Protocol):
    """The building blocks of a database: what its dialect module provides to the compiler."""

    dialect: Dialect
    max_nesting: int | None
    max_ctes: int | None
    nests_cte: bool  # whether a WITH may stand deep inside a statement

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
        """Return the JSON array of a collection; empty, never NULL. With `values`, the array of it and of them."""
        ...

    def grouped(
        self,
        source: Select[Any],
        keys: Sequence[ColumnElement[Any]],
        item: ColumnElement[Any],
        order_by: Sequence[ColumnElement[Any]],
    ) -> Select[Any]:
        """Return the statement that selects, for each value of the labelled `keys`, the JSON array `j` of the items of
        `source`, in order.
        """
        ...

    def filled(self, json: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return the JSON array that a column `j` of another SELECT holds; empty where it is NULL."""
        ...

    def among(
        self, columns: Sequence[ColumnElement[Any]], keys: Select[Any], *, is_indexed: bool
    ) -> ColumnElement[bool]:
        """Return the condition that the columns, together, equal a row of `keys`."""
        ...

    def keys(self, kinds: Sequence[TypeEngine[Any]]) -> Any:
        """Return the rows of a parameter: columns `n`, the position from 1, and `k0`, `k1` ... of the types given.

        The parameters are named `KEYS` and a number; `key_values` makes their values.
        Raises:
            NoExactForm: values of such a type cannot be sent as a list.
        """
        ...

    def key_values(self, rows: Sequence[Sequence[Any]], width: int) -> dict[str, Any]:
        """Return the parameters for `keys` of `width` columns: for each parent, values as the driver returned them."""
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


__all__ = [
    "BYTES",
    "Blocks",
    "Carrier",
    "Load",
    "Rows",
    "enum_members",
    "enum_values",
    "has_exact_form",
    "is_rewritten",
    "travelling",
    "type_of",
    "unwrap",
]
