"""SQLAlchemy itself, async: entities through selectinload and joinedload, Core rows, `session.get`, `scalars`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import joinedload, selectinload

from bench.measure import Way
from bench.rivals.rows import CustomerRow, stitched
from bench.shop import Customer, Item, Order, Product, Profile, customers, plain_customers, plain_profiles, profiles

SELECTIN = "SQLAlchemy selectinload"
ENTITIES = "SQLAlchemy session.scalars().all()"
GET = "SQLAlchemy session.get"
GRAPH = selectinload(Customer.orders).selectinload(Order.items).joinedload(Item.product)


@asynccontextmanager
async def graph(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    joined = joinedload(Customer.orders).joinedload(Order.items).joinedload(Item.product)
    async with _opened(url, driver) as (engine, sessions):

        async def with_selectinload(roots: int) -> Any:
            async with sessions() as session:
                return (await session.scalars(customers(roots).options(GRAPH))).all()

        async def with_joinedload(roots: int) -> Any:
            async with sessions() as session:
                return (await session.scalars(customers(roots).options(joined))).unique().all()

        async def core_rows(roots: int) -> list[CustomerRow]:
            return await _core_rows(engine, roots)

        yield [
            Way(SELECTIN, with_selectinload, plain_customers),
            Way("SQLAlchemy joinedload", with_joinedload, plain_customers),
            Way("SQLAlchemy Core rows, 3 statements", core_rows, plain_customers),
        ]


@asynccontextmanager
async def get(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    async with _opened(url, driver) as (_, sessions):

        async def read(key: int) -> Profile | None:
            async with sessions() as session:
                return await session.get(Profile, key)

        yield [Way(GET, read, lambda found: plain_profiles([found]))]


@asynccontextmanager
async def flat(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    columns = Profile.__table__.columns
    async with _opened(url, driver) as (engine, sessions):

        async def entities(rows: int) -> Any:
            async with sessions() as session:
                return (await session.scalars(profiles(rows))).all()

        async def core_rows(rows: int) -> Any:
            async with engine.connect() as connection:
                return (await connection.execute(profiles(rows).with_only_columns(*columns))).all()

        yield [Way(ENTITIES, entities, plain_profiles), Way("SQLAlchemy Core rows", core_rows, plain_profiles)]


@asynccontextmanager
async def _opened(url: str, driver: str) -> AsyncGenerator[tuple[AsyncEngine, async_sessionmaker[AsyncSession]]]:
    engine = create_async_engine(url.replace("postgresql:", f"postgresql+{driver}:"), pool_size=5)
    try:
        yield engine, async_sessionmaker(engine, expire_on_commit=False)
    finally:
        await engine.dispose()


async def _core_rows(engine: AsyncEngine, roots: int) -> list[CustomerRow]:
    found = customers(roots).with_only_columns(Customer.id, Customer.name)
    async with engine.connect() as connection:
        parents: Any = (await connection.execute(found)).all()
        keyed = select(Order.customer_id, Order.id, Order.status, Order.placed).order_by(Order.id)
        orders: Any = (await connection.execute(keyed.where(Order.customer_id.in_([row[0] for row in parents])))).all()
        columns = (Item.order_id, Item.id, Item.qty, Product.id, Product.name, Product.price)
        keyed_items = select(*columns).join(Item.product).order_by(Item.id)
        items: Any = (await connection.execute(keyed_items.where(Item.order_id.in_([row[1] for row in orders])))).all()
    return stitched(parents, orders, items)
