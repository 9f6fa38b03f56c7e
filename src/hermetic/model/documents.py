"""`Json`: a JSON document with a Python type."""

from __future__ import annotations

from typing import Any, TypeVar, get_origin

import msgspec
from sqlalchemy import JSON, type_coerce
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

Document = TypeVar("Document")

_WHOLE = frozenset(
    {operators.eq, operators.ne, operators.is_distinct_from, operators.is_not_distinct_from, operators.in_op}
)


class Json(TypeDecorator[Document]):
    """A document of type `annotation`: a msgspec Struct, a dataclass, or a container such as `dict[str, int]`.

    Decimal, datetime, UUID, bytes and 64-bit integers inside come back exactly. None is SQL NULL.
    The value is saved when the attribute is assigned; a change inside it is not seen, so prefer frozen types.

    Args:
        annotation: the type of the whole document; kept as the attribute `annotation`.

    Databases: `JSONB` on PostgreSQL, `JSON` elsewhere (text on SQLite).
    Raises:
        msgspec.ValidationError: a stored document does not have this type.
    Source: msgspec, "Supported Types"; SQLAlchemy, "JSON".
    """

    impl = JSON
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Any], JSON.Comparator[Any]):
        """The operators of JSON; a part of the document is plain JSON, it no longer has the document's type."""

        def __getitem__(self, index: Any) -> ColumnElement[Any]:
            """Return a part of the document, by key, position or path."""
            return type_coerce(self.expr, _PLAIN)[index]

    comparator_factory = Comparator  # pyright: ignore[reportAssignmentType]  # a documented attribute, declared memoized

    def __init__(self, annotation: type[Document]) -> None:
        super().__init__(none_as_null=True)
        self.annotation = annotation

    def __repr__(self) -> str:
        return f"Json({getattr(self.annotation, '__name__', self.annotation)})"

    @property
    def python_type(self) -> type[Any]:
        """Return the class of the document; for `dict[str, int]` it is `dict`."""
        return get_origin(self.annotation) or self.annotation

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the JSON type of the database."""
        return dialect.type_descriptor(
            postgresql.JSONB(none_as_null=True) if dialect.name == "postgresql" else JSON(none_as_null=True)
        )

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """Return the type of a literal beside this column: a whole document, or what JSON itself makes of it."""
        return self if op in _WHOLE else _PLAIN.coerce_compared_value(op, value)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Return the document as plain dicts, lists, strings and numbers."""
        return None if value is None else msgspec.to_builtins(value, str_keys=True)

    def process_result_value(self, value: Any, dialect: Dialect) -> Document | None:
        """Return the document in its type, checked."""
        return None if value is None else msgspec.convert(value, self.annotation, str_keys=True)


_PLAIN: JSON[Any] = JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
