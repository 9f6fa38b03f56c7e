"""The process of one stream: reads what to do as JSON, prints what it took as JSON."""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import psycopg
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from bench import ours
from bench.shop import BOUND, events
from hermetic import AsyncDatabase

WARM = 1000


class EventLine(msgspec.Struct, gc=False):
    id: int
    kind: str
    amount: int


async def _yield_per(url: str, rows: int) -> AsyncGenerator[Any]:
    engine = create_async_engine(url)
    async with AsyncSession(engine) as session:
        async for event in await session.stream_scalars(events(rows).execution_options(yield_per=1000)):
            yield event
    await engine.dispose()


async def _bare_cursor(url: str, rows: int) -> AsyncGenerator[EventLine]:
    """Read through the server-side cursor of the driver itself."""
    sql, plain = "SELECT id, kind, amount FROM event WHERE id < {} ORDER BY id LIMIT {}", make_url(url)
    address = plain.set(drivername="postgresql").render_as_string(hide_password=False)
    if plain.get_driver_name() == "asyncpg":
        connection = await asyncpg.connect(address)
        async with connection.transaction():
            async for row in connection.cursor(sql.format("$1", "$2"), BOUND, rows, prefetch=1000):
                yield EventLine(*row)
        await connection.close()
        return
    async with (
        await psycopg.AsyncConnection.connect(address) as held,
        held.cursor("events") as cursor,
    ):
        cursor.itersize = 1000
        await cursor.execute(sql.format("%s", "%s"), (BOUND, rows))
        async for values in cursor:
            yield EventLine(*values)


def _ours(stream: Callable[[AsyncDatabase, int], AsyncIterator[Any]]) -> Callable[[str, int], AsyncIterator[Any]]:
    async def rows_of(url: str, rows: int) -> AsyncGenerator[Any]:
        async with AsyncDatabase(url) as db:
            async for event in stream(db, rows):
                yield event

    return rows_of


READERS: dict[str, Callable[[str, int], AsyncIterator[Any]]] = {
    **{name: _ours(stream) for name, stream in ours.STREAMS.items()},
    "SQLAlchemy session.stream_scalars, yield_per=1000": _yield_per,
    "bare driver, server-side cursor": _bare_cursor,
}


async def read(name: str, url: str, rows: int) -> tuple[int, int]:
    """Return how many rows a way read, and the sum of their amounts."""
    count = total = 0
    async for event in READERS[name](url, rows):
        count += 1
        total += event.amount
    return count, total


async def _main() -> None:
    asked = json.load(sys.stdin)
    await read(asked["name"], asked["url"], min(WARM, asked["rows"]))
    before, begun = _memory_kib("VmRSS"), time.perf_counter()
    await read(asked["name"], asked["url"], asked["rows"])
    taken = {
        "seconds": time.perf_counter() - begun,
        "growth_mib": (_memory_kib("VmHWM") - before) / 1024,
    }
    print(json.dumps(taken))


def _memory_kib(name: str) -> int:
    """Return a figure of Linux about this process; the peak that getrusage tells may be that of the parent."""
    found = re.search(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    asyncio.run(_main())
