"""What stands behind a name of a mapped class: a column, a hybrid whose SQL is one expression, or neither."""

from __future__ import annotations

import datetime
import inspect as python_inspect
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ColumnElement
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.associationproxy import AssociationProxyExtensionType
from sqlalchemy.ext.hybrid import HybridExtensionType, hybrid_property
from sqlalchemy.orm import ColumnProperty, Mapper, SynonymProperty
from sqlalchemy.types import JSON, Enum, NullType, TypeDecorator, TypeEngine

from hermetic.shape.annotation import Annotation, mapped_type, parse, resolve, type_name
from hermetic.shape.codec import type_of
from hermetic.shape.criteria import clause_of
from hermetic.shape.wire import HasCodec, unwrap

# what drivers return for a column type, whatever the model calls it
_TIMES = (datetime.datetime, datetime.date, datetime.time, datetime.timedelta)
_PLAIN: tuple[type[Any], ...] = (bool, int, float, str, bytes, Decimal, UUID, *_TIMES)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """What model and table say of one mapped column, or class and SQL of one hybrid."""

    label: str
    key: str
    kind: TypeEngine[Any]
    mapped: Annotation | None
    is_nullable: bool

    @property
    def python_type(self) -> Any:
        """Return the type of its values without None, or None where nothing says it."""
        return self.mapped.type if self.mapped is not None else python_type(self.kind)

    def text(self, *, is_optional: bool) -> str:
        """Return the annotation of a field that reads it."""
        expected = self.python_type
        name = "Any" if expected is None else type_name(expected)
        return f"{name} | None" if is_optional else name


def key_behind(mapper: Mapper[Any], key: str) -> str:
    """Return the name that a synonym stands for; any other name is its own."""
    declared = mapper.attrs.get(key)
    while isinstance(declared, SynonymProperty):
        key = declared.name
        declared = mapper.attrs.get(key)
    return key


def column_facts(mapper: Mapper[Any], key: str, otherwise: Any = None) -> ColumnFacts | None:
    """Return what is known of a column or a hybrid, None for anything else; `otherwise` is the Python type where
    nothing says one.
    """
    declared = mapper.attrs.get(key)
    label = f"{mapper.class_.__name__}.{key}"
    if isinstance(declared, ColumnProperty):
        return _facts(label, key, declared.columns[0], mapped_type(mapper.class_, key), otherwise)
    hybrid = hybrid_of(mapper, key)
    expression = expression_of(mapper, key) if hybrid is not None else None
    return None if expression is None else _facts(label, key, expression, _returned(hybrid), otherwise)


def hybrid_of(mapper: Mapper[Any], key: str) -> hybrid_property[Any] | None:
    """Return the hybrid property of a name."""
    found: Any = mapper.all_orm_descriptors.get(key)
    is_hybrid = found is not None and found.extension_type is HybridExtensionType.HYBRID_PROPERTY
    return found if is_hybrid else None


def expression_of(mapper: Mapper[Any], key: str) -> ColumnElement[Any] | None:
    """Return the SQL of a hybrid, None where its Python makes none of a class."""
    try:
        clause = clause_of(getattr(mapper.class_, key))
    except (TypeError, AttributeError, NotImplementedError, InvalidRequestError):  # of a Python that is no SQL
        return None
    return clause if isinstance(clause, ColumnElement) else None


def proxy_of(mapper: Mapper[Any], key: str) -> tuple[str, str] | None:
    """Return the relationship and the attribute behind it that an association proxy stands for."""
    found: Any = mapper.all_orm_descriptors.get(key)
    if found is None or found.extension_type is not AssociationProxyExtensionType.ASSOCIATION_PROXY:
        return None
    return found.target_collection, found.value_attr


def what_computes(mapper: Mapper[Any], key: str) -> str:
    """Return what an attribute is that is neither a column nor a relationship."""
    if hybrid_of(mapper, key) is not None:
        return "is a hybrid whose Python makes no SQL of the class"
    proxied = proxy_of(mapper, key)
    if proxied is not None:
        return f"is a proxy of {'.'.join(proxied)}; a shape reads the relationship itself"
    return "is computed by the class; a shape reads columns, relationships and hybrids"


def python_type(kind: TypeEngine[Any]) -> Any:
    """Return the type of the values of a column type, or None where it says none."""
    try:
        return kind.python_type
    except NotImplementedError:
        return None


def lie_of(facts: ColumnFacts) -> tuple[str, str] | None:
    """Return what is wrong with a model whose annotation is not what its column holds, and the fix."""
    kind = unwrap(facts.kind)
    if facts.mapped is None or isinstance(kind, (TypeDecorator, Enum, JSON, HasCodec)):
        return None
    said: Any = facts.mapped.type
    held: Any = python_type(kind)
    if said not in _PLAIN or held not in _PLAIN or issubclass(held, said):
        return None
    name = type_name(held)
    right = f"Mapped[{name} | None]" if facts.is_nullable else f"Mapped[{name}]"
    what = f"{facts.label} is Mapped[{facts.mapped.text}] over {kind!r}, which holds {name}"
    return what, f"{facts.key}: {right}  # in the model, or a column type that holds {type_name(said)}"


def _facts(label: str, key: str, column: ColumnElement[Any], said: Any, otherwise: Any) -> ColumnFacts:
    kind: TypeEngine[Any] = column.type
    mapped = parse(said) if said is not None else None
    if isinstance(kind, NullType):  # of an expression in a class body, written before its columns had types
        kind = type_of(mapped.type if mapped is not None else otherwise)
    nullable = column.nullable if isinstance(column, Column) else (mapped is None or mapped.is_optional)
    is_nullable = bool(nullable) or (mapped is not None and mapped.is_optional)
    return ColumnFacts(label, key, kind, mapped, is_nullable)


def _returned(hybrid: Any) -> Any:
    """Return what the getter of a hybrid says it returns, None where that cannot be resolved."""
    getter = hybrid.fget
    raw = python_inspect.get_annotations(getter).get("return")
    try:
        return None if raw is None else resolve(raw, {}, getter.__module__)
    except NameError:
        return None
