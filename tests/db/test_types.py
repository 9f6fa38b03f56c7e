"""Values come back exactly, at the root and inside a collection, whatever the session's settings."""

from __future__ import annotations

import asyncio
import datetime
import enum
import math
import threading
import types
import uuid
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import requires
from bases import own_base
from hostile import HOSTILE
from sqlalchemy import JSON, Double, Enum, ForeignKey, LargeBinary, Numeric, PickleType, null, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, Database, Shape, ValueMismatch
from hermetic.model import Json

Base = own_base()


class Color(enum.Enum):
    RED = "red"
    NULL = "null"


class Size(msgspec.Struct, frozen=True):
    width: Decimal
    made_at: datetime.datetime | None = None


class Label(msgspec.Struct, frozen=True):
    """A document: stored as JSON, typed."""

    words: list[str]
    sizes: dict[str, Size]
    number: int | None = None


class Shelf(Base):
    __tablename__ = "shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    values: Mapped[list[Value]] = relationship(back_populates="shelf", passive_deletes="all", order_by="Value.id")


class Value(Base):
    __tablename__ = "measured"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("shelf.id", ondelete="CASCADE"), index=True)
    shelf: Mapped[Shelf] = relationship(back_populates="values")
    whole: Mapped[int | None]
    real: Mapped[float | None]
    money: Mapped[Decimal | None] = mapped_column(Numeric(18, 4))
    yes: Mapped[bool | None]
    words: Mapped[str | None]
    raw: Mapped[bytes | None] = mapped_column(LargeBinary)
    key: Mapped[uuid.UUID | None]
    color: Mapped[Color | None]
    at: Mapped[datetime.datetime | None]
    day: Mapped[datetime.date | None]
    hour: Mapped[datetime.time | None]
    span: Mapped[datetime.timedelta | None]
    label: Mapped[Label | None]
    tags: Mapped[list[str] | None] = mapped_column(Json(list[str]))


class ValueLine(Shape[Value]):
    whole: int | None
    real: float | None
    money: Decimal | None
    yes: bool | None
    words: str | None
    raw: bytes | None
    key: uuid.UUID | None
    color: Color | None
    at: datetime.datetime | None
    day: datetime.date | None
    hour: datetime.time | None
    span: datetime.timedelta | None
    label: Label | None
    tags: list[str] | None


class ShelfCard(Shape[Shelf]):
    values: list[ValueLine]


NOON = datetime.datetime(2030, 1, 2, 10, 11, 12, 123456, tzinfo=datetime.UTC)
# asyncpg writes the first and the last day that Python knows as -infinity and infinity, so they are left out
ROWS = [
    {},
    {
        "whole": 2**63 - 1,
        "real": 0.1 + 0.2,
        "money": Decimal("-12345678901234.0001"),
        "yes": True,
        "words": "é 😀 \u2028 \"'\\ % : \n",
        "raw": bytes(range(256)),
        "key": uuid.UUID(int=5),
        "color": Color.NULL,
        "at": NOON,
        "day": datetime.date(1, 1, 2),
        "hour": datetime.time(23, 59, 59, 999999),
        "span": -datetime.timedelta(days=400, microseconds=1),
        "label": Label(["é 😀 \u2028 \"'\\ % :"], {"a b": Size(Decimal("0.10"), NOON)}, 2**63 - 1),
        "tags": ["null", "", "\n"],
    },
    {
        "whole": -(2**63) + 1,
        "real": 5e-324,
        "money": Decimal("0.0000"),
        "yes": False,
        "words": "",
        "raw": b"",
        "color": Color.RED,
        "at": datetime.datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=datetime.UTC),
        "day": datetime.date(9999, 12, 30),
        "hour": datetime.time(0),
        "span": datetime.timedelta(0),
        "label": Label([], {}),
        "tags": [],
    },
    {"real": 1.7976931348623157e308, "at": datetime.datetime(1, 1, 2, tzinfo=datetime.UTC), "words": "null"},
]
EXPECTED = [ValueLine(**{name: row.get(name) for name in ValueLine.__struct_fields__}) for row in ROWS]


def _fill_statements() -> Shelf:
    return Shelf(id=1, values=[Value(id=number, **row) for number, row in enumerate(ROWS, 1)])


def _check(root: list[ValueLine], card: ShelfCard) -> None:
    assert root == EXPECTED
    assert card.values == EXPECTED
    assert repr(root) == repr(card.values) == repr(EXPECTED)


def test_values_are_exact_under_hostile_settings(db: Database) -> None:
    db.create_all(Base)
    with db.begin() as uow:
        uow.add(_fill_statements())
    with db.begin() as uow:
        for setting in HOSTILE[db.engine.dialect.name]:
            uow.session.execute(text(setting))
        _check(uow.all(ValueLine, select(Value).order_by(Value.id)), uow.get_one(ShelfCard, 1))
    _check(db.all(ValueLine, select(Value).order_by(Value.id)), db.get_one(ShelfCard, 1))


def test_values_are_exact_under_hostile_settings_async(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            await db.create_all(Base)
            async with db.begin() as uow:
                uow.add(_fill_statements())
            async with db.begin() as uow:
                for setting in HOSTILE[db.engine.dialect.name]:
                    await uow.session.execute(text(setting))
                _check(await uow.all(ValueLine, select(Value).order_by(Value.id)), await uow.get_one(ShelfCard, 1))

    asyncio.run(main())


def test_floats_that_are_not_finite_come_back(db: Database) -> None:
    requires.needs(db, "infinity")
    db.create_all(Base)
    has_nan = requires.has(db.engine.dialect.name, "nan")
    with db.begin() as uow:
        values = [Value(id=1, real=math.inf), Value(id=2, real=-math.inf)]
        uow.add(Shelf(id=1, values=values + ([Value(id=3, real=math.nan)] if has_nan else [])))

    class Reals(Shape[Value]):
        real: float | None

    class RealCard(Shape[Shelf]):
        values: list[Reals]

    expected = [math.inf, -math.inf, *([math.nan] if has_nan else [])]
    for found in (db.get_one(RealCard, 1).values, db.all(Reals, select(Value).order_by(Value.id))):
        assert repr([each.real for each in found]) == repr(expected)


class PlainBase(DeclarativeBase):
    """An existing project's base: enums by name, intervals of SQLAlchemy."""


class PlainShelf(PlainBase):
    __tablename__ = "plain_shelf"
    id: Mapped[int] = mapped_column(primary_key=True)
    values: Mapped[list[PlainValue]] = relationship(order_by="PlainValue.id")


class PlainValue(PlainBase):
    __tablename__ = "plain_value"
    id: Mapped[int] = mapped_column(primary_key=True)
    shelf_id: Mapped[int] = mapped_column(ForeignKey("plain_shelf.id"))
    color: Mapped[Color] = mapped_column(Enum(Color, name="plain_color"))
    blob: Mapped[object | None] = mapped_column(PickleType)
    document: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


def test_an_enum_stored_by_name_is_its_member(db: Database) -> None:
    PlainBase.metadata.create_all(db.engine)

    class Line(Shape[PlainValue]):
        color: Color

    class Card(Shape[PlainShelf]):
        values: list[Line]

    with db.begin() as uow:
        uow.add(PlainShelf(id=1, values=[PlainValue(color=Color.NULL), PlainValue(color=Color.RED)]))
    colors = [Color.NULL, Color.RED]
    assert [each.color for each in db.get_one(Card, 1).values] == colors
    assert [each.color for each in db.all(Line, select(PlainValue).order_by(PlainValue.id))] == colors


def test_a_type_that_python_must_decode_is_read_by_a_statement_of_its_own(sqlite_url: str) -> None:
    class Line(Shape[PlainValue]):
        blob: object | None

    class Card(Shape[PlainShelf]):
        values: list[Line]

    with Database(sqlite_url) as db:
        plan = db.plan(Card, select(PlainShelf))
    assert (plan.strategy, plan.statements) == ("per_level", 2)
    assert "Card.values[].blob has no exact form in JSON" in plan.reason


def test_a_pickled_document_comes_back_at_the_root(db: Database) -> None:
    PlainBase.metadata.create_all(db.engine)
    blobs = [{"at": NOON, "set": {1, 2}, "price": Decimal("0.10")}, None, "null", b""]

    class Line(Shape[PlainValue]):
        blob: object | None

    with db.begin() as uow:
        uow.add(PlainShelf(id=1, values=[PlainValue(color=Color.RED, blob=each) for each in blobs]))
    assert [each.blob for each in db.all(Line, select(PlainValue).order_by(PlainValue.id))] == blobs


def test_an_untyped_json_document_comes_back_as_it_was_stored(db: Database) -> None:
    PlainBase.metadata.create_all(db.engine)
    documents: list[dict[str, Any] | None] = [
        {"number": 2**63 - 1, "real": 0.1 + 0.2, "list": [1, None, {"é": '😀 \u2028 "\\'}], "empty": {}},
        None,
        {},
    ]

    class Line(Shape[PlainValue]):
        document: dict[str, Any] | None

    class Card(Shape[PlainShelf]):
        values: list[Line]

    with db.begin() as uow:
        uow.add(PlainShelf(id=1, values=[PlainValue(color=Color.RED, document=each) for each in documents]))
    for found in (db.get_one(Card, 1).values, db.all(Line, select(PlainValue).order_by(PlainValue.id))):
        assert repr([each.document for each in found]) == repr(documents)


def test_memory_serves_every_thread() -> None:
    found: list[int] = []
    with Database("sqlite://") as db:
        db.create_all(Base)
        thread = threading.Thread(target=lambda: found.append(db.count(select(Shelf))))
        thread.start()
        thread.join()
    assert found == [0]


class TypedBag(Base):
    __tablename__ = "bag"
    id: Mapped[int] = mapped_column(primary_key=True)
    items: Mapped[list[Item]] = relationship(passive_deletes="all", order_by="Item.id")


SIZES = postgresql.ARRAY(Double()).with_variant(JSON(), "sqlite", "mysql", "mariadb")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    bag_id: Mapped[int] = mapped_column(ForeignKey("bag.id", ondelete="CASCADE"), index=True)
    sizes: Mapped[list[float]] = mapped_column(
        postgresql.ARRAY(Double()).with_variant(JSON(), "sqlite", "mysql", "mariadb")
    )
    plain: Mapped[dict[str, Any] | None] = mapped_column(JSON)


class Plain(msgspec.Struct, frozen=True):
    amount: Decimal
    tags: list[str] = []


def _bag(db: Database, **columns: Any) -> None:
    db.create_all(Base)
    with db.begin() as uow:
        uow.add(TypedBag(id=1, items=[Item(id=1, **columns)]))


def test_a_type_with_a_variant_is_read_as_the_variant_says(db: Database) -> None:
    _bag(db, sizes=[0.1 + 0.2, 5e-324, 3.0], plain=None)

    class Line(Shape[Item]):
        sizes: list[float]

    class Card(Shape[TypedBag]):
        items: list[Line]

    assert db.get_one(Line, 1).sizes == [0.1 + 0.2, 5e-324, 3.0]
    assert db.get_one(Card, 1).items[0].sizes == [0.1 + 0.2, 5e-324, 3.0]


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (Any, {"amount": 1.1, "tags": ["a"]}),
        (dict[str, Any], {"amount": 1.1, "tags": ["a"]}),
        (Plain, Plain(Decimal("1.1"), ["a"])),
        (msgspec.Raw, b'{"amount":1.1,"tags":["a"]}'),
    ],
    ids=["Any", "dict", "struct", "raw"],
)
def test_a_plain_json_column_is_read_as_the_shape_says(db: Database, annotation: Any, expected: Any) -> None:
    _bag(db, sizes=[], plain={"amount": 1.1, "tags": ["a"]})
    line, card = _lines_of(annotation | None if annotation is not Any else Any)
    for found in (db.get_one(line, 1).plain, db.get_one(card, 1).items[0].plain):
        value = bytes(found).replace(b" ", b"") if annotation is msgspec.Raw else found
        assert value == expected


@pytest.mark.parametrize("annotation", [Any, dict[str, Any] | None, Plain | None, msgspec.Raw | None])
@pytest.mark.parametrize("stored", [None, null()], ids=["the null of JSON", "the NULL of SQL"])
def test_both_nulls_of_a_document_are_none(db: Database, annotation: Any, stored: Any) -> None:
    _bag(db, sizes=[], plain=stored)
    line, card = _lines_of(annotation)
    assert db.get_one(line, 1).plain is None
    assert db.get_one(card, 1).items[0].plain is None


def _lines_of(annotation: Any) -> tuple[Any, Any]:
    def shape(name: str, model: Any, **fields: Any) -> Any:
        return types.new_class(name, (Shape[model],), {}, lambda body: body.update(__annotations__=fields))

    line = shape("PlainLine", Item, plain=annotation)
    return line, shape("PlainCard", TypedBag, items=types.GenericAlias(list, (line,)))


def test_a_second_dimension_where_the_model_says_one_is_refused_not_flattened(db: Database) -> None:
    requires.needs(db, "arrays")
    _bag(db, sizes=[[0.5, 1.5], [2.5, 3.5]], plain=None)

    class Line(Shape[Item]):
        sizes: list[float]

    class Card(Shape[TypedBag]):
        items: list[Line]

    with pytest.raises(ValueMismatch):
        db.get_one(Card, 1)
