"""`Limits`: how much one read may return."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one read of a database may return; what asks for more is refused.

    Attributes:
        page: rows of a page, 1 to n.
    """

    page: int = 1000

    def __post_init__(self) -> None:
        if self.page < 1:
            raise ValueError(f"Limits page={self.page} admits no page; use 1 or more")
