"""Section 5: implicit IO is refused by name, nothing expires, each task has its unit, the commit comes first."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import FastAPI, HTTPException
from observatory import HALE, M31, SUBARU, Observation, Telescope, TelescopeCard
from shells import ASYNC, Shell, only_sync, pool_of
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError, MissingGreenlet, SQLAlchemyError
from sqlalchemy.orm import selectinload

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database, NotLoaded, Pool, UnitOfWork
from hermetic.web.fastapi import lifespan, reader, unit_of_work

# the contrast leaves an aiosqlite connection behind that nobody can close any more
only_asyncpg = pytest.mark.parametrize("target", ["asyncpg"], indirect=True)

TELESCOPES = select(Telescope).order_by(Telescope.id)
BY_TELESCOPE = [["M31", "M42"], ["NGC 891"], []]


class Storm(Exception):
    pass


@pytest.fixture(params=ASYNC)
def target(request: pytest.FixtureRequest) -> str:
    """The async drivers only."""
    return str(request.param)


def targets(telescopes: Any) -> list[list[str]]:
    return [sorted(each.target for each in telescope.observations) for telescope in telescopes]


async def test_the_smallest_setup_stores_a_graph_and_reads_it_back(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        uow.add_all(
            [
                Telescope(name="Lovell", observations=[Observation(target="Sputnik"), Observation(target="Crab")]),
                Telescope(name="Gemini", observations=[Observation(target="Proxima")]),
            ]
        )
    cards = await db.all(TelescopeCard, TELESCOPES.where(Telescope.id > 3))
    assert targets(cards) == [["Crab", "Sputnik"], ["Proxima"]]


# 1: no implicit IO


@only_asyncpg
async def test_a_plain_async_session_fails_without_naming_the_attribute(shell: Shell, db: AsyncDatabase) -> None:
    async with shell.plain_session(db) as session:
        hale = await session.get(Telescope, HALE)
        with pytest.raises(SQLAlchemyError, match="greenlet_spawn has not been called") as failed:
            hale.observations
    assert "Telescope.observations" not in str(failed.value)


async def test_implicit_io_is_refused_with_the_name_of_the_attribute(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with pytest.raises(NotLoaded, match=r"Telescope\.observations was read but not loaded"):
            hale.observations


async def test_implicit_io_is_refused_where_sync_code_could_do_it(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        with pytest.raises(NotLoaded, match=r"Observation\.telescope was read but not loaded"):
            await uow.session.run_sync(lambda session: session.get(Observation, M31).telescope)


async def test_an_expired_column_is_refused_with_its_name(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        uow.session.expire(hale, ["nickname"])
        with pytest.raises(NotLoaded, match=r"Telescope\.nickname was read but not loaded"):
            hale.nickname


async def test_a_refusal_leaves_the_unit_usable(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with pytest.raises(NotLoaded):
            hale.observations
        assert await uow.count(TELESCOPES) == 3


# the three ways out


async def test_way_out_1_load_with_the_entity(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        found = (await uow.session.scalars(TELESCOPES.options(selectinload(Telescope.observations)))).all()
        assert targets(found) == BY_TELESCOPE


async def test_way_out_2_await_the_attribute(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with db.recorded() as statements:
            observations = await hale.awaitable_attrs.observations
    assert (len(observations), len(statements)) == (2, 1)


async def test_an_awaited_attribute_stays_loaded(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        await hale.awaitable_attrs.observations
    assert targets([hale]) == [["M31", "M42"]]


@pytest.mark.parametrize("owner", ["unit", "session"])
async def test_way_out_3_refresh_by_name(db: AsyncDatabase, owner: str) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        refresh = uow.refresh if owner == "unit" else uow.session.refresh
        await refresh(hale, ["observations"])
        assert targets([hale]) == [["M31", "M42"]]


@pytest.mark.parametrize("way", ["selectinload(Telescope.observations)", "uow.load(entities, Telescope.observations)"])
async def test_the_refusal_holds_the_ways_out(db: AsyncDatabase, way: str) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with pytest.raises(NotLoaded, match=re.escape(way)):
            hale.observations


async def test_a_shape_needs_no_way_out(db: AsyncDatabase) -> None:
    with db.recorded() as statements:
        assert targets(await db.all(TelescopeCard, TELESCOPES)) == BY_TELESCOPE
    assert len(statements) == 1


# 2: nothing expires


@only_asyncpg
async def test_a_plain_async_session_breaks_its_entities_at_commit(shell: Shell, db: AsyncDatabase) -> None:
    async with shell.plain_session(db) as session:
        hale = await session.get(Telescope, HALE)
        await session.commit()
        with pytest.raises(MissingGreenlet):
            hale.name


async def test_an_entity_is_readable_after_the_commit_without_io(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        telescope = Telescope(name="Arecibo")
        uow.add(telescope)
    with db.recorded() as statements:
        assert (isinstance(telescope.id, int), telescope.name) == (True, "Arecibo")
    assert statements == []


async def test_an_entity_is_readable_after_a_savepoint(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        async with uow.savepoint():
            hale.nickname = "200-inch"
        assert (hale.name, hale.nickname) == ("Hale", "200-inch")


# 3: one unit for each task


async def build(db: AsyncDatabase, name: str, all_open: asyncio.Barrier) -> AsyncUnitOfWork:
    async with db.begin() as uow:
        await all_open.wait()  # every task stands inside its unit before the first of them writes
        uow.add(Telescope(name=name))
    return uow


async def test_concurrent_tasks_commit_each_their_own_unit(db: AsyncDatabase) -> None:
    all_open = asyncio.Barrier(8)
    await asyncio.gather(*(build(db, f"Dish {number}", all_open) for number in range(8)))
    assert await db.count(TELESCOPES) == 11


async def test_concurrent_units_share_no_session(db: AsyncDatabase) -> None:
    all_open = asyncio.Barrier(4)

    async def session_of_a_unit() -> Any:
        async with db.begin() as uow:
            await all_open.wait()
            return uow.session

    assert len({id(each) for each in await asyncio.gather(*(session_of_a_unit() for _ in range(4)))}) == 4


async def test_a_task_that_fails_undoes_its_own_unit_only(db: AsyncDatabase) -> None:
    async def build_or_fail(name: str) -> None:
        async with db.begin() as uow:
            uow.add(Telescope(name=name))
            await uow.flush()
            if name == "Fails":
                raise Storm

    names = ["Lovell", "Fails", "Gemini"]
    await asyncio.gather(*(build_or_fail(name) for name in names), return_exceptions=True)
    assert await db.all(select(Telescope.name).where(Telescope.id > 3).order_by(Telescope.name)) == ["Gemini", "Lovell"]


async def test_concurrent_tasks_can_read_from_the_database_itself(db: AsyncDatabase) -> None:
    found = await asyncio.gather(*(db.get(TelescopeCard, key) for key in [1, 2, 3, 404] * 5))
    assert [card.name if card else None for card in found] == ["Hale", "Subaru", "Keck", None] * 5


async def test_concurrent_reads_on_a_small_pool_wait_for_their_turn(shell: Shell) -> None:
    db = shell.open(Pool.server(size=2, overflow=0))
    found = await asyncio.gather(*(db.get(TelescopeCard, SUBARU) for _ in range(20)))
    assert {card.name for card in found} == {"Subaru"}


async def test_all_connections_are_back_after_concurrent_tasks(db: AsyncDatabase) -> None:
    all_open = asyncio.Barrier(5)
    await asyncio.gather(*(build(db, f"Dish {number}", all_open) for number in range(5)))
    assert pool_of(db).checkedout() == 0


# the dependency of FastAPI


def application(db: AsyncDatabase) -> FastAPI:
    """Return an application with a route for each way a request can end."""
    app = FastAPI(lifespan=lifespan(db))
    uow_type = Annotated[AsyncUnitOfWork, unit_of_work(db)]
    reads_type = Annotated[AsyncDatabase, reader(db)]

    @app.get("/telescopes/{key}")
    async def show(key: int, reads: reads_type) -> TelescopeCard:
        found = await reads.get(TelescopeCard, key)
        if found is None:
            raise HTTPException(404)
        return found

    @app.post("/telescopes/{name}", status_code=201)
    async def build(name: str, uow: uow_type) -> int:
        telescope = Telescope(name=name)
        uow.add(telescope)
        await uow.flush()
        return telescope.id

    @app.post("/refused/{name}", status_code=201)
    async def refuse(name: str, uow: uow_type) -> int:
        await build(name, uow)
        raise HTTPException(409)

    @app.post("/broken/{name}", status_code=201)
    async def broken(name: str, uow: uow_type) -> int:
        await build(name, uow)
        raise Storm

    @app.post("/rejected-at-commit", status_code=201)
    async def rejected(uow: uow_type) -> int:
        uow.add(Telescope(id=HALE, name="a second Hale"))  # sent by the commit, which fails
        return HALE

    return app


@contextlib.asynccontextmanager
async def client_of(app: Any, *, raise_errors: bool = False) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=raise_errors)
    async with httpx.AsyncClient(transport=transport, base_url="http://observatory") as client:
        yield client


async def test_a_route_reads_a_shape_as_its_body(db: AsyncDatabase) -> None:
    async with client_of(application(db)) as client:
        body = (await client.get("/telescopes/2")).json()
    assert body == {
        "id": 2,
        "name": "Subaru",
        "nickname": "Pleiades",
        "observations": [{"target": "NGC 891", "keywords": [{"word": "galaxy"}]}],
        "observed": 1,
    }


async def test_a_route_that_reads_is_one_statement(db: AsyncDatabase) -> None:
    async with client_of(application(db)) as client:
        with db.recorded() as statements:
            await client.get("/telescopes/1")
    assert len(statements) == 1


async def test_a_route_that_returns_commits(db: AsyncDatabase) -> None:
    async with client_of(application(db)) as client:
        response = await client.post("/telescopes/Arecibo")
    assert (response.status_code, (await db.get(TelescopeCard, response.json())).name) == (201, "Arecibo")


async def test_the_commit_comes_before_the_first_byte_of_the_response(db: AsyncDatabase) -> None:
    app = application(db)
    seen: list[bool] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def watching(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen.append(await db.exists(select(Telescope).where(Telescope.name == "Arecibo")))
            await send(message)

        await app(scope, receive, watching)

    async with client_of(watched) as client:
        await client.post("/telescopes/Arecibo")
    assert seen == [True]


async def test_a_commit_that_fails_is_a_500_and_no_201(db: AsyncDatabase) -> None:
    async with client_of(application(db)) as client:
        assert (await client.post("/rejected-at-commit")).status_code == 500


async def test_a_commit_that_fails_reaches_the_server_as_it_was_raised(db: AsyncDatabase) -> None:
    async with client_of(application(db), raise_errors=True) as client:
        with pytest.raises(IntegrityError):
            await client.post("/rejected-at-commit")


@pytest.mark.parametrize(("route", "status"), [("refused", 409), ("broken", 500)])
async def test_a_route_that_raises_stores_nothing(db: AsyncDatabase, route: str, status: int) -> None:
    async with client_of(application(db)) as client:
        response = await client.post(f"/{route}/Arecibo")
    assert (response.status_code, await db.count(TELESCOPES)) == (status, 3)


@pytest.mark.parametrize("route", ["telescopes/A", "refused/A", "broken/A", "rejected-at-commit"])
async def test_the_connection_is_back_however_a_request_ends(db: AsyncDatabase, route: str) -> None:
    async with client_of(application(db)) as client:
        await client.post(f"/{route}")
    assert pool_of(db).checkedout() == 0


async def test_concurrent_requests_have_each_their_unit(db: AsyncDatabase) -> None:
    names = [f"Dish {number}" for number in range(6)]
    async with client_of(application(db)) as client:
        responses = await asyncio.gather(*(client.post(f"/telescopes/{name}") for name in names))
    assert {(await db.get(TelescopeCard, response.json())).name for response in responses} == set(names)


async def test_the_connections_are_closed_when_the_application_stops(db: AsyncDatabase) -> None:
    app = application(db)
    async with app.router.lifespan_context(app):
        await db.one(select(func.count(Telescope.id)))
        assert pool_of(db).checkedin() == 1
    assert pool_of(db).checkedin() == 0


@only_sync
def test_a_sync_route_has_a_sync_unit_that_commits(shell: Shell) -> None:
    with Database(shell.url) as db:
        app = FastAPI()
        uow_type = Annotated[UnitOfWork, unit_of_work(db)]

        @app.post("/telescopes", status_code=201)
        def build(uow: uow_type) -> int:
            uow.session.execute(insert(Telescope), [{"name": "Arecibo"}])
            return uow.count(select(Telescope))

        async def request() -> httpx.Response:
            async with client_of(app) as client:
                return await client.post("/telescopes")

        asyncio.run(request())
        assert db.count(select(Telescope)) == 4
