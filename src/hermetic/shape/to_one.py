"""What the tables promise of a to-one relationship: whether the row is there, and whether it is the only one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, ColumnClause, Index, Table, UniqueConstraint
from sqlalchemy.orm import RelationshipDirection, RelationshipProperty
from sqlalchemy.sql import visitors


def may_be_absent(way: RelationshipProperty[Any]) -> bool:
    """Return whether a parent may have no row behind `way`."""
    if way.direction is not RelationshipDirection.MANYTOONE:
        return True
    if any(column.nullable for column in way.local_columns if isinstance(column, Column)):
        return True
    # only a foreign key, and no condition beside it, guarantees the row
    pairs = way.local_remote_pairs or ()
    named = [part for part in visitors.iterate(way.primaryjoin) if isinstance(part, ColumnClause)]
    return len(named) != 2 * len(pairs) or not all(_references(here, there) for here, there in pairs)


def remote_columns(way: RelationshipProperty[Any]) -> list[Column[Any]]:
    """Return the columns of the other table, or of the link table, by which a row is found."""
    return [there for _, there in way.local_remote_pairs or () if isinstance(there, Column)]


def is_single(way: RelationshipProperty[Any]) -> bool:
    """Return whether a key of the other table makes a second row for one parent impossible."""
    columns = remote_columns(way)
    if way.secondary is not None or not columns:
        return False
    return is_unique(columns[0].table, {column.name for column in columns})


def is_unique(table: Any, columns: set[str]) -> bool:
    """Return whether the columns hold a key of the table."""
    if not isinstance(table, Table):
        return False
    keys = [{column.name for column in table.primary_key}]
    keys += [{column.name} for column in table.columns if column.unique]
    keys += [
        {c.name for c in constraint.columns}
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    keys += [{c.name for c in index.columns} for index in table.indexes if index.unique and not _is_partial(index)]
    return any(key and key <= columns for key in keys)


def _is_partial(index: Index) -> bool:
    return any(options.get("where") is not None for options in index.dialect_options.values())


def _references(here: Any, there: Any) -> bool:
    return isinstance(here, Column) and here.references(there)
