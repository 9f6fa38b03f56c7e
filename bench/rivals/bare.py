"""The bare driver, from its own pool and on a held connection: hermetic's SQL for the graph, decoded by msgspec, and
hand-written SQL for flat rows.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import asyncpg
import msgspec
import psycopg

from bench.measure import Way
from bench.rivals.rows import CustomerRow, OrderRow, ProfileLine
from bench.shop import BOUND, CustomerCard, customers, plain_customers, plain_profiles
from hermetic import AsyncDatabase

try:
    from psycopg_pool import AsyncConnectionPool
except ModuleNotFoundError:  # then only the held connection of psycopg is measured
    AsyncConnectionPool = None

POOLED = "bare driver, pooled"
HELD = "bare driver, one connection held"
COLUMNS = "id, name, email, age, balance, score, is_active, born, seen, note"

Fetch = Callable[..., Awaitable[list[Any]]]
"""Runs SQL with `$1`, `$2`, … in this order and the values behind it."""


@asynccontextmanager
async def graph(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    db = AsyncDatabase(url.replace("postgresql:", f"postgresql+{driver}:"))
    decode = msgspec.json.Decoder(list[OrderRow]).decode
    texts: dict[int, str] = {}

    def sql(roots: int) -> str:
        if roots not in texts:
            texts[roots] = _numbered(db.plan(CustomerCard, customers(roots)).sql)
        return texts[roots]

    def way(name: str, fetch: Fetch) -> Way:
        async def read(roots: int) -> list[CustomerRow]:
            return [CustomerRow(row[0], row[1], decode(row[2])) for row in await fetch(sql(roots), BOUND, roots)]

        return Way(name, read, plain_customers)

    async with connections(url, driver) as fetches:
        yield [way(name, fetch) for name, fetch in fetches.items()]


@asynccontextmanager
async def flat(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    sql = f"SELECT {COLUMNS} FROM profile WHERE id < $1 ORDER BY id LIMIT $2"

    def way(name: str, fetch: Fetch) -> Way:
        async def read(rows: int) -> list[ProfileLine]:
            return [ProfileLine(*row) for row in await fetch(sql, BOUND, rows)]

        return Way(name, read, plain_profiles)

    async with connections(url, driver) as fetches:
        yield [way(name, fetch) for name, fetch in fetches.items()]


@asynccontextmanager
async def get(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    sql = f"SELECT {COLUMNS} FROM profile WHERE id = $1"

    def way(name: str, fetch: Fetch) -> Way:
        async def read(key: int) -> ProfileLine | None:
            rows = await fetch(sql, key)
            return ProfileLine(*rows[0]) if rows else None

        return Way(name, read, lambda found: plain_profiles([found]))

    async with connections(url, driver) as fetches:
        yield [way(name, fetch) for name, fetch in fetches.items()]


@asynccontextmanager
async def connections(url: str, driver: str) -> AsyncGenerator[dict[str, Fetch]]:
    """Yield a function that fetches rows for each way to have a connection; all read in autocommit."""
    async with AsyncExitStack() as stack:
        yield await (_asyncpg if driver == "asyncpg" else _psycopg)(stack, url)


async def _asyncpg(stack: AsyncExitStack, url: str) -> dict[str, Fetch]:
    pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=1, max_size=5))
    held = await asyncpg.connect(url)
    stack.push_async_callback(held.close)

    async def pooled(sql: str, *values: object) -> list[Any]:
        async with pool.acquire() as connection:
            return await connection.fetch(sql, *values)

    return {POOLED: pooled, HELD: held.fetch}


async def _psycopg(stack: AsyncExitStack, url: str) -> dict[str, Fetch]:
    connection = await stack.enter_async_context(await psycopg.AsyncConnection.connect(url, autocommit=True))
    texts: dict[str, str] = {}

    async def run(connection: psycopg.AsyncConnection[Any], sql: str, values: tuple[object, ...]) -> list[Any]:
        text = texts.get(sql) or texts.setdefault(sql, re.sub(r"\$\d+", "%s", sql))
        return await (await connection.execute(text, values)).fetchall()

    async def held(sql: str, *values: object) -> list[Any]:
        return await run(connection, sql, values)

    if AsyncConnectionPool is None:
        return {HELD: held}
    made = AsyncConnectionPool(url, min_size=1, max_size=5, open=False, kwargs={"autocommit": True})
    pool = await stack.enter_async_context(made)

    async def pooled(sql: str, *values: object) -> list[Any]:
        async with pool.connection() as connection:
            return await run(connection, sql, values)

    return {POOLED: pooled, HELD: held}


def _numbered(sql: str) -> str:
    """Return SQL of the psycopg dialect with numbers in the place of names."""
    names = list(dict.fromkeys(re.findall(r"%\((\w+)\)s", sql)))
    return re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", sql)
