"""A value that its field cannot hold is named by path, column, type and row, and never shown."""

from __future__ import annotations

import datetime
import traceback
from decimal import Decimal
from typing import Annotated, Any

import pytest
import requires
from sqlalchemy import JSON, ForeignKey, Numeric, Time, select, text, update
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hermetic import Database, Shape, ValueMismatch, aggregate, count


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
    PlainBase.metadata.create_all(db.engine)
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
