"""How large one read may be; a larger one is refused before its shapes are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hermetic.errors import TooLarge

_READ_LESS = (
    "read a part: db.page(shape, statement, limit=50), or statement.limit(...)\n"
    "or a row at a time: for each in db.stream(shape, statement)"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The rows at the root, and the characters of JSON that collections take in all of them; None has no bound."""

    rows: int | None = None
    size: int | None = None

    def check_limit(self, shape: str, limit: int | None) -> None:
        """Refuse a statement whose own limit is above the bound.

        Raises:
            TooLarge: it is.
        """
        if limit is not None and self.rows is not None and limit > self.rows:
            raise TooLarge(
                shape, f"its limit is {limit:,}, and a read has at most {self.rows:,} rows", "rows", _READ_LESS
            )

    def check(self, shape: str, rows: Sequence[Sequence[Any]], texts: Sequence[int]) -> None:
        """Refuse rows that are too many, or whose columns `texts` are too long.

        Raises:
            TooLarge: they are.
        """
        if self.rows is not None and len(rows) > self.rows:
            raise TooLarge(
                shape, f"it finds more than {self.rows:,} rows, the most that a read has", "rows", _READ_LESS
            )
        if self.size is not None and texts:
            found = sum(len(row[index] or "") for index in texts for row in rows)
            if found > self.size:
                raise TooLarge(
                    shape,
                    f"its collections take {found:,} bytes, and those of a read have at most {self.size:,}",
                    "bytes",
                    f"limit each collection: Annotated[list[...], many(..., limit=...)]\n{_READ_LESS}",
                )


UNBOUNDED = Bounds()
