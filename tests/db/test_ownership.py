"""One task or thread for each unit of work, at every door; another one is named, and nothing is sent."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI
from sqlalchemy import select, text
from sqlalchemy.exc import IllegalStateChangeError

from hermetic import (
    AsyncDatabase,
    AsyncRepository,
    AsyncUnitOfWork,
    Database,
    Pool,
    Repository,
    UnitOfWork,
    UnitShared,
)
from hermetic.web.fastapi import unit_of_work
from shop import User, UserCard, opened

DOORS: dict[str, Callable[[AsyncUnitOfWork], Awaitable[Any]]] = {
    "all": lambda uow: uow.all(UserCard, select(User)),
    "get": lambda uow: uow.get(User, 1),
    "count": lambda uow: uow.count(select(User)),
    "page": lambda uow: uow.page(UserCard, select(User)),
    "flush": lambda uow: uow.flush(),
    "repository": lambda uow: AsyncRepository[User](uow).all(select(User.name)),
    "add": lambda uow: _called(lambda: uow.add(User(name="bob"))),
    "session": lambda uow: _called(lambda: uow.session),
    "savepoint": lambda uow: uow.savepoint().__aenter__(),
    "stream": lambda uow: _streamed(uow),
}


async def _called(call: Callable[[], Any]) -> None:
    call()


async def _streamed(uow: AsyncUnitOfWork) -> None:
    async for _ in uow.stream(UserCard, select(User)):
        pass


@pytest.mark.parametrize("door", DOORS)
def test_a_gather_inside_one_unit_is_refused_and_sends_nothing(async_url: str, door: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db, db.begin() as uow:
            uow.add(User(name="ann"))
            with db.recorded() as statements:
                refused = await asyncio.gather(DOORS[door](uow), DOORS[door](uow), return_exceptions=True)
            assert [type(each) for each in refused] == [UnitShared, UnitShared]
            assert statements == []
            assert await uow.all(select(User.name)) == ["ann"]  # whose it is, it still is

    asyncio.run(main())


def test_a_session_that_was_kept_is_refused_too(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db, db.begin() as uow:
            session = uow.session
            session.add(User(name="ann"))
            calls = (session.execute(select(User)), session.scalars(text("SELECT 1")), session.flush())
            refused = await asyncio.gather(*calls, return_exceptions=True)
            assert [type(each) for each in refused] == [UnitShared] * 3

    asyncio.run(main())


def test_both_places_are_named_with_async_lines(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db, db.begin() as uow:
            with pytest.raises(UnitShared, match=r"fix: .*async with db\.begin") as refused:
                await asyncio.create_task(uow.all(select(User.name)), name="branch")
        assert isinstance(refused.value, IllegalStateChangeError)
        assert refused.value.user == "task branch"
        refused.match(r"begun at tests/db/test_ownership\.py:\d+ in main")

    asyncio.run(main())


def test_an_owner_that_has_finished_hands_over(async_url: str) -> None:
    """As test fixtures do it, whose begin, body and end are tasks one after the other."""

    async def main() -> None:
        async with await opened(async_url) as db:
            uow = db.begin()

            async def add() -> None:
                uow.add(User(name="ann"))
                await uow.flush()

            async def end() -> None:
                await uow.__aexit__(None, None, None)

            await asyncio.create_task(uow.__aenter__())  # type: ignore[arg-type]  # a coroutine
            await asyncio.create_task(add())
            await asyncio.create_task(end())
            assert await db.all(select(User.name)) == ["ann"]

    asyncio.run(main())


def test_every_branch_with_a_unit_of_its_own_is_fine(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db:

            async def branch(uow: AsyncUnitOfWork, name: str) -> None:
                uow.add(User(name=name))

            await asyncio.gather(*(db.run(branch, name) for name in "abc"))
            assert sorted(await db.all(select(User.name))) == ["a", "b", "c"]

    asyncio.run(main())


def test_more_branches_than_connections_take_their_turn(new_database: Callable[..., str]) -> None:
    async def main() -> None:
        async with AsyncDatabase(new_database(), pool=Pool.server(size=1, overflow=1, timeout=10)) as db:
            await db.create_all(User)

            async def write(uow: AsyncUnitOfWork, name: str) -> None:
                uow.add(User(name=name))
                await uow.flush()

            async with asyncio.TaskGroup() as branches:
                for number in range(20):
                    branches.create_task(db.run(write, f"user {number}"))
                reads = [branches.create_task(db.all(UserCard, select(User))) for _ in range(20)]
            assert await db.count(select(User)) == 20
            assert all(len(read.result()) <= 20 for read in reads)

    asyncio.run(main())


def test_the_first_error_ends_all_branches_and_rolls_their_units_back(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db:
            written = asyncio.Event()

            async def write(uow: AsyncUnitOfWork) -> None:
                uow.add(User(name="lost"))
                await uow.flush()
                written.set()
                await asyncio.Event().wait()

            async def fail() -> None:
                await written.wait()
                raise ZeroDivisionError

            with pytest.raises(ExceptionGroup) as ended:
                async with asyncio.TaskGroup() as branches:
                    branches.create_task(db.run(write))
                    branches.create_task(fail())
            assert [type(each) for each in ended.value.exceptions] == [ZeroDivisionError]
            assert await db.all(select(User.name)) == []
            assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool counts

    asyncio.run(main())


def test_a_second_thread_is_refused(db: Database) -> None:
    with ThreadPoolExecutor(1, "branch") as other, db.begin() as uow:
        uow.add(User(name="ann"))
        doors: list[Callable[[], Any]] = [
            lambda: uow.all(select(User)),
            lambda: uow.add(User(name="bob")),
            lambda: uow.flush(),
            lambda: uow.session,
            lambda: uow.savepoint().__enter__(),
            lambda: Repository[User](uow).get(User, 1),
        ]
        for door in doors:
            with pytest.raises(
                UnitShared, match=r"thread branch_0 used .* thread MainThread \(.*tests/db/test_ownership"
            ):
                other.submit(door).result()
    assert db.all(select(User.name)) == ["ann"]


def test_a_thread_that_has_finished_hands_over(new_database: Callable[..., str]) -> None:
    with Database(new_database()) as db:
        db.create_all(User)
        uow = db.begin()
        beginner = threading.Thread(target=uow.__enter__)
        beginner.start()
        beginner.join()
        uow.add(User(name="ann"))
        uow.__exit__(None, None, None)
        assert db.all(select(User.name)) == ["ann"]


async def _post(app: FastAPI, path: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app") as client:
        return await client.post(path)


def test_the_threads_of_one_request_share_its_sync_unit_and_no_other_thread_does(db: Database) -> None:
    app = FastAPI()
    uow_type = Annotated[UnitOfWork, unit_of_work(db)]
    threads: set[int] = set()
    refused: list[BaseException | None] = []

    def user(uow: uow_type) -> User:  # type: ignore[valid-type]
        threads.add(threading.get_ident())
        made = User(name="ann")
        uow.add(made)
        uow.flush()
        return made

    async def renamed(made: Annotated[User, Depends(user)]) -> User:
        threads.add(threading.get_ident())
        made.name = "bob"
        return made

    def create(uow: uow_type, made: Annotated[Any, Depends(renamed)]) -> list[str]:
        with ThreadPoolExecutor(1) as other:
            refused.append(other.submit(uow.flush).exception())
        return uow.all(select(User.name))

    app.post("/users")(create)

    async def main() -> None:
        answers = await asyncio.gather(_post(app, "/users"), _post(app, "/users"))
        assert [answer.status_code for answer in answers] == [200, 200]

    if db.engine.dialect.name == "sqlite":
        asyncio.run(_post_one(app))  # one writer at a time
    else:
        asyncio.run(main())
    assert len(threads) > 1
    assert {type(each) for each in refused} == {UnitShared}
    assert set(db.all(select(User.name))) == {"bob"}


async def _post_one(app: FastAPI) -> None:
    assert (await _post(app, "/users")).status_code == 200


def test_a_sync_dependency_may_add_to_the_async_unit_of_its_request_and_a_gather_may_not(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db:
            app = FastAPI()
            app.post("/users")(_async_route(db))
            assert (await _post(app, "/users")).json() == ["UnitShared", "UnitShared"]
            assert await db.all(select(User.name)) == ["ann"]

    asyncio.run(main())


def _async_route(db: AsyncDatabase) -> Callable[..., Awaitable[list[str]]]:
    def added(uow: Annotated[AsyncUnitOfWork, unit_of_work(db)]) -> AsyncUnitOfWork:
        uow.add(User(name="ann"))
        return uow

    async def route(uow: Annotated[Any, Depends(added)]) -> list[str]:
        calls = (uow.count(select(User)), uow.flush())
        return [type(each).__name__ for each in await asyncio.gather(*calls, return_exceptions=True)]

    return route
