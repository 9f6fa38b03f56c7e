"""The models of these tests: telescopes make observations, observations have keywords."""

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import Decimal
from typing import Annotated

import msgspec
from sqlalchemy import Column, ForeignKey, MetaData, Numeric, String, Table
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hermetic import Base, Shape, count, path


class ObservatoryBase(Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


observation_keyword = Table(
    "observation_keyword",
    ObservatoryBase.metadata,
    Column("observation_id", ForeignKey("observation.id", ondelete="CASCADE"), primary_key=True),
    Column("keyword_id", ForeignKey("keyword.id", ondelete="CASCADE"), primary_key=True, index=True),
)


class Telescope(ObservatoryBase):
    __tablename__ = "telescope"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    nickname: Mapped[str | None]
    observations: Mapped[list[Observation]] = relationship(
        back_populates="telescope", cascade="all, delete-orphan", passive_deletes=True
    )


class Observation(ObservatoryBase):
    __tablename__ = "observation"
    id: Mapped[int] = mapped_column(primary_key=True)
    target: Mapped[str]
    telescope_id: Mapped[int] = mapped_column(ForeignKey("telescope.id", ondelete="CASCADE"), index=True)
    telescope: Mapped[Telescope] = relationship(back_populates="observations")
    keywords: Mapped[list[Keyword]] = relationship(secondary=observation_keyword, order_by="Keyword.id")


class Keyword(ObservatoryBase):
    __tablename__ = "keyword"
    id: Mapped[int] = mapped_column(primary_key=True)
    word: Mapped[str] = mapped_column(String(30), unique=True)


class Band(enum.Enum):
    VISIBLE = "V"
    INFRARED = "K"


class Mount(msgspec.Struct, frozen=True):
    kind: str
    axes: int


class Instrument(ObservatoryBase):
    """A column of each type that the conventions decide."""

    __tablename__ = "instrument"
    id: Mapped[int] = mapped_column(primary_key=True)
    pixels: Mapped[int]
    price: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    first_light: Mapped[datetime.datetime]
    exposure: Mapped[datetime.timedelta]
    band: Mapped[Band]
    mount: Mapped[Mount]
    serial: Mapped[uuid.UUID]
    note: Mapped[str | None] = mapped_column(String(200))


class KeywordName(Shape[Keyword]):
    word: str


class ObservationLine(Shape[Observation]):
    target: str
    keywords: list[KeywordName]


class TelescopeCard(Shape[Telescope]):
    id: int
    name: str
    nickname: str | None
    observations: list[ObservationLine]
    observed: Annotated[int, count(Telescope.observations)]


class ObservationRow(Shape[Observation]):
    target: str
    telescope_name: Annotated[str, path(Observation.telescope, Telescope.name)]


class LegacyBase(DeclarativeBase):
    """A project that was there before hermetic; its models map the same tables."""


class LegacyTelescope(LegacyBase):
    __tablename__ = "telescope"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    observations: Mapped[list[LegacyObservation]] = relationship(order_by="LegacyObservation.id")


class LegacyObservation(LegacyBase):
    __tablename__ = "observation"
    id: Mapped[int] = mapped_column(primary_key=True)
    target: Mapped[str]
    telescope_id: Mapped[int] = mapped_column(ForeignKey("telescope.id"))


HALE, SUBARU, KECK = 1, 2, 3
M31, M42, NGC891 = 1, 2, 3

# keys from 1000 on are left to the tests
EMPTY = """
DELETE FROM instrument; DELETE FROM observation_keyword; DELETE FROM observation; DELETE FROM keyword;
DELETE FROM telescope;
"""
ROWS = """
INSERT INTO telescope (id, name, nickname) VALUES (1, 'Hale', NULL), (2, 'Subaru', 'Pleiades'), (3, 'Keck', NULL);
INSERT INTO observation (id, target, telescope_id) VALUES (1, 'M31', 1), (2, 'M42', 1), (3, 'NGC 891', 2);
INSERT INTO keyword (id, word) VALUES (1, 'galaxy'), (2, 'nebula');
INSERT INTO observation_keyword (observation_id, keyword_id) VALUES (1, 1), (2, 2), (3, 1);
"""
COUNTED = ("telescope", "observation", "keyword", "instrument")
SEQUENCES = "".join(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 1000);" for table in COUNTED)
