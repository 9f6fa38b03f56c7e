"""Which constraint a row broke: as far as the driver tells, completed from the models, and never with the row's values.

PostgreSQL tells names in fields of their own. MariaDB and SQLite put them into their messages, between the same marks
in every language; nothing else is read from a message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.schema import ColumnCollectionConstraint

from hermetic.errors import ConstraintViolation, NotNullViolation, UniqueViolation

_KEY = re.compile(r"'([^']*)'[^']*$")  # MariaDB: ... for key 'name'
_NAMED = re.compile(r"CONSTRAINT `([^`]+)`")
_TABLE = re.compile(r"`\.`([^`]+)`")
_COLUMN = re.compile(r"'([^']+)'")
_SQLITE = re.compile(r": (.+)$")


@dataclass(frozen=True, slots=True)
class Broken:
    """Names of a broken constraint, its table and columns; empty where they are not known."""

    constraint: str = ""
    table: str = ""
    columns: tuple[str, ...] = ()


def broken(error: BaseException, kind: type[ConstraintViolation], database: str, target: Table | None) -> Broken:
    """Return what a driver's error says about the constraint; `target` is the table of the statement, where known."""
    told = _TOLD.get(database, _postgresql)(error, kind)
    metadata = target.metadata if target is not None else None
    table = told.table or (target.name if target is not None else "")
    found = _known(metadata, table, told.constraint, told.columns)
    columns = told.columns or found.columns
    return Broken(told.constraint or found.constraint, found.table or table, columns)


def _postgresql(error: BaseException, kind: type[ConstraintViolation]) -> Broken:
    # psycopg has a record of its own, asyncpg attributes on its own error behind SQLAlchemy's
    told = (getattr(error, "diag", None), error, error.__cause__)
    source: Any = next((each for each in told if hasattr(each, "constraint_name")), None)
    column = getattr(source, "column_name", None)
    return Broken(
        getattr(source, "constraint_name", None) or "",
        getattr(source, "table_name", None) or "",
        (column,) if column else (),
    )


def _mariadb(error: BaseException, kind: type[ConstraintViolation]) -> Broken:
    message = str(error.args[1]) if len(error.args) > 1 else ""
    if kind is UniqueViolation:
        key = _KEY.search(message)
        return Broken(key.group(1) if key else "")
    if kind is NotNullViolation:
        column = _COLUMN.search(message)
        return Broken(columns=(column.group(1),) if column else ())
    name, table = _NAMED.search(message), _TABLE.search(message)
    return Broken(name.group(1) if name else "", table.group(1) if table else "")


def _sqlite(error: BaseException, kind: type[ConstraintViolation]) -> Broken:
    told = _SQLITE.search(str(error))
    if told is None:
        return Broken()
    if kind in (UniqueViolation, NotNullViolation) and "." in told.group(1):
        places = [each.rpartition(".") for each in told.group(1).split(", ")]
        return Broken(table=places[0][0], columns=tuple(column for _, _, column in places))
    return Broken(told.group(1).removeprefix("index ").strip("'"))


_TOLD = {"mariadb": _mariadb, "mysql": _mariadb, "sqlite": _sqlite}


def _known(metadata: MetaData | None, table: str, constraint: str, columns: tuple[str, ...]) -> Broken:
    """Return the constraint as the models know it, by its name or by its columns."""
    if metadata is None:
        return Broken()
    tables = [each for each in metadata.tables.values() if each.name == table] or list(metadata.tables.values())
    for each in tables:
        for name, covered in _constraints(each):
            if (constraint and name == constraint) or (columns and not constraint and covered == columns):
                return Broken(name, each.name, covered)
        if constraint == "PRIMARY" and each.name == table:  # MariaDB's name for every primary key
            return Broken("PRIMARY", each.name, tuple(column.name for column in each.primary_key.columns))
    return Broken()


def _constraints(table: Table) -> Iterable[tuple[str, tuple[str, ...]]]:
    for each in table.constraints:
        if isinstance(each, ColumnCollectionConstraint):
            yield str(each.name or ""), tuple(column.name for column in each.columns)
    for index in table.indexes:
        if index.unique:
            yield str(index.name or ""), tuple(column.name for column in index.columns)


def without_values(error: BaseException, kind: type[ConstraintViolation], database: str) -> None:
    """Take the row's values out of the driver's error, which a traceback prints as the cause.

    psycopg keeps them where somebody who asks finds them, in `diag.message_detail`.
    """
    if database in ("mariadb", "mysql"):
        if kind is UniqueViolation and len(error.args) > 1:
            key = _KEY.search(str(error.args[1]))
            error.args = (error.args[0], f"duplicate entry for key {key.group(1) if key else 'unknown'!r}")
        return
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    if primary is not None:
        error.args = (primary,)
        return
    for each in (error, error.__cause__):
        told: Any = each
        if getattr(told, "detail", None):  # asyncpg's, and SQLAlchemy's copy
            told.detail = None
