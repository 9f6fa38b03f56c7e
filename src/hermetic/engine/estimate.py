"""About how many rows a statement finds, from the statistics that the server's planner keeps."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ClauseElement, Connection, Executable, Select, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from hermetic.shape import gathered

_ROWS = re.compile(r"rows=(\d+)")


def estimated(connection: Connection, statement: Select[Any]) -> int | None:
    """Return about how many rows the statement finds; None on a database that does not tell.

    Statements: 1 EXPLAIN on PostgreSQL; it does not run the statement.
    """
    if connection.dialect.name != "postgresql":
        return None
    counted: Select[Any] = gathered(
        statement.with_only_columns(literal_column("1"), maintain_column_froms=True), connection.dialect
    )
    plan = str(connection.execute(_Explained(counted)).scalars().first())
    found = _ROWS.search(plan)
    return int(found[1]) if found is not None else None


class _Explained(Executable, ClauseElement):
    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(_Explained, "postgresql")
def _explain(element: _Explained, compiler: SQLCompiler, **options: Any) -> str:
    return f"EXPLAIN {compiler.process(element.statement, **options)}"
