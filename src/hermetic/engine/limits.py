"""`Limits`: how much one read may return."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one read of a database may return; what asks for more is refused, before it is in memory as shapes.

    Attributes:
        rows: that one read of a shape finds, 1 to n. A statement without a limit is sent with one of `rows` + 1, so
            that the server stops there. None sets no bound.
        bytes: of JSON in which the collections of one read travel, 1 to n; counted, a character as one, before it is
            decoded. None sets no bound.
        children: rows in one list of one parent, 1 to n; counted before shapes are made of them. A list whose own limit
            is lower is not looked at. None sets no bound.
        page: rows of a page, 1 to n.

    A page is bounded by `page`, `bytes` and `children`. `stream` is bounded by `children` alone: it never holds more
    than a batch.
    """

    rows: int | None = 100_000
    bytes: int | None = 256 * 2**20
    children: int | None = 10_000
    page: int = 1000

    def __post_init__(self) -> None:
        for name in ("rows", "bytes", "children", "page"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"Limits {name}={value} admits nothing; use 1 or more")
