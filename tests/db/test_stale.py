"""A migration under a running application: what its connections have prepared is stale, and no caller hears of it."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from sqlalchemy import Enum, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Mapped, mapped_column

from hermetic import AsyncDatabase, AsyncUnitOfWork, Base, Pool, Shape, StalePlan

SIZE = 3
pytestmark = pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])


class Stage(enum.Enum):
    DRAFT = "draft"
    LIVE = "live"


class Leaflet(Base):
    __tablename__ = "leaflet"
    id: Mapped[int] = mapped_column(primary_key=True)
    pages: Mapped[int]
    stage: Mapped[Stage] = mapped_column(
        Enum(Stage, name="leaflet_stage", values_callable=lambda kind: [each.value for each in kind])
    )


class LeafletCard(Shape[Leaflet]):
    id: int
    pages: int
    stage: Stage


DRAFTS = select(Leaflet.id, Leaflet.pages, Leaflet.stage).where(Leaflet.stage == Stage.DRAFT)
CARDS = select(Leaflet)
STAR = text("SELECT * FROM leaflet")
WIDER = ("ALTER TABLE leaflet ALTER COLUMN pages TYPE bigint", "ALTER TABLE leaflet ADD COLUMN paper text")
ANEW = (
    "ALTER TYPE leaflet_stage RENAME TO leaflet_stage_before",
    "CREATE TYPE leaflet_stage AS ENUM ('draft', 'live')",
    "ALTER TABLE leaflet ALTER COLUMN stage TYPE leaflet_stage USING stage::text::leaflet_stage",
    "DROP TYPE leaflet_stage_before",
)
BOTH = pytest.mark.parametrize("steps", [WIDER, ANEW], ids=["column", "enum"])


@asynccontextmanager
async def warm(url: str) -> AsyncIterator[AsyncDatabase]:
    """Yield a database of one row, each of whose connections has prepared all that the tests send."""
    async with AsyncDatabase(url, pool=Pool.server(size=SIZE, overflow=0)) as db:
        async with db.engine.begin() as setup:
            await setup.exec_driver_sql("DROP TABLE IF EXISTS leaflet")
            await setup.exec_driver_sql("DROP TYPE IF EXISTS leaflet_stage")
        await db.create_all(Base.metadata)
        async with db.begin() as uow:
            uow.add(Leaflet(id=1, pages=8, stage=Stage.DRAFT))
        async with AsyncExitStack() as all_of_them:
            opened = [await all_of_them.enter_async_context(db.engine.connect()) for _ in range(SIZE)]
            for connection in opened:
                await _warm(connection)
        yield db


async def _warm(connection: AsyncConnection) -> None:
    for _ in range(7):  # psycopg prepares the sixth
        for statement in (DRAFTS, STAR, select(Leaflet.id, Leaflet.pages, Leaflet.stage)):
            await connection.execute(statement)
        await connection.execute(insert(Leaflet).values(id=2, pages=1, stage=Stage.LIVE))
        await connection.exec_driver_sql("DELETE FROM leaflet WHERE id = 2")
        await connection.commit()


async def migrate(db: AsyncDatabase, steps: tuple[str, ...]) -> None:
    """Change the table on a connection of nobody else."""
    other = AsyncDatabase(db.engine.url, pool=Pool.serverless())
    async with other.engine.begin() as migration:
        for step in steps:
            await migration.exec_driver_sql(step)
    await other.close()


@BOTH
def test_a_read_outside_a_unit_goes_on_whatever_its_connection_has_prepared(
    new_database: Callable[..., str], driver: str, steps: tuple[str, ...]
) -> None:
    async def main() -> None:
        async with warm(new_database(driver)) as db:
            for _ in range(7):
                await db.all(LeafletCard, CARDS)
            await migrate(db, steps)
            assert [row.id for row in await db.all(DRAFTS)] == [1]
            assert await db.all(LeafletCard, CARDS) == [LeafletCard(id=1, pages=8, stage=Stage.DRAFT)]
            assert await db.count(DRAFTS) == 1

    asyncio.run(main())


@BOTH
@pytest.mark.parametrize("at", ["read", "star", "write"])
def test_a_use_case_goes_on_whatever_its_connection_has_prepared(
    new_database: Callable[..., str], driver: str, steps: tuple[str, ...], at: str
) -> None:
    attempts = 0

    async def use(uow: AsyncUnitOfWork) -> None:
        nonlocal attempts
        attempts += 1
        if at == "write":
            await uow.session.execute(insert(Leaflet).values(id=2, pages=1, stage=Stage.LIVE))
        else:
            await uow.session.execute(DRAFTS if at == "read" else STAR)

    async def main() -> None:
        async with warm(new_database(driver)) as db:
            await migrate(db, steps)
            await db.run(use)
            assert attempts <= 2
            assert await db.count(select(Leaflet)) == (2 if at == "write" else 1)

    asyncio.run(main())


@BOTH
def test_the_first_stale_plan_ends_all_connections_that_are_older(
    new_database: Callable[..., str], driver: str, steps: tuple[str, ...]
) -> None:
    stale = DRAFTS if steps == ANEW else STAR

    async def main() -> None:
        async with warm(new_database(driver)) as db:
            await migrate(db, steps)
            with pytest.raises(StalePlan):
                async with db.begin() as uow:
                    await uow.session.execute(stale)
            async with AsyncExitStack() as all_of_them:
                for _ in range(SIZE):
                    uow = await all_of_them.enter_async_context(db.begin())
                    assert len((await uow.session.execute(stale)).all()) == 1

    asyncio.run(main())
