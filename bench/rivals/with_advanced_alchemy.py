"""advanced-alchemy: a service over the same entities, its loads, and `to_schema` into msgspec Structs."""

from __future__ import annotations

import datetime
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import msgspec
from advanced_alchemy.repository import SQLAlchemyAsyncRepository
from advanced_alchemy.service import SQLAlchemyAsyncRepositoryService
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from bench.measure import Way
from bench.rivals.orm import GRAPH
from bench.shop import Customer, customers, plain_customers


class ProductSchema(msgspec.Struct):
    id: int
    name: str
    price: Decimal


class ItemSchema(msgspec.Struct):
    id: int
    qty: int
    product: ProductSchema


class OrderSchema(msgspec.Struct):
    id: int
    status: str
    placed: datetime.datetime
    items: list[ItemSchema]


class CustomerSchema(msgspec.Struct):
    id: int
    name: str
    orders: list[OrderSchema]


class Customers(SQLAlchemyAsyncRepository[Customer]):
    model_type = Customer


class CustomerService(SQLAlchemyAsyncRepositoryService[Customer, Customers]):
    repository_type = Customers


@asynccontextmanager
async def graph(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"), pool_size=5)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    async def read(roots: int) -> Any:
        async with sessions() as session:
            service = CustomerService(session)
            found = await service.get_many(statement=customers(roots), load=[GRAPH])
            return service.to_schema(found, schema_type=CustomerSchema).items

    yield [Way("advanced-alchemy to_schema", read, plain_customers, most=200)]
    await engine.dispose()
