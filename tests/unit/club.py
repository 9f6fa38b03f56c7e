"""A chess club, with every kind of attribute that a shape can be wrong about."""

from __future__ import annotations

import dataclasses
import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, ForeignKey, Numeric, PickleType, Table
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_method, hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, composite, mapped_column, relationship, synonym


class ClubBase(DeclarativeBase):
    """Plain, so that the models stand for those of an existing project."""


player_title = Table(
    "player_title",
    ClubBase.metadata,
    Column("player_id", ForeignKey("player.id"), primary_key=True),
    Column("title_id", ForeignKey("title.id"), primary_key=True),
)


@dataclasses.dataclass
class Square:
    row: int
    line: int


class Team(ClubBase):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    town: Mapped[str | None]
    founded: Mapped[datetime.date]
    fee: Mapped[Decimal] = mapped_column(Numeric(8, 2))
    players: Mapped[list[Player]] = relationship(foreign_keys="Player.team_id", back_populates="team")
    guests: Mapped[list[Player]] = relationship(foreign_keys="Player.guest_of_id")
    rooms: Mapped[list[Room]] = relationship()
    veterans: Mapped[list[Player]] = relationship(
        primaryjoin="and_(Player.team_id == Team.id, Player.id < Team.id)", viewonly=True
    )


class Player(ClubBase):
    __tablename__ = "player"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    rating: Mapped[int]
    notes: Mapped[Any] = mapped_column(PickleType)
    row: Mapped[int]
    line: Mapped[int]
    square: Mapped[Square] = composite("row", "line")
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    guest_of_id: Mapped[int | None] = mapped_column(ForeignKey("team.id"))
    mentor_id: Mapped[int | None] = mapped_column(ForeignKey("player.id"))
    team: Mapped[Team] = relationship(foreign_keys=[team_id], back_populates="players")
    guest_of: Mapped[Team | None] = relationship(foreign_keys=[guest_of_id], viewonly=True)
    mentor: Mapped[Player | None] = relationship(remote_side=[id], back_populates="pupils")
    pupils: Mapped[list[Player]] = relationship(back_populates="mentor")
    badge: Mapped[Badge | None] = relationship(back_populates="player")
    titles: Mapped[list[Title]] = relationship(secondary=player_title)
    best_title: Mapped[Title | None] = relationship(secondary=player_title, viewonly=True)
    nick = synonym("name")
    title_names: AssociationProxy[list[str]] = association_proxy("titles", "name")

    @hybrid_property
    def label(self) -> str:
        return self.name + "!"

    @hybrid_property
    def shouted(self) -> str:
        return self.name.upper()

    @hybrid_property
    def greeting(self) -> str:
        return f"dear {self.name}"

    @hybrid_property
    def teacher(self) -> int | None:
        return self.mentor_id

    @hybrid_method
    def beats(self, rating: int) -> bool:
        return self.rating > rating


class Badge(ClubBase):
    __tablename__ = "badge"
    id: Mapped[int] = mapped_column(primary_key=True)
    color: Mapped[str]
    player_id: Mapped[int] = mapped_column(ForeignKey("player.id"))
    player: Mapped[Player] = relationship(back_populates="badge")


class Room(ClubBase):
    __tablename__ = "room"
    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))


class Hall(ClubBase):
    __tablename__ = "hall"
    id: Mapped[int] = mapped_column(primary_key=True)
    events: Mapped[list[Event]] = relationship()


class Event(ClubBase):
    __tablename__ = "event"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_abstract": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    hall_id: Mapped[int] = mapped_column(ForeignKey("hall.id"))


class Match(Event):
    __mapper_args__ = {"polymorphic_identity": "match"}  # noqa: RUF012


class Blitz(Match):
    __mapper_args__ = {"polymorphic_identity": "blitz"}  # noqa: RUF012


class Lesson(Event):
    __mapper_args__ = {"polymorphic_identity": "lesson"}  # noqa: RUF012


class Title(ClubBase):
    __tablename__ = "title"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Sponsor(ClubBase):
    __tablename__ = "sponsor"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class NotMapped:
    pass
