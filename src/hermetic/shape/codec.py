"""Which column types have an exact form inside JSON, and how enum labels map to the values their members carry."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ARRAY, ColumnElement, Dialect, FromClause, Select, select
from sqlalchemy.dialects import mysql
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

from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval, Json

Load = Callable[[Any], Any]

_OWN = (AwareDateTime, ExactDecimal, ExactInterval, Json)
BYTES = (LargeBinary, BINARY, VARBINARY)
_EXACT = (
    Integer,
    Boolean,
    String,
    Numeric,
    Float,
    Uuid,
    *BYTES,
    DateTime,
    Date,
    Time,
    Interval,
    JSON,
    mysql.BIT,
    mysql.YEAR,
)


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


def unwrap(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Return the type whose values really travel: a decorator that leaves results alone is seen through."""
    while isinstance(kind, TypeDecorator) and not isinstance(kind, _OWN):
        own = type(kind)
        if own.process_result_value is not TypeDecorator.process_result_value:
            break
        if own.result_processor is not TypeDecorator.result_processor:
            break
        kind = kind.impl_instance
    return kind


def type_of(python: Any) -> TypeEngine[Any]:
    """Return the SQL type whose values are of the Python type; NullType where several are or none is."""
    kinds: dict[Any, TypeEngine[Any]] = {bool: Boolean(), int: Integer(), float: Float(), str: String()}
    return kinds.get(python, NullType())


def _is_rewritten(kind: TypeEngine[Any]) -> bool:
    """Return whether the SQL of a selected column is not the column alone."""
    plain = TypeDecorator if isinstance(kind, TypeDecorator) else TypeEngine
    if type(kind).column_expression is not plain.column_expression:
        return True
    return isinstance(kind, TypeDecorator) and not isinstance(kind, _OWN) and _is_rewritten(kind.impl_instance)


def has_exact_form(kind: TypeEngine[Any]) -> bool:
    """Return whether values of `kind` can travel inside JSON without loss, on at least one database."""
    if isinstance(kind, mysql.SET):  # rewritten only where it is read as bits
        return not kind.retrieve_as_bitwise
    if _is_rewritten(kind):
        return False
    kind = unwrap(kind)
    if isinstance(kind, _OWN):
        return True
    if isinstance(kind, ARRAY):
        return has_exact_form(kind.item_type)
    if isinstance(kind, Enum) and kind.enum_class is not None:
        return all(isinstance(member.value, (str, int)) for member in kind.enum_class)
    if isinstance(kind, Float) and kind.asdecimal:
        return False
    if isinstance(kind, Interval) and not kind.native:
        return False
    return isinstance(kind, _EXACT)


def enum_members(kind: Enum) -> dict[str, Any]:
    """Return the member for each stored label; the label itself where the type has no enum class."""
    if kind.enum_class is None:
        return {label: label for label in kind.enums}
    members: list[enum.Enum] = list(kind.enum_class.__members__.values())
    if len(members) != len(kind.enums):  # as is usual, the column knows no aliases
        members = list(kind.enum_class)
    return dict(zip(kind.enums, members, strict=True))


def enum_values(kind: Enum) -> dict[str, Any] | None:
    """Return the member value for each stored label, or None where each label is its value."""
    values = {label: getattr(member, "value", member) for label, member in enum_members(kind).items()}
    return None if all(label == value for label, value in values.items()) else values
