"""How hermetic does each piece of work. A new verb of the library is plugged in here, and nowhere else."""

from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Annotated, Any

from fastapi import FastAPI, Response
from sqlalchemy import Select, select

from bench.measure import Way
from bench.shop import (
    BOUND,
    Customer,
    CustomerCard,
    EventRow,
    MemberCard,
    Profile,
    ProfileRow,
    customers,
    events,
    members,
    plain_customers,
    plain_profiles,
    profiles,
)
from hermetic import AsyncDatabase, AsyncUnitOfWork, Prepared, prepared
from hermetic.web.fastapi import reader

PREPARED = "hermetic, prepared"
FRESH = "hermetic, fresh select()"
GET = "hermetic get"
IN_UNIT = "hermetic, inside a unit of work"
RUN = "hermetic run()"
STRATEGY = "hermetic,"
BEST = PREPARED
"""The way that the bars are about."""
GRAPH_LIMITS = {PREPARED: 1.25, FRESH: 1.6}
"""How many times the bare driver's time each way may take, at 1 and 20 roots."""


@cache
def customers_below(roots: int) -> Prepared[[int], CustomerCard]:
    """Return the prepared read of the first `roots`: a limit is part of the code, what is looked for is a value."""

    @prepared(CustomerCard)
    def read(below: int) -> Select[Customer]:
        return customers(roots, below)

    return read


@cache
def profiles_below(rows: int) -> Prepared[[int], ProfileRow]:
    @prepared(ProfileRow)
    def read(below: int) -> Select[Profile]:
        return profiles(rows, below)

    return read


@prepared(ProfileRow)
def profile(key: int) -> Select[Profile]:
    return select(Profile).where(Profile.id == key)


def graph(db: AsyncDatabase) -> list[Way]:
    async def with_prepared(roots: int) -> list[CustomerCard]:
        return await db.all(customers_below(roots)(BOUND))

    async def fresh(roots: int) -> list[CustomerCard]:
        return await db.all(CustomerCard, customers(roots))

    return [Way(PREPARED, with_prepared, plain_customers), Way(FRESH, fresh, plain_customers)]


def graph_in_unit(db: AsyncDatabase) -> list[Way]:
    async def in_unit(roots: int) -> list[CustomerCard]:
        async with db.begin() as uow:
            return await uow.all(CustomerCard, customers(roots))

    return [Way(IN_UNIT, in_unit, plain_customers)]


def strategies(db: AsyncDatabase) -> list[Way]:
    def way(strategy: str) -> Way:
        async def read(roots: int) -> list[CustomerCard]:
            return await db.all(CustomerCard, customers(roots).execution_options(hermetic_strategy=strategy))

        return Way(f"{STRATEGY} {strategy}", read, plain_customers)

    return [way("correlated"), way("set_based"), way("per_level")]


def get(db: AsyncDatabase) -> list[Way]:
    async def get(key: int) -> ProfileRow | None:
        return await db.get(ProfileRow, key)

    async def with_prepared(key: int) -> ProfileRow | None:
        return await db.one_or_none(profile(key))

    def plain(found: Any) -> list[Any]:
        return plain_profiles([found])

    return [Way(GET, get, plain), Way(PREPARED, with_prepared, plain)]


def flat(db: AsyncDatabase) -> list[Way]:
    async def fresh(rows: int) -> list[ProfileRow]:
        return await db.all(ProfileRow, profiles(rows))

    async def with_prepared(rows: int) -> list[ProfileRow]:
        return await db.all(profiles_below(rows)(BOUND))

    return [Way(PREPARED, with_prepared, plain_profiles), Way(FRESH, fresh, plain_profiles)]


def unit(db: AsyncDatabase) -> list[Way]:
    async def change(uow: AsyncUnitOfWork, key: int) -> int:
        profile = await uow.get_one(Profile, key)
        profile.age ^= 1
        return profile.id

    async def run(key: int) -> int:
        return await db.run(change, key)

    return [Way(RUN, run, lambda found: found)]


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


STREAMS: dict[str, Callable[[AsyncDatabase, int], AsyncIterator[Any]]] = {
    "hermetic stream": lambda db, rows: db.stream(EventRow, events(rows)),
}
"""How each way yields rows of `EventRow`, one after the other."""
