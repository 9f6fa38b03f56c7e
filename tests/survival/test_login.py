"""A connection that breaks before it can be used is one more thing that `run` repeats."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from survival.place import Place
from survival.ways import AsyncHermetic


async def _one(session: AsyncSession) -> int:
    return int(await session.scalar(select(1)) or 0)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_login_that_is_cut_is_tried_again_once_one_has_worked(driver: str, place: Place) -> None:
    proxy, database = place.cluster.proxy, place.cluster.new_database()

    async def connected() -> list[int]:
        way = AsyncHermetic(place.cluster.url(database, driver), 1)
        await way.run(_one)
        await way.engine.dispose()
        before = proxy.passed["down"]
        await way.run(_one)
        whole, answers = proxy.passed["down"] - before, []
        for point in range(1, whole, 97):
            await way.engine.dispose()
            proxy.cut_after("down", point)
            answers.append(await way.run(_one))
            assert proxy.is_cut, "the login went another way than the one before"
        await way.close()
        return answers

    try:
        answers = asyncio.run(connected())
    finally:
        proxy.heal()
    assert len(answers) > 5
    assert set(answers) == {1}
