"""Piccolo: it has no way back over a foreign key, so three keyed selects are stitched; it nests the product."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from piccolo.columns import BigInt, ForeignKey, Numeric, Timestamptz, Varchar
from piccolo.engine.postgres import PostgresEngine
from piccolo.table import Table

from bench.measure import Way
from bench.shop import BOUND

DB = PostgresEngine(config={})  # told where the server is when it is opened


class Customer(Table, tablename="customer", db=DB):
    id = BigInt(primary_key=True)
    name = Varchar(40)


class Order(Table, tablename="orders", db=DB):
    id = BigInt(primary_key=True)
    customer_id = ForeignKey(Customer)
    status = Varchar(10)
    placed = Timestamptz()


class Product(Table, tablename="product", db=DB):
    id = BigInt(primary_key=True)
    name = Varchar(40)
    price = Numeric((10, 2))


class Item(Table, tablename="item", db=DB):
    id = BigInt(primary_key=True)
    order_id = ForeignKey(Order)
    product_id = ForeignKey(Product)
    qty = BigInt()


@asynccontextmanager
async def graph(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    if driver != "asyncpg":  # the only one it has
        yield []
        return
    DB.config = {"dsn": url}
    await DB.start_connection_pool(min_size=1, max_size=5)
    yield [Way("Piccolo, 3 selects", _read, _plain, most=200)]
    await DB.close_connection_pool()


async def _read(roots: int) -> list[dict[str, Any]]:
    customers = await Customer.select().where(Customer.id < BOUND).order_by(Customer.id).limit(roots)
    keys = [customer["id"] for customer in customers]
    orders = await Order.select().where(Order.customer_id.is_in(keys)).order_by(Order.id)
    keys = [order["id"] for order in orders]
    columns = (Item.id, Item.order_id, Item.qty, Item.product_id.all_columns())
    items = await Item.select(*columns).where(Item.order_id.is_in(keys)).order_by(Item.id).output(nested=True)
    _stitch(customers, "id", "orders", orders, "customer_id")
    _stitch(orders, "id", "items", items, "order_id")
    return customers


def _stitch(parents: list[Any], key: str, name: str, children: list[Any], reference: str) -> None:
    lists: dict[Any, list[Any]] = {}
    for parent in parents:
        parent[name] = lists[parent[key]] = []
    for child in children:
        lists[child[reference]].append(child)


def _plain(found: list[dict[str, Any]]) -> list[Any]:
    return [
        [
            customer["id"],
            customer["name"],
            [
                [
                    order["id"],
                    order["status"],
                    order["placed"],
                    [[item["id"], item["qty"], list(item["product_id"].values())] for item in order["items"]],
                ]
                for order in customer["orders"]
            ],
        ]
        for customer in found
    ]
