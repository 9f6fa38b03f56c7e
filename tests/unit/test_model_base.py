"""`Base`: the conventions that a model gets without asking."""

from __future__ import annotations

import datetime
import decimal
import enum
import gc
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NewType

import msgspec
import pytest
from sqlalchemy import (
    CheckConstraint,
    DateTime,
    ForeignKey,
    Interval,
    Numeric,
    String,
    UniqueConstraint,
    create_engine,
)
from sqlalchemy.dialects import mysql, postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import Mapped, MappedAsDataclass, Session, mapped_column
from sqlalchemy.schema import CreateTable

from hermetic.model import AwareDateTime, Base, ExactDecimal, ExactInterval, Json, enum_by_value

OrderId = NewType("OrderId", int)


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Settings(msgspec.Struct, frozen=True):
    theme: str


@dataclass(frozen=True)
class Point:
    x: int
    y: int


class Everything(Base):
    __tablename__ = "model_everything"
    __table_args__ = (UniqueConstraint("name", "number"), CheckConstraint("number > 0", name="positive"))
    id: Mapped[OrderId] = mapped_column(primary_key=True)
    number: Mapped[int]
    name: Mapped[str] = mapped_column(String(30), index=True)
    text: Mapped[str | None]
    at: Mapped[datetime.datetime]
    day: Mapped[datetime.date]
    hour: Mapped[datetime.time]
    lasts: Mapped[datetime.timedelta]
    price: Mapped[decimal.Decimal] = mapped_column(Numeric(10, 2))
    size: Mapped[Size]
    key: Mapped[uuid.UUID]
    data: Mapped[bytes]
    ratio: Mapped[float]
    is_on: Mapped[bool]
    settings: Mapped[Settings]
    point: Mapped[Point | None]
    tags: Mapped[list[str]] = mapped_column(Json(list[str]))
    up_id: Mapped[OrderId | None] = mapped_column(ForeignKey("model_everything.id"), index=True)


@pytest.fixture(autouse=True)
def _forget_models() -> Iterator[None]:
    before = set(Base.metadata.tables)
    yield
    for name in set(Base.metadata.tables) - before:
        Base.metadata.remove(Base.metadata.tables[name])
        gc.collect()


def ddl(dialect: Dialect) -> dict[str, str]:
    """Return the DDL of each column by its name."""
    text = str(CreateTable(Everything.__table__).compile(dialect=dialect))  # type: ignore[arg-type]
    lines = [line.strip().rstrip(",") for line in text.splitlines()]
    return {line.split()[0]: line.split(maxsplit=1)[1] for line in lines if " " in line and not line.startswith("C")}


def test_the_types_on_postgresql_are_those_of_the_guide() -> None:
    assert ddl(postgresql.dialect()) == {
        "id": "BIGSERIAL NOT NULL",
        "number": "BIGINT NOT NULL",
        "name": "VARCHAR(30) NOT NULL",
        "text": "VARCHAR",
        "at": "TIMESTAMP WITH TIME ZONE NOT NULL",
        "day": "DATE NOT NULL",
        "hour": "TIME WITHOUT TIME ZONE NOT NULL",
        "lasts": "INTERVAL NOT NULL",
        "price": "NUMERIC(10, 2) NOT NULL",
        "size": "VARCHAR(64) NOT NULL",
        "key": "UUID NOT NULL",
        "data": "BYTEA NOT NULL",
        "ratio": "DOUBLE PRECISION NOT NULL",
        "is_on": "BOOLEAN NOT NULL",
        "settings": "JSONB NOT NULL",
        "point": "JSONB",
        "tags": "JSONB NOT NULL",
        "up_id": "BIGINT",
    }


def test_the_types_on_mariadb_keep_microseconds_and_have_lengths() -> None:
    types = ddl(mysql.dialect())
    assert types["at"] == "DATETIME(6) NOT NULL"
    assert types["hour"].startswith("TIME(6)")
    assert types["data"].startswith("LONGBLOB")
    assert types["text"] == "VARCHAR(255)"
    assert types["lasts"] == "BIGINT NOT NULL"


def test_the_constraints_have_the_names_that_alembic_advises() -> None:
    table = Everything.__table__
    names = {str(each.name) for each in table.constraints} | {str(each.name) for each in table.indexes}  # type: ignore[attr-defined]
    assert names == {
        "pk_model_everything",
        "uq_model_everything_name_number",
        "ck_model_everything_positive",
        "fk_model_everything_up_id_model_everything",
        "ix_model_everything_name",
        "ix_model_everything_up_id",
    }


def test_a_primary_key_counts_up_on_sqlite() -> None:
    class Counted(Base):
        __tablename__ = "model_counted"
        id: Mapped[int] = mapped_column(primary_key=True)

    engine = create_engine("sqlite://")
    Base.metadata.create_all(engine, [Counted.__table__])  # type: ignore[list-item]
    with Session(engine) as session:
        session.add_all([Counted(), Counted()])
        session.commit()
        assert {each.id for each in session.query(Counted)} == {1, 2}
    engine.dispose()


def test_types_written_in_full_get_their_exact_form() -> None:
    class Written(Base):
        __tablename__ = "model_written"
        id: Mapped[int] = mapped_column(primary_key=True)
        price: Mapped[decimal.Decimal] = mapped_column(Numeric(12, 4))
        at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True))
        lasts: Mapped[datetime.timedelta] = mapped_column(Interval())
        ratio: Mapped[float] = mapped_column(Numeric(10, 2, asdecimal=False))

    kinds: dict[str, Any] = {column.name: column.type for column in Written.__table__.columns}
    assert isinstance(kinds["price"], ExactDecimal)
    assert (kinds["price"].precision, kinds["price"].scale) == (12, 4)
    assert isinstance(kinds["at"], AwareDateTime)
    assert isinstance(kinds["lasts"], ExactInterval)
    assert type(kinds["ratio"]) is Numeric


def test_a_column_of_a_single_table_subclass_gets_its_exact_form() -> None:
    class Item(Base):
        __tablename__ = "model_item"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "item"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]

    class Sold(Item):
        __mapper_args__ = {"polymorphic_identity": "sold"}  # noqa: RUF012
        price: Mapped[decimal.Decimal | None] = mapped_column(Numeric(12, 4))

    assert isinstance(Sold.price.type, ExactDecimal)
    assert isinstance(Item.__table__.c.price.type, ExactDecimal)


def test_an_abstract_base_of_the_user_keeps_the_conventions() -> None:
    class AppBase(Base):
        __abstract__ = True
        made_at: Mapped[datetime.datetime]

    class Made(AppBase):
        __tablename__ = "model_made"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert isinstance(Made.__table__.c.made_at.type, AwareDateTime)
    assert issubclass(Made, AsyncAttrs)


def test_a_base_of_dataclasses_works() -> None:
    class DataBase(MappedAsDataclass, Base):
        __abstract__ = True

    class Row(DataBase):
        __tablename__ = "model_row"
        id: Mapped[int] = mapped_column(primary_key=True, init=False)
        name: Mapped[str]

    assert Row(name="a") == Row(name="a")


def test_every_type_tells_its_python_type() -> None:
    kinds = {column.name: column.type.python_type for column in Everything.__table__.columns}
    assert kinds["at"] is datetime.datetime
    assert kinds["lasts"] is datetime.timedelta
    assert kinds["price"] is decimal.Decimal
    assert kinds["size"] is Size
    assert kinds["key"] is uuid.UUID
    assert kinds["settings"] is Settings
    assert kinds["tags"] is list
    assert enum_by_value(Size).enums == ["1", "2"]
