"""A record shelf with every kind of value an order can have, and random orders over it."""

from __future__ import annotations

import datetime
import enum
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any

from hypothesis import strategies as st
from sqlalchemy import ForeignKey, MetaData, Numeric, Select, case, func, select
from sqlalchemy.orm import Mapped, aliased, mapped_column, relationship

from hermetic import Base, Shape, path


class Mood(enum.Enum):
    CALM = "calm"
    LOUD = "loud"


class ShelfBase(Base):
    """Tables apart from those of the other tests."""

    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Disc(ShelfBase):
    __tablename__ = "disc"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    year: Mapped[int | None]
    tracks: Mapped[list[Song]] = relationship(back_populates="disc")


class Song(ShelfBase):
    __tablename__ = "song"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    label: Mapped[str | None]
    rating: Mapped[int | None]
    plays: Mapped[int]
    loudness: Mapped[float | None]
    price: Mapped[Annotated[Decimal, mapped_column(Numeric(8, 2))] | None]
    at: Mapped[datetime.datetime | None]
    day: Mapped[datetime.date | None]
    length: Mapped[datetime.timedelta | None]
    mood: Mapped[Mood | None]
    code: Mapped[uuid.UUID | None]
    is_live: Mapped[bool]
    disc_id: Mapped[int | None] = mapped_column(ForeignKey("disc.id", ondelete="SET NULL"), index=True)
    disc: Mapped[Disc | None] = relationship(back_populates="tracks")


class SongLine(Shape[Song]):
    id: int
    name: str
    disc_title: Annotated[str | None, path(Song.disc, Disc.title)]


UTC = datetime.UTC
small = st.integers(0, 2)
texts = st.sampled_from(["a", "b", "B", "", "é", "a b"])
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": texts,
    "label": st.none() | texts,
    "rating": st.none() | small,
    "plays": small,
    "loudness": st.none() | st.sampled_from([0.1 + 0.2, 0.3, -1.5, 5e-324]),
    "price": st.none() | st.sampled_from([Decimal("1.10"), Decimal("1.09"), Decimal("-3.00")]),
    "at": st.none() | st.sampled_from([datetime.datetime(2024, 1, 1, 0, 0, 0, n, UTC) for n in (0, 1, 999_999)]),
    "day": st.none() | st.sampled_from([datetime.date(2024, 1, 1), datetime.date(2024, 2, 29)]),
    "length": st.none() | st.sampled_from([datetime.timedelta(seconds=1, microseconds=n) for n in (0, 1)]),
    "mood": st.none() | st.sampled_from(list(Mood)),
    "code": st.none() | st.sampled_from([uuid.UUID(int=n) for n in (0, 1, 2**127)]),
    "is_live": st.booleans(),
}


@st.composite
def tracks(draw: st.DrawFn, first: int = 1, most: int = 12) -> list[dict[str, Any]]:
    """Draw the rows of `song`; most values tie, many are NULL."""
    count = draw(st.integers(0, most))
    keys = draw(st.permutations(range(first, first + count)))
    return [
        {"id": key, "disc_id": draw(st.none() | st.integers(1, 3)), **{n: draw(v) for n, v in VALUES.items()}}
        for key in keys
    ]


DISCS = [
    {"id": 1, "title": "x", "year": 1999},
    {"id": 2, "title": "x", "year": None},
    {"id": 3, "title": "y", "year": 5},
]

# what an order can be made of: columns, expressions, columns of a joined table
Expression = Callable[[Any, Any], Any]
EXPRESSIONS: dict[str, Expression] = {name: lambda t, d, n=name: getattr(t, n) for name in (*VALUES, "id", "disc_id")}
EXPRESSIONS |= {
    "lower(label)": lambda t, d: func.lower(t.label),
    "rating + 1": lambda t, d: t.rating + 1,
    "coalesce(label)": lambda t, d: func.coalesce(t.label, "~"),
    "plays case": lambda t, d: case((t.plays > 1, "many"), else_="few"),
    "disc.title": lambda t, d: d.title,
    "disc.year": lambda t, d: d.year,
}


@dataclass(frozen=True)
class Listing:
    """A statement, made anew each time as an application does, and the same with the order that its pages have."""

    order: tuple[tuple[str, bool, bool | None], ...]
    join: bool
    is_alias: bool
    most: int | None

    def chosen(self) -> Select[Song]:
        return self._made()[0]

    def oracle(self) -> Select[Any]:
        """Return the statement that finds the ids, ties in the direction of the last expression."""
        made, track = self._made()
        descends = bool(self.order) and self.order[-1][1]
        return made.order_by(track.id.desc() if descends else track.id).with_only_columns(track.id)

    def _made(self) -> tuple[Select[Song], Any]:
        track: Any = aliased(Song) if self.is_alias else Song
        disc: Any = aliased(Disc) if self.is_alias else Disc
        made: Select[Song] = select(track)
        if any(name.startswith("disc.") for name, *_ in self.order):
            made = made.join(track.disc.of_type(disc), isouter=self.join)
        if self.most is not None:
            made = made.where(track.plays <= self.most)
        order = (_ordering(EXPRESSIONS[name](track, disc), down, first) for name, down, first in self.order)
        return made.order_by(*order), track


def listings(*, has_nulls_syntax: bool) -> st.SearchStrategy[Listing]:
    """Draw a statement over `Song` with a random order, which need not be unique."""
    nulls = st.sampled_from([None, None, True, False]) if has_nulls_syntax else st.none()
    order = st.lists(st.tuples(st.sampled_from(sorted(EXPRESSIONS)), st.booleans(), nulls), max_size=3).map(tuple)
    return st.builds(Listing, order, st.booleans(), st.booleans(), st.none() | st.integers(0, 2))


def _ordering(expression: Any, is_descending: bool, nulls_first: bool | None) -> Any:
    ordered = expression.desc() if is_descending else expression
    if nulls_first is None:
        return ordered
    return ordered.nulls_first() if nulls_first else ordered.nulls_last()
