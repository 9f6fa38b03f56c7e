"""One row read and changed in a transaction of its own: what the safety of `run()` costs beside a plain session."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import MetaData, insert
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from bench import ours
from bench.graph import DRIVERS
from bench.measure import Way, interleaved, settled
from bench.proxy import Proxy, slow_proxy
from bench.report import Bar, Section, at_most
from bench.shop import Profile
from hermetic import AsyncDatabase, outcome_table

KEY = 7
SESSION = "SQLAlchemy AsyncSession, begin()"
WITH_TOKEN = "the same, with the row of a token"
"""What a session must send to know the outcome of its commit, as `run()` does."""


@asynccontextmanager
async def opened(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    address = url.replace("postgresql:", f"postgresql+{driver}:")
    engine = create_async_engine(address)
    outcomes = outcome_table(MetaData())

    async def plain(key: int) -> int:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            profile = await session.get_one(Profile, key)
            profile.age ^= 1
            return profile.id

    async def with_token(key: int) -> int:
        async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
            profile = await session.get_one(Profile, key)
            profile.age ^= 1
            await session.execute(insert(outcomes), {"token": uuid.uuid4(), "is_committed": True})
            return profile.id

    async with AsyncDatabase(address) as db:
        yield [*ours.unit(db), Way(SESSION, plain, _as_it_is), Way(WITH_TOKEN, with_token, _as_it_is)]
    await engine.dispose()


async def measure(url: str, rounds: int) -> list[Section]:
    return [await _measured(url, driver, rounds) for driver in DRIVERS]


async def _measured(url: str, driver: str, rounds: int) -> Section:
    async with opened(url, driver) as ways, settled():
        timings = await interleaved(ways, KEY, rounds=rounds, seconds=0.2)
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    with slow_proxy(parts.hostname, parts.port, 0.0) as proxy:
        async with opened(url.replace(f":{parts.port}/", f":{proxy.port}/"), driver) as ways:
            trips = {way.name: await _trips(way, proxy) for way in ways}
    rows = [
        (way.name, f"{trips[way.name]:g}", f"{timings.ms(way.name):.3f}", f"{timings.ratio(way.name, SESSION):.2f}x")
        for way in ways
    ]
    bars = [
        at_most(
            f"one row changed, {driver}: run() of a plain session",
            [timings.ratio(ours.RUN, SESSION)],
            [1.15],
            "the row by which the outcome of the commit is known. A plain session that writes one takes "
            f"{timings.ratio(WITH_TOKEN, SESSION):.2f}x and a round trip more.",
        ),
        Bar(
            f"round trips of one row changed, {driver}",
            f"≤ {trips[SESSION]:g}",
            f"{trips[ours.RUN]:g}",
            trips[ours.RUN] <= trips[SESSION],
        ),
    ]
    text = f"Read by its key, changed, committed. The last column is the time as a multiple of `{SESSION}`."
    return Section(f"One row changed, {driver}", text, ("way", "round trips", "ms", "multiple"), rows, bars)


async def _trips(way: Way, proxy: Proxy, calls: int = 10) -> float:
    for _ in range(6):  # until the drivers have prepared the statements
        await way.run(KEY)
    before = proxy.trips
    for _ in range(calls):
        await way.run(KEY)
    return (proxy.trips - before) / calls


def _as_it_is(found: Any) -> Any:
    return found
