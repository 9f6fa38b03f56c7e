"""What a careful team writes on the driver itself: three keyed statements on one connection, stitched by hand."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg

from bench.measure import Way
from bench.rivals.rows import CustomerRow, stitched
from bench.shop import BOUND, plain_customers

CUSTOMERS = "SELECT id, name FROM customer WHERE id < $1 ORDER BY id LIMIT $2"
ORDERS = "SELECT customer_id, id, status, placed FROM orders WHERE customer_id = ANY($1) ORDER BY id"
ITEMS = """
SELECT item.order_id, item.id, item.qty, product.id, product.name, product.price
FROM item JOIN product ON product.id = item.product_id WHERE item.order_id = ANY($1) ORDER BY item.id
"""


@asynccontextmanager
async def graph(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    if driver != "asyncpg":
        yield []
        return
    async with asyncpg.create_pool(url, min_size=1, max_size=5) as pool:

        async def read(roots: int) -> list[CustomerRow]:
            async with pool.acquire() as connection:
                customers = await connection.fetch(CUSTOMERS, BOUND, roots)
                orders = await connection.fetch(ORDERS, [row[0] for row in customers])
                items = await connection.fetch(ITEMS, [row[1] for row in orders])
            return stitched(customers, orders, items)

        yield [Way("asyncpg by hand, 3 statements", read, plain_customers)]
