"""How hermetic does each piece of work. A new verb of the library is plugged in here, and nowhere else."""

from __future__ import annotations

from bench.measure import Way
from bench.shop import CustomerCard, ProfileRow, customers, plain_customers, plain_profiles, profiles
from hermetic import AsyncDatabase

FRESH = "hermetic, fresh select()"
BEST = FRESH
"""The way that the bars are about."""
GRAPH_LIMITS = {FRESH: 1.6}
"""How many times the bare driver's time each way may take, at 1 and 20 roots."""


def graph(db: AsyncDatabase) -> list[Way]:
    async def fresh(roots: int) -> list[CustomerCard]:
        return await db.all(CustomerCard, customers(roots))

    return [Way(FRESH, fresh, plain_customers)]


def get(db: AsyncDatabase) -> list[Way]:
    async def get(key: int) -> ProfileRow | None:
        return await db.get(ProfileRow, key)

    return [Way(FRESH, get, lambda found: plain_profiles([found]))]


def flat(db: AsyncDatabase) -> list[Way]:
    async def fresh(rows: int) -> list[ProfileRow]:
        return await db.all(ProfileRow, profiles(rows))

    return [Way(FRESH, fresh, plain_profiles)]
