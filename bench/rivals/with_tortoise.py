"""Tortoise ORM: its own classes on the same tables, read with `prefetch_related`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tortoise import Tortoise, fields
from tortoise.models import Model
from tortoise.query_utils import Prefetch

from bench.measure import Way
from bench.shop import BOUND, plain_customers


class Customer(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=40)
    orders: fields.ReverseRelation[Order]

    class Meta:
        table = "customer"


class Order(Model):
    id = fields.BigIntField(primary_key=True)
    customer: Any = fields.ForeignKeyField("models.Customer", related_name="orders")
    status = fields.CharField(max_length=10)
    placed = fields.DatetimeField()
    items: fields.ReverseRelation[Item]

    class Meta:
        table = "orders"


class Item(Model):
    id = fields.BigIntField(primary_key=True)
    order: Any = fields.ForeignKeyField("models.Order", related_name="items")
    product: Any = fields.ForeignKeyField("models.Product", related_name="items")
    qty = fields.BigIntField()

    class Meta:
        table = "item"


class Product(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.CharField(max_length=40)
    price = fields.DecimalField(max_digits=10, decimal_places=2)
    items: fields.ReverseRelation[Item]

    class Meta:
        table = "product"


@asynccontextmanager
async def graph(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    await Tortoise.init(db_url=url.replace("postgresql:", f"{driver}:"), modules={"models": [__name__]})
    items = Prefetch("items", queryset=Item.all().order_by("id").select_related("product"))
    orders = Prefetch("orders", queryset=Order.all().order_by("id").prefetch_related(items))

    async def read(roots: int) -> list[Customer]:
        return await Customer.filter(id__lt=BOUND).order_by("id").limit(roots).prefetch_related(orders)

    yield [Way("Tortoise prefetch_related", read, plain_customers, most=200)]
    await Tortoise.close_connections()
