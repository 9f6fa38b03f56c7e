"""Django: its own classes on the same tables, read with `prefetch_related`, sync as Django's own drivers are.

The call blocks the event loop, in which nothing else runs; Django's async form is the same call in a thread.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import django
from django.conf import settings
from django.db import connections, models
from django.db.models import Prefetch

from bench.measure import Way
from bench.shop import BOUND

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # it asks whoever blocks an event loop to say so
if not settings.configured:
    settings.configure(USE_TZ=True, TIME_ZONE="UTC", INSTALLED_APPS=[], DATABASES={"default": {}})
    django.setup()


class Customer(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=40)

    class Meta:
        app_label = "bench"
        db_table = "customer"


class Order(models.Model):
    id = models.BigAutoField(primary_key=True)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    status = models.CharField(max_length=10)
    placed = models.DateTimeField()

    class Meta:
        app_label = "bench"
        db_table = "orders"


class Product(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=40)
    price = models.DecimalField(max_digits=10, decimal_places=2)

    class Meta:
        app_label = "bench"
        db_table = "product"


class Item(models.Model):
    id = models.BigAutoField(primary_key=True)
    order = models.ForeignKey(Order, models.CASCADE, related_name="items")
    product = models.ForeignKey(Product, models.CASCADE)
    qty = models.BigIntegerField()

    class Meta:
        app_label = "bench"
        db_table = "item"


@asynccontextmanager
async def graph(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    if driver != "psycopg":
        yield []
        return
    _connect(url)
    items = Prefetch("items", Item.objects.order_by("id").select_related("product"))
    orders = Prefetch("orders", Order.objects.order_by("id").prefetch_related(items))

    async def read(roots: int) -> list[Customer]:
        return list(Customer.objects.filter(id__lt=BOUND).order_by("id").prefetch_related(orders)[:roots])

    yield [Way("Django prefetch_related, sync", read, _plain, most=200)]
    connections.close_all()


def _connect(url: str) -> None:
    parts = urlsplit(url)
    made = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": parts.username,
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port,
        "OPTIONS": {"server_side_binding": True},  # without it psycopg never prepares a statement
    }
    connections.databases["default"] = connections.configure_settings({"default": made})["default"]


def _plain(found: list[Any]) -> list[Any]:
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
                        for item in order.items.all()
                    ],
                ]
                for order in customer.orders.all()
            ],
        ]
        for customer in found
    ]
