"""Send the statements of a plan and return their rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, CursorResult

from hermetic.shape import TABLES, Fetch, Parameters, Rows, Step


def executed(
    connection: Connection, step: Step, sql: str, parameters: Parameters, options: Mapping[str, Any] | None = None
) -> CursorResult[Any]:
    """Send the statement of a step and return its open result."""
    result = connection.exec_driver_sql(sql, parameters, {TABLES: step.tables, **(options or {})})
    if not step.is_learned:
        cursor: Any = result.cursor  # open: a SELECT returns rows
        step.learn([column[1] for column in cursor.description])
    return result


def fetching(connection: Connection) -> Fetch:
    """Return what fetches on `connection`, inside its transaction."""

    def fetch(step: Step, sql: str, parameters: Parameters) -> Rows:
        return executed(connection, step, sql, parameters).all()

    return fetch
