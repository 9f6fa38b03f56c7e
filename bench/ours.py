"""How hermetic does each piece of work. A new verb of the library is plugged in here, and nowhere else."""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import FastAPI, Response

from bench.measure import Way
from bench.shop import (
    CustomerCard,
    MemberCard,
    ProfileRow,
    customers,
    members,
    plain_customers,
    plain_profiles,
    profiles,
)
from hermetic import AsyncDatabase
from hermetic.web.fastapi import reader

FRESH = "hermetic, fresh select()"
IN_UNIT = "hermetic, inside a unit of work"
BEST = FRESH
"""The way that the bars are about."""
GRAPH_LIMITS = {FRESH: 1.6}
"""How many times the bare driver's time each way may take, at 1 and 20 roots."""


def graph(db: AsyncDatabase) -> list[Way]:
    async def fresh(roots: int) -> list[CustomerCard]:
        return await db.all(CustomerCard, customers(roots))

    return [Way(FRESH, fresh, plain_customers)]


def graph_in_unit(db: AsyncDatabase) -> list[Way]:
    async def in_unit(roots: int) -> list[CustomerCard]:
        async with db.begin() as uow:
            return await uow.all(CustomerCard, customers(roots))

    return [Way(IN_UNIT, in_unit, plain_customers)]


def get(db: AsyncDatabase) -> list[Way]:
    async def get(key: int) -> ProfileRow | None:
        return await db.get(ProfileRow, key)

    return [Way(FRESH, get, lambda found: plain_profiles([found]))]


def flat(db: AsyncDatabase) -> list[Way]:
    async def fresh(rows: int) -> list[ProfileRow]:
        return await db.all(ProfileRow, profiles(rows))

    return [Way(FRESH, fresh, plain_profiles)]


ROUTES = {"/json": "hermetic json", "/shapes": "hermetic shapes, returned"}
"""The path of each way to answer a request."""


def routes(app: FastAPI, db: AsyncDatabase) -> None:
    reads_type = Annotated[AsyncDatabase, reader(db)]

    @app.get("/shapes")
    async def shapes(limit: int, reads: reads_type) -> list[MemberCard]:
        return await reads.all(MemberCard, members(limit))

    @app.get("/json")
    async def body(limit: int, reads: reads_type) -> Response:
        return Response(await reads.json(MemberCard, members(limit)), media_type="application/json")


STREAMS: dict[str, Callable[[AsyncDatabase, int], AsyncIterator[Any]]] = {}
"""How each way yields rows of `EventRow`, one after the other."""
