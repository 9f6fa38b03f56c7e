"""A three-level graph at 1, 20, 200 and 2,000 roots: the ORM's selectinload, and the same SQL on the bare driver."""

from __future__ import annotations

import datetime
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import asyncpg
import msgspec
import psycopg
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import joinedload, selectinload

from bench.measure import interleaved
from bench.shop import Customer, CustomerCard, Item, Order
from hermetic import AsyncDatabase

ROOTS = (1, 20, 200, 2000)
Fetch = Callable[[str, int], Awaitable[Any]]


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


class CustomerRow(msgspec.Struct, gc=False):
    id: int
    name: str
    orders: list[OrderRow]


def chosen(roots: int) -> Select[Customer]:
    return select(Customer).where(Customer.id < 1_000_000).order_by(Customer.id).limit(roots)


async def measure(url: str, driver: str, rounds: int) -> list[dict[str, Any]]:
    """Return a row for each number of roots: the median seconds of each way."""
    db = AsyncDatabase(url)
    engine = create_async_engine(url, pool_size=5)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    decode = msgspec.json.Decoder(list[OrderRow]).decode
    sql = db.plan(CustomerCard, chosen(1)).sql
    rows: list[dict[str, Any]] = []
    async with _bare(driver, url.replace(f"postgresql+{driver}", "postgresql")) as fetch:
        for roots in ROOTS:

            async def shapes(roots: int = roots) -> object:
                return await db.all(CustomerCard, chosen(roots))

            async def entities(roots: int = roots) -> object:
                graph = selectinload(Customer.orders).selectinload(Order.items).options(joinedload(Item.product))
                async with sessions() as session:
                    return (await session.scalars(chosen(roots).options(graph))).all()

            async def by_hand(roots: int = roots) -> object:
                return [CustomerRow(each[0], each[1], decode(each[2])) for each in await fetch(sql, roots)]

            ways = {"hermetic": shapes, "selectinload": entities, "by hand": by_hand}
            found = await interleaved(ways, rounds=rounds)
            rows.append({"driver": driver, "roots": roots, **found})
    await db.close()
    await engine.dispose()
    return rows


@asynccontextmanager
async def _bare(driver: str, url: str) -> AsyncGenerator[Fetch]:
    """Yield a function that runs the read on the driver itself: asyncpg's own pool, or one psycopg connection."""
    if driver == "asyncpg":
        async with asyncpg.create_pool(url, min_size=1, max_size=5) as pool:

            async def fetch(sql: str, roots: int) -> Any:
                async with pool.acquire() as connection:
                    return await connection.fetch(sql, 1_000_000, roots)

            yield fetch
        return
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def read(sql: str, roots: int) -> Any:
            cursor = await connection.execute(sql, {"id_1": 1_000_000, "param_1": roots})
            return await cursor.fetchall()

        yield read
