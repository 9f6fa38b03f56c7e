"""The plain Structs that hand-written code fills."""

from __future__ import annotations

import datetime
from decimal import Decimal

import msgspec


class ProductRow(msgspec.Struct, array_like=True, gc=False):
    id: int
    name: str
    price: Decimal


class ItemRow(msgspec.Struct, array_like=True, gc=False):
    id: int
    qty: int
    product: ProductRow


class OrderRow(msgspec.Struct, array_like=True, gc=False):
    id: int
    status: str
    placed: datetime.datetime
    items: list[ItemRow]


class CustomerRow(msgspec.Struct, array_like=True, gc=False):
    id: int
    name: str
    orders: list[OrderRow]


class ProfileLine(msgspec.Struct, gc=False):
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


def stitched(
    customers: list[tuple[int, str]],
    orders: list[tuple[int, int, str, datetime.datetime]],
    items: list[tuple[int, int, int, int, str, Decimal]],
) -> list[CustomerRow]:
    """Return the graph of the rows of three keyed statements; orders and items begin with the key of their parent."""
    made = [CustomerRow(key, name, []) for key, name in customers]
    order_lists = {customer.id: customer.orders for customer in made}
    item_lists: dict[int, list[ItemRow]] = {}
    for customer, key, status, placed in orders:
        item_lists[key] = kept = []
        order_lists[customer].append(OrderRow(key, status, placed, kept))
    for order, key, qty, product, name, price in items:
        item_lists[order].append(ItemRow(key, qty, ProductRow(product, name, price)))
    return made
