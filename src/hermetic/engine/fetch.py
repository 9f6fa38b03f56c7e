"""Send the statements of a plan and return their rows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from hermetic.shape import TABLES, Fetch, Parameters, Rows, Step


def fetching(connection: Connection) -> Fetch:
    """Return what fetches on `connection`, inside its transaction."""

    def fetch(step: Step, sql: str, parameters: Parameters) -> Rows:
        result = connection.exec_driver_sql(sql, parameters, {TABLES: step.tables})
        if not step.is_learned:
            cursor: Any = result.cursor  # open: a SELECT returns rows
            step.learn([column[1] for column in cursor.description])
        return result.all()

    return fetch
