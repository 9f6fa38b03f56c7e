"""Which tables a filter or an order names: those of the child and of the table that links to it have one meaning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ClauseElement, SelectBase


def clause_of(expression: Any) -> Any:
    """Return the SQL expression behind a mapped attribute; anything else is one already."""
    return expression.__clause_element__() if hasattr(expression, "__clause_element__") else expression


def tables_named(expression: Any) -> list[Any]:
    """Return the tables and aliases whose columns stand in `expression`, those inside its subqueries left out."""
    return [table for part in _parts(clause_of(expression)) if (table := getattr(part, "table", None)) is not None]


def names_table(expression: Any, table: Any) -> bool:
    """Return whether a column of `table` stands in `expression`."""
    return table is not None and table in tables_named(expression)


def _parts(clause: ClauseElement) -> Iterator[ClauseElement]:
    if isinstance(clause, SelectBase):  # it has a FROM of its own
        return
    yield clause
    for child in clause.get_children():
        yield from _parts(child)
