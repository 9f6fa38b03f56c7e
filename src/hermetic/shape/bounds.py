"""How large one read may be; a larger one is refused before its shapes are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hermetic.errors import TooLarge

_READ_LESS = (
    "read a part: db.page(shape, statement, limit=50), or statement.limit(...)\n"
    "or a row at a time: for each in db.stream(shape, statement)"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """The rows at the root, the characters of JSON that collections take in all of them, and the rows in one list of
    one parent; None has no bound.
    """

    rows: int | None = None
    size: int | None = None
    children: int | None = None

    def of(self, verb: str) -> Bounds:
        """Return what bounds a verb: a page has a limit of its own, and a stream holds one batch at a time."""
        if verb == "page":
            return replace(self, rows=None)
        return replace(self, rows=None, size=None) if verb == "stream" else self

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

    def check_children(self, shape: str, field: str, rows: Sequence[Any], parent: Callable[[Any], Any]) -> None:
        """Refuse rows of which one parent has too many.

        Args:
            shape: the name of the shape at the root.
            field: the path of the list.
            rows: of all parents.
            parent: returns what tells the parent of a row from the others.
        Raises:
            TooLarge: one has.
        """
        if self.children is not None and len(rows) > self.children:
            most = max(Counter(map(parent, rows)).values())
            if most > self.children:
                raise too_many_children(shape, field, self.children)


def too_many_children(shape: str, field: str, most: int) -> TooLarge:
    """Return the error of a list that holds more than `most` rows."""
    return TooLarge(
        shape,
        f"{field} holds more than {most:,} rows of one parent, the most that a list of a read has",
        "children",
        f"read the first of them: many(..., limit={most})\n"
        "or read the rows themselves, by the key of the parent: db.page(...), db.stream(...)",
        field,
    )


UNBOUNDED = Bounds()
