"""The corrected line of a model, with the user's own names, to paste."""

from __future__ import annotations

from collections.abc import Set
from typing import Any, get_origin

from sqlalchemy import Column, Enum
from sqlalchemy.orm import RelationshipProperty
from sqlalchemy.sql.elements import ClauseElement, TextClause
from sqlalchemy.types import LargeBinary, String

from hermetic.model.annotations import annotation_of, spell
from hermetic.model.decimals import ExactDecimal
from hermetic.model.documents import Json

_DEFAULTS = ("default", "onupdate", "server_default")
_NOT_REPEATED = frozenset({"select", "dynamic", "noload"})  # the default, and what the lint refuses
_USUAL = frozenset({"save-update", "merge"})  # the cascade of a relationship that states none
_ALL = _USUAL | {"expunge", "delete", "refresh-expire"}


def column_line(cls: type[Any], key: str, column: Column[Any], **change: str) -> str:
    """Return `key: Mapped[...] = mapped_column(...)` as it is, but for what is changed.

    `change` names an argument and its source text, empty to drop it; `annotation`, `type` and `ondelete` are taken too.
    """
    annotation = annotation_of(cls, key)
    text = change.pop("annotation", "") or (annotation.text if annotation else _python_name(column))
    kind = change.pop("type", _stated_type(column))
    arguments = [quoted(column.name)] if column.name != key else []
    arguments += [kind] if kind else []
    arguments += _foreign_keys(column, change.pop("ondelete", None))
    facts = {
        "primary_key": "True" if column.primary_key else "",
        "unique": "True" if column.unique else "",
        "index": "True" if column.index else "",
        **{name: _default(getattr(column, name)) for name in _DEFAULTS},
    }
    arguments += _keywords(facts | change)
    line = f"{key}: Mapped[{text}]"
    return f"{line} = mapped_column({', '.join(arguments)})" if arguments else line


def relationship_line(cls: type[Any], relationship: RelationshipProperty[Any], **change: str) -> str:
    """Return `key: Mapped[...] = relationship(...)` as it is, but for what is changed; empty drops an argument."""
    key = relationship.key
    annotation = annotation_of(cls, key)
    facts = {
        "secondary": _table_name(getattr(relationship, "secondary", None)),  # known once it is configured
        "back_populates": quoted(relationship.back_populates) if relationship.back_populates else "",
        "lazy": quoted(relationship.lazy) if relationship.lazy not in _NOT_REPEATED else "",
        "cascade": "" if relationship.viewonly else _cascade(set(relationship.cascade)),
        "passive_deletes": quoted(relationship.passive_deletes) if relationship.passive_deletes else "",
        "viewonly": "True" if relationship.viewonly else "",
    }
    text = annotation.text if annotation else f'list["{_target(relationship)}"]'
    return f"{key}: Mapped[{text}] = relationship({', '.join(_keywords(facts | change))})"


def quoted(value: object) -> str:
    """Return the source text of a value, strings in double quotes."""
    if not isinstance(value, str):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _keywords(arguments: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in arguments.items() if value]


def _stated_type(column: Column[Any]) -> str:
    """Return the type that the annotation alone would not give."""
    kind = column.type
    if isinstance(kind, ExactDecimal):
        return f"Numeric({kind.precision}, {kind.scale})"
    if isinstance(kind, Json) and get_origin(kind.annotation) is not None:
        return f"Json({spell(kind.annotation)})"
    if isinstance(kind, (String, LargeBinary)) and not isinstance(kind, Enum) and kind.length is not None:
        return f"{type(kind).__name__}({kind.length})"
    return ""


def _foreign_keys(column: Column[Any], ondelete: str | None) -> list[str]:
    found: list[str] = []
    for key in sorted(column.foreign_keys, key=lambda each: each.target_fullname):
        action = ondelete or key.ondelete
        found.append(f'ForeignKey("{key.target_fullname}"' + (f', ondelete="{action}")' if action else ")"))
    return found


def _default(default: Any) -> str:
    argument = getattr(default, "arg", None)
    if argument is None:
        return ""
    if isinstance(argument, TextClause):
        return f"text({quoted(argument.text)})"
    if isinstance(argument, ClauseElement):
        return f"func.{argument}"
    if callable(argument):
        name: str = getattr(argument, "__name__", "...")
        return "lambda: ..." if name == "<lambda>" else name
    return quoted(argument)


def _python_name(column: Column[Any]) -> str:
    try:
        name = column.type.python_type.__name__
    except NotImplementedError:
        name = "Any"
    return f"{name} | None" if column.nullable else name


def _target(relationship: RelationshipProperty[Any]) -> str:
    argument: Any = relationship.argument
    return argument if isinstance(argument, str) else str(getattr(argument, "__name__", argument))


def _table_name(table: Any) -> str:
    """Return a link table as the name that SQLAlchemy looks up, or nothing where there is none."""
    name = getattr(table, "key", table)
    return quoted(name) if isinstance(name, str) else ""


def _cascade(cascade: Set[str]) -> str:
    if not cascade or cascade == _USUAL:
        return ""
    words = ["all", *sorted(cascade - _ALL)] if cascade >= _ALL else sorted(cascade)
    return quoted(", ".join(words))
