"""SQLModel: its own classes on the same tables, read with its session and selectinload."""

import datetime
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from sqlalchemy import DateTime
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import joinedload, selectinload
from sqlmodel import Field, Relationship, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from bench.measure import Way
from bench.shop import BOUND, plain_customers


class CustomerModel(SQLModel, table=True):
    __tablename__ = "customer"
    id: int = Field(primary_key=True)
    name: str
    orders: list["OrderModel"] = Relationship(sa_relationship_kwargs={"order_by": "OrderModel.id"})


class OrderModel(SQLModel, table=True):
    __tablename__ = "orders"
    id: int = Field(primary_key=True)
    customer_id: int = Field(foreign_key="customer.id")
    status: str
    placed: datetime.datetime = Field(sa_type=DateTime(timezone=True))
    items: list["ItemModel"] = Relationship(sa_relationship_kwargs={"order_by": "ItemModel.id"})


class ItemModel(SQLModel, table=True):
    __tablename__ = "item"
    id: int = Field(primary_key=True)
    order_id: int = Field(foreign_key="orders.id")
    product_id: int = Field(foreign_key="product.id")
    qty: int
    product: "ProductModel" = Relationship()


class ProductModel(SQLModel, table=True):
    __tablename__ = "product"
    id: int = Field(primary_key=True)
    name: str
    price: Decimal


@asynccontextmanager
async def graph(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"), pool_size=5)
    loaded = selectinload(CustomerModel.orders).selectinload(OrderModel.items).options(joinedload(ItemModel.product))
    statement = select(CustomerModel).where(CustomerModel.id < BOUND).order_by(CustomerModel.id).options(loaded)

    async def read(roots: int) -> Any:
        async with AsyncSession(engine, expire_on_commit=False) as session:
            return (await session.exec(statement.limit(roots))).all()

    yield [Way("SQLModel selectinload", read, plain_customers, most=200)]
    await engine.dispose()
