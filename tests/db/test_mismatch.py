"""A value that its field cannot hold is named by path, column, type and row, and never shown."""

from __future__ import annotations

import asyncio
import datetime
import enum
import traceback
import types
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
import requires
from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Time,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, Database, Shape, ShapeError, ValueMismatch, aggregate, count


class PlainBase(DeclarativeBase):
    pass


class Order(PlainBase):
    __tablename__ = "mismatch_order"
    id: Mapped[int] = mapped_column(primary_key=True)
    note: Mapped[dict[str, int] | None] = mapped_column(JSON)
    lines: Mapped[list[Line]] = relationship(order_by="Line.id")


class Line(PlainBase):
    __tablename__ = "mismatch_line"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("mismatch_order.id"), index=True)
    price: Mapped[Decimal | None] = mapped_column(Numeric(18, 4))
    at: Mapped[datetime.time | None] = mapped_column(Time(timezone=True))
    tags: Mapped[dict[str, int] | None] = mapped_column(JSON)
    product_id: Mapped[int | None] = mapped_column(ForeignKey("mismatch_product.id"), index=True)
    product: Mapped[Product | None] = relationship()


class Product(PlainBase):
    __tablename__ = "mismatch_product"
    id: Mapped[int] = mapped_column(primary_key=True)
    facts: Mapped[dict[str, int] | None] = mapped_column(JSON)


class ProductCard(Shape[Product]):
    id: int
    facts: dict[str, int] | None


class LineCard(Shape[Line]):
    id: int
    price: Decimal | None
    at: datetime.time | None
    tags: dict[str, int] | None
    product: ProductCard | None


class OrderCard(Shape[Order]):
    id: int
    note: dict[str, int] | None
    lines: list[LineCard]


class CountedCard(Shape[Order]):
    number: Annotated[int, count(Order.lines)]
    lines: list[LineCard]


class LateCard(Shape[Order]):
    late: Annotated[datetime.time | None, aggregate.max(Order.lines, Line.at)]


class LateCountedCard(Shape[Order]):
    late: Annotated[datetime.time | None, aggregate.max(Order.lines, Line.at)]
    number: Annotated[int, count(Order.lines)]


SECRET = {"secret": "4711"}
STRATEGIES = ("correlated", "set_based", "per_level")


@pytest.fixture
def filled(db: Database) -> Database:
    PlainBase.metadata.create_all(db.engine, [Product.__table__, Order.__table__, Line.__table__])
    with db.begin() as uow:
        product = Product(facts={"a": 1})
        for number in (1, 2, 3):
            lines = [Line(price=Decimal("1.5"), tags={"a": 1}, product=product), Line(product=Product())]
            uow.add(Order(id=number, note={"a": 1}, lines=lines))
    return db


def spoil(db: Database, model: Any, row: int, **values: Any) -> None:
    with db.begin() as uow:
        uow.session.execute(update(model).where(model.id == row).values(**values))


def read(db: Database, strategy: str | None = None, shape: Any = OrderCard) -> ValueMismatch:
    statement = select(Order).order_by(Order.id)
    if strategy is not None:
        statement = statement.execution_options(hermetic_strategy=strategy)
    with pytest.raises(ValueMismatch) as raised:
        db.all(shape, statement)
    shown = "".join(traceback.format_exception(raised.value))
    assert "4711" not in shown and "secret" not in shown, "the error shows a value"
    return raised.value


def test_a_column_of_the_root_is_named_with_its_row(filled: Database) -> None:
    spoil(filled, Order, 2, note=SECRET)
    error = read(filled)
    assert (error.field, error.column, error.row) == ("OrderCard.note", "Order.note", 2)
    assert "JSON" in error.type
    assert "OrderCard.note reads Order.note, which is JSON(), and in row 2 expected int, got str" in str(error)


@pytest.mark.parametrize("shape", [OrderCard, CountedCard])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_column_inside_a_collection_is_named(filled: Database, strategy: str, shape: Any) -> None:
    with filled.begin() as uow:
        last = max(uow.all(select(Line.id).where(Line.order_id == 3, Line.tags.is_not(None))))
    spoil(filled, Line, last, tags=SECRET)
    error = read(filled, strategy, shape)
    assert (error.field, error.column) == (f"{shape.__name__}.lines[].tags", "Line.tags")
    assert error.row == (5 if strategy == "per_level" else 3)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_column_behind_to_one_inside_a_collection_is_named(filled: Database, strategy: str) -> None:
    spoil(filled, Product, 1, facts=SECRET)
    error = read(filled, strategy)
    assert (error.field, error.column) == ("OrderCard.lines[].product.facts", "Product.facts")
    assert error.row == 1


@pytest.mark.parametrize("shape", [OrderCard, CountedCard])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_value_that_decodes_and_then_cannot_be_loaded_is_named(filled: Database, strategy: str, shape: Any) -> None:
    requires.needs(filled, "times of 24 hours")
    with filled.begin() as uow:
        uow.session.execute(text("UPDATE mismatch_line SET at = '24:00' WHERE id = 1"))
    error = read(filled, strategy, shape)
    assert (error.field, error.column, error.row) == (f"{shape.__name__}.lines[].at", "Line.at", 1)
    assert "the value is no time | None" in str(error)
    assert "24" not in str(error)


@pytest.mark.parametrize("shape", [LateCard, LateCountedCard])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_aggregate_is_named(filled: Database, strategy: str, shape: Any) -> None:
    requires.needs(filled, "times of 24 hours")
    with filled.begin() as uow:
        uow.session.execute(text("UPDATE mismatch_line SET at = '24:00' WHERE id = 1"))
    error = read(filled, strategy, shape)
    assert (error.field, error.column, error.row) == (f"{shape.__name__}.late", "max(Line.at)", 1)


# NULL where the field has no None


class Loose(DeclarativeBase):
    """Its tables are made by hand, with other columns than the models say."""


class Owner(Loose):
    __tablename__ = "loose_owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(20))
    things: Mapped[list[LooseThing]] = relationship(back_populates="owner", order_by="LooseThing.id")


class LooseThing(Loose):
    __tablename__ = "loose_thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey("loose_owner.id"), index=True)
    owner: Mapped[Owner] = relationship(back_populates="things")


class OwnerLine(Shape[Owner]):
    name: str


class ThingCard(Shape[LooseThing]):
    id: int
    owner: OwnerLine


@pytest.fixture
def loose(db: Database) -> Database:
    with db.engine.begin() as connection:
        connection.execute(text("CREATE TABLE loose_owner (id INTEGER, name VARCHAR(20))"))
        connection.execute(text("CREATE TABLE loose_thing (id INTEGER, owner_id INTEGER)"))
        connection.execute(text("INSERT INTO loose_owner VALUES (1, 'a'), (2, NULL)"))
        connection.execute(text("INSERT INTO loose_thing VALUES (1, 1), (2, 1), (3, 2), (4, 3)"))
    return db


def test_a_null_in_a_required_field_is_named_with_its_row(loose: Database) -> None:
    for _ in range(2):  # the second read goes straight to the driver
        with pytest.raises(ValueMismatch, match="is NULL, and the field has no None") as refused:
            loose.all(OwnerLine, select(Owner).order_by(Owner.id))
        error = refused.value
        assert (error.field, error.column, error.row) == ("OwnerLine.name", "Owner.name", 2)
    with pytest.raises(ValueMismatch) as refused:
        loose.all(ThingCard, select(LooseThing).order_by(LooseThing.id))
    error = refused.value
    assert (error.field, error.column, error.row) == ("ThingCard.owner.name", "Owner.name", 3)


def test_a_required_relationship_without_its_row_is_named(loose: Database) -> None:
    with pytest.raises(ValueMismatch) as refused:
        loose.all(ThingCard, select(LooseThing).where(LooseThing.id.in_([1, 4])).order_by(LooseThing.id))
    error = refused.value
    assert (error.field, error.column, error.type) == ("ThingCard.owner", "LooseThing.owner", "a relationship")
    assert error.row == 2


def test_the_async_shell_names_the_same(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            async with db.engine.begin() as connection:
                await connection.execute(text("CREATE TABLE loose_owner (id INTEGER, name VARCHAR(20))"))
                await connection.execute(text("INSERT INTO loose_owner VALUES (1, 'a'), (2, NULL)"))
            for _ in range(2):
                with pytest.raises(ValueMismatch) as refused:
                    await db.all(OwnerLine, select(Owner).order_by(Owner.id))
                assert (refused.value.field, refused.value.row) == ("OwnerLine.name", 2)

    asyncio.run(main())


# SQLite keeps any value in any column


class Level(enum.Enum):
    LOW = "low"


class Kinds(PlainBase):
    __tablename__ = "mismatch_kinds"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int | None] = mapped_column(ForeignKey("mismatch_order.id"), index=True)
    whole: Mapped[int | None] = mapped_column(Integer)
    words: Mapped[str | None] = mapped_column(String(20))
    real: Mapped[float | None] = mapped_column(Float)
    money: Mapped[Decimal | None] = mapped_column(Numeric(10, 2))
    yes: Mapped[bool | None] = mapped_column(Boolean)
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    day: Mapped[datetime.date | None] = mapped_column(Date)
    hour: Mapped[datetime.time | None] = mapped_column(Time)
    at: Mapped[datetime.datetime | None] = mapped_column(DateTime)
    level: Mapped[Level | None] = mapped_column(Enum(Level, native_enum=False, length=20))


Order.kinds = relationship(Kinds)


class KindsLine(Shape[Kinds]):
    whole: int | None
    words: str | None
    real: float | None
    money: Decimal | None
    yes: bool | None
    raw: bytes | None
    day: datetime.date | None
    hour: datetime.time | None
    at: datetime.datetime | None
    level: Level | None


class KindsCard(Shape[Order]):
    kinds: list[KindsLine]


WRONG = [
    ("whole", "'4711'"),
    ("whole", "47.5"),
    ("words", "x'4711'"),
    ("real", "'4711x'"),
    ("money", "'4711x'"),
    ("yes", "'4711x'"),
    ("raw", "'4711'"),
    ("raw", "4711"),
    ("day", "4711"),
    ("day", "'4711'"),
    ("hour", "4711"),
    ("at", "x'4711'"),
    ("level", "'4711'"),
    ("level", "4711"),
]


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
@pytest.mark.parametrize(("column", "value"), WRONG)
def test_a_value_of_another_type_is_no_object(tmp_path: Path, driver: str, column: str, value: str) -> None:
    url = f"sqlite:///{tmp_path / 'kinds.db'}"
    with Database(url) as db:
        PlainBase.metadata.create_all(db.engine, [Order.__table__, Kinds.__table__])
        with db.engine.begin() as connection:
            # without affinity, which would make a number of a text that is one
            connection.execute(text("DROP TABLE mismatch_kinds"))
            columns = ", ".join(each.name for each in Kinds.__table__.columns)
            connection.execute(text(f"CREATE TABLE mismatch_kinds ({columns})"))
            connection.execute(text("INSERT INTO mismatch_order (id) VALUES (1)"))
            connection.execute(text("INSERT INTO mismatch_kinds (id, order_id) VALUES (1, 1)"))
            connection.execute(text(f"INSERT INTO mismatch_kinds (id, order_id, {column}) VALUES (2, 1, {value})"))
        flat, nested = select(Kinds).order_by(Kinds.id), select(Order)

        def refused(read: Any, shape: str) -> None:
            with pytest.raises(ValueMismatch) as raised:
                read()
            error = raised.value
            assert (error.field, error.column) == (f"{shape}.{column}", f"Kinds.{column}")
            assert "4711" not in "".join(traceback.format_exception(error))

        if driver == "sqlite":
            for _ in range(2):
                refused(lambda: db.all(KindsLine, flat), "KindsLine")
            if value.startswith("x") and column != "raw":
                with pytest.raises(DBAPIError, match="JSON cannot hold BLOB values"):
                    db.all(KindsCard, nested)
            else:
                refused(lambda: db.all(KindsCard, nested), "KindsCard.kinds[]")
        else:
            refused(lambda: asyncio.run(_read_async(url.replace("sqlite", driver, 1), flat)), "KindsLine")


async def _read_async(url: str, statement: Any) -> None:
    async with AsyncDatabase(url) as db:
        await db.all(KindsLine, statement)


# arrays


class Rows(PlainBase):
    __tablename__ = "mismatch_rows"
    id: Mapped[int] = mapped_column(primary_key=True)
    numbers: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    days: Mapped[list[datetime.date]] = mapped_column(ARRAY(Date))
    grid: Mapped[list[list[int]]] = mapped_column(ARRAY(Integer, dimensions=2))


class RowsLine(Shape[Rows]):
    numbers: list[int]
    days: list[datetime.date]
    grid: list[list[int]]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize(
    ("column", "value"),
    [("numbers", "{1,NULL}"), ("numbers", "{{1},{2}}"), ("days", "{NULL}"), ("grid", "{{1,NULL}}"), ("grid", "{1}")],
)
def test_an_array_of_other_items_is_no_list_of_them(
    new_database: Callable[..., str], driver: str, column: str, value: str
) -> None:
    url = new_database()
    filled = {"numbers": "{1}", "days": "{2020-01-01}", "grid": "{{1}}"}
    with Database(url) as db:
        Rows.__table__.create(db.engine)
        with db.engine.begin() as connection:
            for key, row in enumerate((filled, filled | {column: value}), 1):
                connection.execute(text(f"INSERT INTO mismatch_rows VALUES ({key}, :numbers, :days, :grid)"), row)
        statement = select(Rows).order_by(Rows.id)

        async def read_async() -> None:
            async with AsyncDatabase(make_url(url).set(drivername=f"postgresql+{driver}")) as other:
                await other.all(RowsLine, statement)

        with pytest.raises(ValueMismatch) as refused:
            if driver == "psycopg":
                db.all(RowsLine, statement)
            else:
                asyncio.run(read_async())
    assert (refused.value.field, refused.value.column, refused.value.row) == (
        f"RowsLine.{column}",
        f"Rows.{column}",
        2,
    )


# models that do not say what their columns hold


class Lying(PlainBase):
    __tablename__ = "mismatch_lying"
    id: Mapped[int] = mapped_column(primary_key=True)
    length: Mapped[datetime.timedelta] = mapped_column(mysql.TIME(fsp=6))


def test_a_model_that_calls_its_column_another_type_is_refused_at_definition() -> None:
    with pytest.raises(ShapeError) as refused:
        types.new_class(
            "LyingLine",
            (Shape[Lying],),
            {},
            lambda names: names.update({"__module__": __name__, "__annotations__": {"length": datetime.timedelta}}),
        )
    assert str(refused.value.problems[0]) == (
        "LyingLine.length  Lying.length is Mapped[timedelta] over TIME(fsp=6), which holds time\n"
        "  fix: length: Mapped[time]  # in the model, or a column type that holds timedelta"
    )
