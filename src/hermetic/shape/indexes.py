"""Whether the children of a relationship are found through an index, as far as the model says."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Table, UniqueConstraint
from sqlalchemy.orm import RelationshipProperty


def missing_index(way: RelationshipProperty[Any]) -> str | None:
    """Return the `CREATE INDEX` that finding the children of a parent lacks, or None where the model has one."""
    columns = [there for _, there in way.synchronize_pairs]
    table = columns[0].table if columns else None
    names = [column.name for column in columns]
    if not isinstance(table, Table) or _is_indexed(table, set(names)):
        return None
    return f"CREATE INDEX ix_{table.name}_{'_'.join(names)} ON {table.fullname} ({', '.join(names)})"


def _is_indexed(table: Table, columns: set[str]) -> bool:
    keys = [[column.name for column in table.primary_key.columns]]
    keys += [[column.name for column in index.columns] for index in table.indexes]
    keys += [[c.name for c in each.columns] for each in table.constraints if isinstance(each, UniqueConstraint)]
    keys += [[column.name] for column in table.columns if column.index or column.unique]
    return any(set(key[: len(columns)]) == columns for key in keys)
