"""Types of MariaDB alone: each value comes back exactly at the root and inside a collection, or is refused."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import JSON, ForeignKey, Uuid, select, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, Database, Shape, ValueMismatch


class Plain(DeclarativeBase):
    """Plain: none of hermetic's conventions."""


class Shelf(Plain):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    things: Mapped[list[Thing]] = relationship(order_by="Thing.id")


class Thing(Plain):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id"))
    bits: Mapped[int | None] = mapped_column(mysql.BIT(9))
    flags: Mapped[set[str] | None] = mapped_column(mysql.SET("a", "b", 'c "d" \\', "é"))
    status: Mapped[str | None] = mapped_column(mysql.ENUM("on", "off", "null"))
    truth: Mapped[bool | None]
    unsigned: Mapped[int | None] = mapped_column(mysql.BIGINT(unsigned=True))
    year: Mapped[int | None] = mapped_column(mysql.YEAR)
    wide: Mapped[Decimal | None] = mapped_column(mysql.DECIMAL(65, 30))
    single: Mapped[float | None] = mapped_column(mysql.FLOAT)
    double: Mapped[float | None] = mapped_column(mysql.DOUBLE(asdecimal=False))
    latin: Mapped[str | None] = mapped_column(mysql.VARCHAR(20, charset="latin1"))
    folded: Mapped[str | None] = mapped_column(mysql.VARCHAR(20, collation="utf8mb4_unicode_ci"))
    padded: Mapped[str | None] = mapped_column(mysql.CHAR(5))
    long: Mapped[str | None] = mapped_column(mysql.LONGTEXT)
    document: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    long_document: Mapped[Any] = mapped_column(JSON(none_as_null=True), nullable=True)
    fixed: Mapped[bytes | None] = mapped_column(mysql.BINARY(4))
    raw: Mapped[bytes | None] = mapped_column(mysql.VARBINARY(100))
    key: Mapped[uuid.UUID | None] = mapped_column(Uuid)
    hex_key: Mapped[uuid.UUID | None] = mapped_column(Uuid(native_uuid=False))
    at: Mapped[datetime.datetime | None] = mapped_column(mysql.TIMESTAMP(fsp=6))
    local: Mapped[datetime.datetime | None] = mapped_column(mysql.DATETIME(fsp=6))
    day: Mapped[datetime.date | None]
    hour: Mapped[datetime.time | None] = mapped_column(mysql.TIME(fsp=6))


class ThingLine(Shape[Thing]):
    bits: int | None
    flags: set[str] | None
    status: str | None
    truth: bool | None
    unsigned: int | None
    year: int | None
    wide: Decimal | None
    single: float | None
    double: float | None
    latin: str | None
    folded: str | None
    padded: str | None
    long: str | None
    document: dict[str, Any] | list[Any] | None
    long_document: dict[str, Any] | list[Any] | None
    fixed: bytes | None
    raw: bytes | None
    key: uuid.UUID | None
    hex_key: uuid.UUID | None
    at: datetime.datetime | None
    local: datetime.datetime | None
    day: datetime.date | None
    hour: datetime.time | None


class ShelfCard(Shape[Shelf]):
    things: list[ThingLine]


ROWS: list[dict[str, Any]] = [
    {},
    {
        "bits": 0b110000001,
        "flags": {"a", 'c "d" \\', "é"},
        "status": "null",
        "truth": True,
        "unsigned": 2**64 - 1,
        "year": 2155,
        "wide": Decimal("-12345678901234567890123456789012345.000000000000000000000000000001"),
        "single": 16777216.0,
        "double": 0.1 + 0.2,
        "latin": "é ÿ",
        "folded": "É😀",
        "padded": "ab",
        "long": "a\x00😀\u2028\\\"' %s",
        "document": {"b": [1, 2.5, None], "a": "é😀", "": True},
        "long_document": {"b": [1, 2.5, None], "a": "é😀"},
        "fixed": b"\x00\xff\x01 ",
        "raw": bytes(range(100)),
        "key": uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
        "hex_key": uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"),
        "at": datetime.datetime(2030, 1, 2, 10, 11, 12, 123456),  # noqa: DTZ001
        "local": datetime.datetime(1, 1, 1),  # noqa: DTZ001
        "day": datetime.date(9999, 12, 31),
        "hour": datetime.time(23, 59, 59, 999999),
    },
    {
        "bits": 0,
        "flags": set(),
        "status": "off",
        "truth": False,
        "unsigned": 0,
        "wide": Decimal(0),
        "single": 0.5,
        "double": -5e-324,
        "latin": "",
        "long": "",
        "document": [],
        "long_document": [[], {}],
        "fixed": bytes(4),
        "raw": b"",
        "local": datetime.datetime(9999, 12, 31, 23, 59, 59, 999999),  # noqa: DTZ001
        "day": datetime.date(1, 1, 1),
        "hour": datetime.time(0),
    },
]


@pytest.fixture(scope="module")
def url(new_database: Callable[..., str]) -> str:
    made = new_database("pymysql")
    with Database(made) as db:
        db.create_all(Plain)
        with db.engine.begin() as connection:  # as schemas have it that are older than the JSON type
            connection.execute(text("ALTER TABLE thing MODIFY long_document LONGTEXT CHARACTER SET utf8mb3"))
            connection.execute(text("ALTER TABLE thing MODIFY long_document LONGTEXT COLLATE utf8mb4_general_ci"))
    return made


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    """The tables of `Plain`, with one shelf."""
    with Database(url) as made:
        with made.begin() as uow:
            uow.session.execute(Thing.__table__.delete())
            uow.session.execute(Shelf.__table__.delete())
            uow.add(Shelf(id=1))
        yield made


def _read_async(url: str) -> tuple[list[ThingLine], ShelfCard]:
    async def main() -> tuple[list[ThingLine], ShelfCard]:
        async with AsyncDatabase(url.replace("+pymysql", "+asyncmy")) as db:
            return await db.all(ThingLine, select(Thing).order_by(Thing.id)), await db.get_one(ShelfCard, 1)

    return asyncio.run(main())


@pytest.mark.parametrize("driver", ["pymysql", "asyncmy"])
def test_every_type_is_exact_at_the_root_and_inside_a_collection(db: Database, url: str, driver: str) -> None:
    with db.begin() as uow:
        uow.add_all([Thing(id=number, shelf_id=1, **row) for number, row in enumerate(ROWS, 1)])
    expected = [ThingLine(**{name: row.get(name) for name in ThingLine.__struct_fields__}) for row in ROWS]
    if driver == "asyncmy":
        root, card = _read_async(url)
    else:
        root, card = db.all(ThingLine, select(Thing).order_by(Thing.id)), db.get_one(ShelfCard, 1)
    for name in ThingLine.__struct_fields__:
        for found in (root, card.things):
            assert [getattr(each, name) for each in found] == [getattr(each, name) for each in expected], name
    assert root == card.things == expected


@pytest.mark.parametrize("driver", ["pymysql", "asyncmy"])
def test_a_single_float_is_the_number_that_is_stored_and_not_its_six_digits(
    db: Database, url: str, driver: str
) -> None:
    with db.begin() as uow:
        uow.add(Thing(id=1, shelf_id=1, single=0.1))
        uow.add(Thing(id=2, shelf_id=1, single=1234567))
    root, card = (
        _read_async(url)
        if driver == "asyncmy"
        else (db.all(ThingLine, select(Thing).order_by(Thing.id)), db.get_one(ShelfCard, 1))
    )
    for found in (root, card.things):
        assert [each.single for each in found] == [0.10000000149011612, 1234567.0]


class DayLine(Shape[Thing]):
    day: datetime.date | None


class LocalLine(Shape[Thing]):
    local: datetime.datetime | None


class HourLine(Shape[Thing]):
    hour: datetime.time | None


class StatusLine(Shape[Thing]):
    status: str | None


class DayShelf(Shape[Shelf]):
    things: list[DayLine]


class LocalShelf(Shape[Shelf]):
    things: list[LocalLine]


class HourShelf(Shape[Shelf]):
    things: list[HourLine]


@pytest.mark.parametrize("driver", ["pymysql", "asyncmy"])
@pytest.mark.parametrize(
    ("column", "value", "line", "shelf"),
    [
        ("day", "0000-00-00", DayLine, DayShelf),
        ("day", "2020-02-00", DayLine, DayShelf),
        ("local", "0000-00-00 00:00:00", LocalLine, LocalShelf),
        ("hour", "24:00:00", HourLine, HourShelf),
        ("hour", "-00:00:01", HourLine, HourShelf),
        ("hour", "838:59:59", HourLine, HourShelf),
    ],
)
def test_what_python_cannot_hold_is_refused(
    db: Database, url: str, driver: str, column: str, value: str, line: Any, shelf: Any
) -> None:
    with db.engine.begin() as connection:
        connection.execute(text("SET SESSION sql_mode = ''"))
        connection.execute(text(f"INSERT INTO thing (id, shelf_id, `{column}`) VALUES (1, 1, '{value}')"))

    async def read_async(shape: Any, statement: Any) -> None:
        async with AsyncDatabase(url.replace("+pymysql", "+asyncmy")) as other:
            await other.all(shape, statement)

    for shape, statement in ((line, select(Thing)), (shelf, select(Shelf))):
        with pytest.raises(ValueMismatch):
            if driver == "asyncmy":
                asyncio.run(read_async(shape, statement))
            else:
                db.all(shape, statement)


class DocumentLine(Shape[Thing]):
    long_document: Any
    bits: int | None


class DocumentShelf(Shape[Shelf]):
    things: list[DocumentLine]


@pytest.mark.parametrize("stored", ['{"cut', "1, 2", '1],["x"', ""])
def test_a_text_that_is_no_document_is_refused_and_shifts_nothing(db: Database, stored: str) -> None:
    with db.engine.begin() as connection:
        insert = text("INSERT INTO thing (id, shelf_id, long_document) VALUES (1, 1, :stored)")
        connection.execute(insert, {"stored": stored})
    for shape, statement in ((DocumentLine, select(Thing)), (DocumentShelf, select(Shelf))):
        with pytest.raises(ValueMismatch):
            db.all(shape, statement)  # type: ignore[call-overload]  # of two shapes
