"""Learn whether MariaDB warned about a statement: free where the driver tells, else by asking the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any


class Watch:
    """The warnings of one connection.

    PyMySQL counts them on the cursor. asyncmy keeps its count to itself, but fetches the warnings of every statement
    that has some, to log them: the watch stands in for that method of the connection object, and what it sees goes
    into no log. asyncmy offers nothing else; should it stop calling the method, `calibrate` notices, as a test shows
    (tests/db/test_mariadb.py), and the server is asked instead.
    """

    def __init__(self, driver: Any, is_async: bool) -> None:
        self._is_noted = False
        self._is_told = True
        if is_async and hasattr(driver, "show_warnings"):
            driver.show_warnings = self._noting(driver.show_warnings)

    def calibrate(self, cursor: Any) -> None:
        """Learn from a statement that caused a warning whether this driver, and what is between, tells of warnings."""
        self._is_told = not self._is_quiet(cursor)

    def forget(self) -> None:
        """Forget the statement before."""
        self._is_noted = False

    def warnings(self, cursor: Any, ask: Callable[[str], Sequence[Any]]) -> list[tuple[int, str]]:
        """Return number and text of each warning about the statement of `cursor`.

        Statements: 0 where there was none; else SHOW WARNINGS and SHOW COUNT(*) WARNINGS.
        """
        if self._is_told and self._is_quiet(cursor):
            return []
        shown = [(int(code), str(text)) for _, code, text in ask("SHOW WARNINGS")]
        hidden = int(ask("SHOW COUNT(*) WARNINGS")[0][0]) - len(shown)
        return [*shown, (HIDDEN, f"max_error_count hides {hidden} warnings")] if hidden > 0 else shown

    def _is_quiet(self, cursor: Any) -> bool:
        return not self._is_noted and not getattr(cursor, "warning_count", 0)

    def _noting(self, show: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[None]]:
        async def note() -> None:
            await show()
            self._is_noted = True

        return note


HIDDEN = 0
"""The number in place of those of warnings that the server did not keep."""
