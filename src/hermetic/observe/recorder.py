"""Record the statements that a database is sent."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, event


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it was sent: its text, never its values.

    `is_batch` says that the driver was given several rows of values at once.
    """

    sql: str
    is_batch: bool = False


class Recorder:
    """The open recordings of one database; nothing is kept while there is none."""

    def __init__(self, engine: Engine) -> None:
        self._recordings: list[list[Statement]] = []
        event.listen(engine, "before_cursor_execute", self._executed)

    def _executed(self, conn: Any, cursor: Any, sql: str, parameters: Any, context: Any, executemany: bool) -> None:
        self.sent(sql, is_batch=executemany)

    def sent(self, sql: str, *, is_batch: bool = False) -> None:
        """Add a statement to every open recording; called by each path that SQLAlchemy's cursor events do not see."""
        for recording in self._recordings:
            recording.append(Statement(sql, is_batch))

    @contextmanager
    def recording(self) -> Generator[list[Statement]]:
        """Yield a list that grows with each statement sent until the block ends."""
        statements: list[Statement] = []
        self._recordings.append(statements)
        try:
            yield statements
        finally:
            self._recordings = [kept for kept in self._recordings if kept is not statements]
