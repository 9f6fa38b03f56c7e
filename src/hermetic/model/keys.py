"""The rule for foreign keys: each has an index that begins with its columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, Table, UniqueConstraint
from sqlalchemy.orm import Mapper

from hermetic.errors import Problem
from hermetic.model.columns import own_columns, table_of
from hermetic.model.lines import column_line, quoted


def key_problems(mapper: Mapper[Any]) -> Iterator[Problem]:
    """Return the foreign keys of a model that no index covers. PostgreSQL makes none by itself.

    Source: PostgreSQL manual, "Foreign Keys": declaring one does not create an index on the referencing columns.
    """
    table = table_of(mapper)
    if table is None:
        return
    own = {column: key for key, column in own_columns(mapper)}
    indexes = list(_indexes(table))
    for constraint in sorted(table.foreign_key_constraints, key=lambda each: list(each.column_keys)):
        columns = list(constraint.columns)
        is_own = all(column in own for column in columns)
        if is_own and not any(set(columns) == set(index[: len(columns)]) for index in indexes):
            yield _problem(mapper.class_, constraint, [own[column] for column in columns])


def _indexes(table: Table) -> Iterator[list[Any]]:
    """Return the columns of each index of a table, leading first; a key or unique constraint is an index too."""
    for index in table.indexes:
        yield list(index.expressions)
    for constraint in table.constraints:
        if isinstance(constraint, (PrimaryKeyConstraint, UniqueConstraint)):
            yield list(constraint.columns)


def _problem(cls: type[Any], constraint: ForeignKeyConstraint, keys: list[str]) -> Problem:
    columns = list(constraint.columns)
    table = constraint.table.name
    if len(columns) == 1:
        fix = column_line(cls, keys[0], columns[0], index="True")
    else:
        names = [column.name for column in columns]
        arguments = ", ".join(quoted(each) for each in ("_".join(["ix", table, *names]), *names))
        fix = f"__table_args__ = (Index({arguments}),)"
    target = constraint.elements[0].target_fullname.rpartition(".")[0]
    what = f"has a foreign key without an index, so deleting a row of {target} reads all of {table}"
    return Problem(f"{cls.__name__}.{', '.join(keys)}", what, fix)
