"""The schema that every measurement reads, its shapes and its rows.

Customers with ten orders each, three items an order, a product an item; members with three addresses each; profiles
of ten plain columns; and events, many and small.
"""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ForeignKey, Numeric, Select, String, insert, select, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, AsyncUnitOfWork, Base, Shape

CUSTOMERS = 2000
ORDERS = 10
ITEMS = 3
PRODUCTS = 5000
MEMBERS = 100
ADDRESSES = 3
PROFILES = 10_000
BOUND = 2_000_000  # above every key, so that each read binds a value and excludes nothing


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
    qty: Mapped[int]
    product: Mapped[Product] = relationship()


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(String(10))
    placed: Mapped[datetime.datetime]
    items: Mapped[list[Item]] = relationship(order_by=Item.id, passive_deletes="all")


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    orders: Mapped[list[Order]] = relationship(order_by=Order.id, passive_deletes="all")


class Address(Base):
    __tablename__ = "address"
    id: Mapped[int] = mapped_column(primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("member.id", ondelete="CASCADE"), index=True)
    email: Mapped[str] = mapped_column(String(80))


class Member(Base):
    __tablename__ = "member"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    fullname: Mapped[str | None] = mapped_column(String(80))
    addresses: Mapped[list[Address]] = relationship(order_by=Address.id, passive_deletes="all")


class Profile(Base):
    __tablename__ = "profile"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    email: Mapped[str] = mapped_column(String(80))
    age: Mapped[int]
    balance: Mapped[Decimal] = mapped_column(Numeric(12, 2))
    score: Mapped[float]
    is_active: Mapped[bool]
    born: Mapped[datetime.date]
    seen: Mapped[datetime.datetime]
    note: Mapped[str | None]


class Event(Base):
    __tablename__ = "event"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    amount: Mapped[int]


class ProductLine(Shape[Product]):
    id: int
    name: str
    price: Decimal


class ItemLine(Shape[Item]):
    id: int
    qty: int
    product: ProductLine


class OrderLine(Shape[Order]):
    id: int
    status: str
    placed: datetime.datetime
    items: list[ItemLine]


class CustomerCard(Shape[Customer]):
    id: int
    name: str
    orders: list[OrderLine]


class AddressLine(Shape[Address]):
    id: int
    email: str


class MemberCard(Shape[Member]):
    id: int
    name: str
    fullname: str | None
    addresses: list[AddressLine]


class ProfileRow(Shape[Profile]):
    id: int
    name: str
    email: str
    age: int
    balance: Decimal
    score: float
    is_active: bool
    born: datetime.date
    seen: datetime.datetime
    note: str | None


class EventRow(Shape[Event]):
    id: int
    kind: str
    amount: int


def customers(roots: int, below: int = BOUND) -> Select[Customer]:
    return select(Customer).where(Customer.id < below).order_by(Customer.id).limit(roots)


def members(roots: int, below: int = BOUND) -> Select[Member]:
    return select(Member).where(Member.id < below).order_by(Member.id).limit(roots)


def profiles(rows: int, below: int = BOUND) -> Select[Profile]:
    return select(Profile).where(Profile.id < below).order_by(Profile.id).limit(rows)


def events(rows: int) -> Select[Event]:
    return select(Event).where(Event.id < BOUND).order_by(Event.id).limit(rows)


def plain_customers(found: Any) -> list[Any]:
    """Return a graph of objects as lists of values, in which every way must agree."""
    return [
        [
            customer.id,
            customer.name,
            [
                [
                    order.id,
                    order.status,
                    order.placed,
                    [
                        [item.id, item.qty, [item.product.id, item.product.name, item.product.price]]
                        for item in order.items
                    ],
                ]
                for order in customer.orders
            ],
        ]
        for customer in found
    ]


def plain_profiles(found: Any) -> list[Any]:
    return [[getattr(row, name) for name in ProfileRow.__annotations__] for row in found]


async def fill(db: AsyncDatabase, *, roots: int, profiles: int, events: int) -> None:
    """Create the tables and their rows: `roots` customers with all that hangs on them, and so many profiles, events."""
    await db.create_all(Base)
    await db.run(_rows, roots, profiles)
    await db.run(_events, events)
    async with db.engine.connect() as connection:
        await connection.exec_driver_sql("ANALYZE")
        await connection.commit()


async def _events(uow: AsyncUnitOfWork, events: int) -> None:
    made = "INSERT INTO event SELECT n, 'kind ' || n % 10, n * 7 % 1000 FROM generate_series(1, :events) AS n"
    await uow.session.execute(text(made), {"events": events})


async def _rows(uow: AsyncUnitOfWork, roots: int, profiles: int) -> None:
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    minute = datetime.timedelta(minutes=1)
    rows: dict[type[Base], list[dict[str, Any]]] = {
        Product: [{"id": n, "name": f"product {n}", "price": Decimal(n) / 4} for n in range(PRODUCTS)],
        Customer: [{"id": n, "name": f"customer {n}"} for n in range(roots)],
        Order: [
            {"id": n, "customer_id": n // ORDERS, "status": "sent", "placed": day + n * minute}
            for n in range(roots * ORDERS)
        ],
        Item: [
            {"id": n, "order_id": n // ITEMS, "product_id": n * 7 % PRODUCTS, "qty": n % 5 + 1}
            for n in range(roots * ORDERS * ITEMS)
        ],
        Member: [
            {"id": n, "name": f"member {n}", "fullname": f"Member {n}" if n % 3 else None} for n in range(MEMBERS)
        ],
        Address: [
            {"id": n, "member_id": n // ADDRESSES, "email": f"mail{n}@example.com"} for n in range(MEMBERS * ADDRESSES)
        ],
        Profile: [_profile(n, day + n * minute) for n in range(profiles)],
    }
    for model, values in rows.items():
        await uow.session.execute(insert(model), values)


def _profile(n: int, seen: datetime.datetime) -> dict[str, Any]:
    return {
        "id": n,
        "name": f"profile {n}",
        "email": f"profile{n}@example.com",
        "age": n % 90,
        "balance": Decimal(n) / 8 * 8,
        "score": n / 7,
        "is_active": n % 2 == 0,
        "born": datetime.date(1990, 1, 1) + datetime.timedelta(days=n),
        "seen": seen,
        "note": f"note {n}" if n % 4 else None,
    }
