"""The use case `place_order`: what it sells, at which price, and that a refused order leaves nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database
from recordshop.models import Customer, Invoice, InvoiceLine, Track
from recordshop.shapes import InvoiceCard
from recordshop.usecases import Item, OrderRefused, place_order

T = TypeVar("T")


def on(url: str, work: Callable[[AsyncDatabase], Awaitable[T]]) -> T:
    async def opened() -> T:
        async with AsyncDatabase(url) as db:
            return await work(db)

    return asyncio.run(opened())


def sizes(url: str) -> tuple[int, int]:
    with Database(url) as db:
        return db.count(select(Invoice)), db.count(select(InvoiceLine))


def test_an_order_costs_what_its_tracks_cost(shop_url: str) -> None:
    items = [Item(2820), Item(1, quantity=3)]  # 1.99 and 0.99
    invoice_id = on(shop_url, lambda db: db.run(place_order, 17, items))
    with Database(shop_url) as db, Session(db.engine) as session:
        invoice = session.get_one(Invoice, invoice_id)
        customer = session.get_one(Customer, 17)
        assert invoice.total == Decimal("4.96")
        assert [(line.track_id, line.quantity, line.unit_price) for line in invoice.lines] == [
            (2820, 1, Decimal("1.99")),
            (1, 3, Decimal("0.99")),
        ]
        assert (invoice.billing_address, invoice.billing_city) == (customer.address, customer.city)
        assert timedelta() <= datetime.now(UTC) - invoice.invoice_date < timedelta(minutes=1)


def test_an_order_takes_two_reads_and_two_writes(shop_url: str) -> None:
    async def count(db: AsyncDatabase) -> list[str]:
        with db.recorded() as sent:
            await db.run(place_order, 1, [Item(track) for track in range(1, 31)])
        return [statement.sql.split()[0] for statement in sent]

    # SQLAlchemy inserts row by row where ids may come in any order
    # where ids may come in any order, SQLAlchemy inserts row by row
    batches = 30 if shop_url.startswith("sqlite") else 1
    assert on(shop_url, count) == ["SELECT", "SELECT", "INSERT", *["INSERT"] * batches]


def test_prices_are_those_of_the_unit(shop_url: str) -> None:
    async def reprice_and_order(uow: AsyncUnitOfWork) -> InvoiceCard:
        track = await uow.get_one(Track, 5)
        track.unit_price += 1
        card = await uow.get_one(InvoiceCard, await place_order(uow, 1, [Item(5)]))
        track.unit_price -= 1
        return card

    card = on(shop_url, lambda db: db.run(reprice_and_order))
    assert card.total == Decimal("1.99")


@pytest.mark.parametrize(
    ("customer_id", "items", "reason"),
    [
        (1, [], "an order needs at least one item"),
        (1, [Item(1, quantity=0)], "the quantity of an item is 1 or more"),
        (4711, [Item(1)], "there is no customer 4711"),
        (1, [Item(1), Item(99_999), Item(88_888)], "there is no track 88888, 99999"),
    ],
)
def test_a_refused_order_leaves_nothing(shop_url: str, customer_id: int, items: list[Item], reason: str) -> None:
    before = sizes(shop_url)
    with pytest.raises(OrderRefused, match=f"^{reason}$"):
        on(shop_url, lambda db: db.run(place_order, customer_id, items))
    assert sizes(shop_url) == before


def test_an_order_is_undone_with_its_unit(shop_url: str) -> None:
    async def order_and_fail(uow: AsyncUnitOfWork) -> None:
        await place_order(uow, 1, [Item(1)])
        raise ZeroDivisionError

    before = sizes(shop_url)
    with pytest.raises(ZeroDivisionError):
        on(shop_url, lambda db: db.run(order_and_fail))
    assert sizes(shop_url) == before


def test_a_deleted_invoice_takes_its_lines_in_one_statement(shop_url: str) -> None:
    async def order_and_delete(db: AsyncDatabase) -> tuple[list[str], int]:
        invoice_id = await db.run(place_order, 1, [Item(1), Item(2)])
        async with db.begin() as uow:
            invoice = await uow.get_one(Invoice, invoice_id)
            with db.recorded() as sent:
                await uow.delete(invoice)
                await uow.flush()
        left = await db.one(select(func.count()).where(InvoiceLine.invoice_id == invoice_id))
        return [statement.sql.split()[0] for statement in sent], left

    assert on(shop_url, order_and_delete) == (["DELETE"], 0)
