"""FastAPI: the commit comes before the response, seen on the wire; shapes are bodies, with their schema."""

import asyncio
from typing import Annotated, Any

import httpx
import pytest
import requires
from bases import own_base
from fastapi import FastAPI, HTTPException
from sqlalchemy import ForeignKey, make_url, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database, Page, UnitOfWork
from hermetic.web.fastapi import lifespan, reader, unit_of_work
from shop import Address, AddressLine, Base, User, UserCard

Messages = list[dict[str, Any]]


class Late(own_base()):  # type: ignore[misc]
    """A row whose foreign key is checked at COMMIT only."""

    __tablename__ = "late"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey(User.id, deferrable=True, initially="DEFERRED"), index=True)


def _app(db: AsyncDatabase) -> FastAPI:
    app = FastAPI(lifespan=lifespan(db))
    uow_type = Annotated[AsyncUnitOfWork, unit_of_work(db)]
    reads_type = Annotated[AsyncDatabase, reader(db)]

    async def create(name: str, uow: uow_type) -> UserCard:  # type: ignore[valid-type]
        user = User(name=name, addresses=[Address(email_address="é@x")])
        uow.add(user)  # type: ignore[attr-defined]
        await uow.flush()  # type: ignore[attr-defined]
        return await uow.get_one(UserCard, user.id)  # type: ignore[attr-defined,no-any-return]

    async def orphan(uow: uow_type) -> str:  # type: ignore[valid-type]
        uow.add(Late(user_id=404))  # type: ignore[attr-defined]
        return "created"

    async def refuse(uow: uow_type) -> None:  # type: ignore[valid-type]
        uow.add(User(name="half"))  # type: ignore[attr-defined]
        await uow.flush()  # type: ignore[attr-defined]
        raise HTTPException(409, "no")

    async def users(reads: reads_type) -> list[UserCard]:  # type: ignore[valid-type]
        return await reads.all(UserCard, select(User).order_by(User.id))  # type: ignore[attr-defined,no-any-return]

    async def user(user_id: int, reads: reads_type) -> UserCard | None:  # type: ignore[valid-type]
        return await reads.get(UserCard, user_id)  # type: ignore[attr-defined,no-any-return]

    app.post("/users", status_code=201)(create)
    app.post("/orphans", status_code=201)(orphan)
    app.post("/refused")(refuse)
    app.get("/users")(users)
    app.get("/users/{user_id}")(user)
    return app


async def _send(app: FastAPI, method: str, path: str, query: str = "") -> Messages:
    """Return the ASGI messages of one request; an error after the last message is the server's, as in production."""
    messages: Messages = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        messages.append(dict(message))

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "scheme": "http",
        "server": ("test", 80),
        "client": ("test", 1),
    }
    try:
        await app(scope, receive, send)
    except IntegrityError:
        messages.append({"type": "raised"})
    return messages


async def _database(url: str) -> AsyncDatabase:
    db = AsyncDatabase(url)
    await db.create_all(Base)
    if requires.has(db.engine.dialect.name, "deferred keys"):
        await db.create_all(Late)
    return db


def test_a_failed_commit_is_a_500_and_never_a_201(async_url: str) -> None:
    requires.needs_of(make_url(async_url).get_backend_name(), "deferred keys")

    async def main() -> None:
        db = await _database(async_url)
        messages = await _send(_app(db), "POST", "/orphans")
        started = [message["status"] for message in messages if message["type"] == "http.response.start"]
        assert started == [500]
        assert await db.count(select(Late)) == 0
        await db.close()

    asyncio.run(main())


def test_the_row_is_committed_when_the_response_starts(async_url: str) -> None:
    async def main() -> None:
        db = await _database(async_url)
        app = _app(db)
        seen: list[int] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                seen.append(await db.count(select(User)))

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/users",
            "query_string": b"name=ann",
            "headers": [],
            "http_version": "1.1",
            "scheme": "http",
        }
        await app(scope, receive, send)
        assert seen == [1]
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        await db.close()

    asyncio.run(main())


def test_an_http_exception_rolls_back(async_url: str) -> None:
    async def main() -> None:
        db = await _database(async_url)
        messages = await _send(_app(db), "POST", "/refused")
        assert messages[0]["status"] == 409
        assert await db.count(select(User)) == 0
        await db.close()

    asyncio.run(main())


def test_shapes_are_bodies(async_url: str) -> None:
    async def main() -> None:
        db = await _database(async_url)
        transport = httpx.ASGITransport(_app(db))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            created = await client.post("/users", params={"name": "ann"})
            card = {
                "id": created.json()["id"],
                "name": "ann",
                "fullname": None,
                "addresses": [{"email_address": "é@x", "owner": "ann"}],
                "address_count": 1,
                "newest": [{"email_address": "é@x", "owner": "ann"}],
            }
            assert (created.status_code, created.json()) == (201, card)
            assert (await client.get("/users")).json() == [card]
            assert (await client.get(f"/users/{card['id']}")).json() == card
            assert (await client.get("/users/99")).json() is None
        await db.close()

    asyncio.run(main())


def test_the_openapi_schema_is_the_shapes() -> None:
    schema = _app(AsyncDatabase("sqlite://")).openapi()
    components = schema["components"]["schemas"]
    card = components["UserCard"]
    assert card["required"] == ["id", "name", "fullname", "addresses", "address_count", "newest"]
    assert card["properties"]["id"]["type"] == "integer"
    assert card["properties"]["fullname"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert card["properties"]["addresses"]["items"] == {"$ref": "#/components/schemas/AddressLine"}
    assert set(components["AddressLine"]["properties"]) == {"email_address", "owner"}
    listed = schema["paths"]["/users"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert listed["items"] == {"$ref": "#/components/schemas/UserCard"}


def test_a_sync_route_has_the_same(db: Database) -> None:
    requires.needs(db, "deferred keys")
    db.create_all(Base)
    db.create_all(Late)
    app = FastAPI(lifespan=lifespan(db))

    def orphan(uow: Annotated[UnitOfWork, unit_of_work(db)]) -> str:
        uow.add(Late(user_id=404))
        return "created"

    def users(reads: Annotated[Database, reader(db)]) -> list[UserCard]:
        return reads.all(UserCard, select(User))

    app.post("/orphans", status_code=201)(orphan)
    app.get("/users")(users)

    async def main() -> None:
        messages = await _send(app, "POST", "/orphans")
        assert messages[0]["status"] == 500
        assert (await _send(app, "GET", "/users"))[1]["body"] == b"[]"

    asyncio.run(main())


def test_the_lifespan_closes_the_pool(async_url: str) -> None:
    async def main() -> None:
        db = await _database(async_url)
        app = _app(db)
        async with app.router.lifespan_context(app):
            await db.all(select(User.id))
            assert db.engine.pool.checkedin() == 1  # type: ignore[attr-defined]
        assert db.engine.pool.checkedin() == 0  # type: ignore[attr-defined]

    asyncio.run(main())


def test_without_fastapi_the_error_names_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "hermetic.web.fastapi")
    with pytest.raises(ImportError, match=r'pip install "hermetic\[fastapi\]"'):
        import hermetic.web.fastapi  # noqa: F401


def test_a_page_is_a_body_with_its_schema(db: Database) -> None:
    with db.begin() as uow:
        uow.add_all([User(id=n, name=f"n{n}", addresses=[Address(email_address="é@x")]) for n in (1, 2, 3)])
    app = FastAPI(lifespan=lifespan(db))

    def users(reads: Annotated[Database, reader(db)], after: str | None = None) -> Page[UserCard]:
        return reads.page(UserCard, select(User).order_by(User.name), after=after, limit=2)

    def lines(reads: Annotated[Database, reader(db)]) -> Page[AddressLine]:
        return reads.page(AddressLine, select(Address))

    app.get("/users")(users)
    app.get("/lines")(lines)
    components = app.openapi()["components"]["schemas"]
    page = components["Page_UserCard_"]
    assert page["properties"]["items"]["items"] == {"$ref": "#/components/schemas/UserCard"}
    assert page["properties"]["next"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert components["Page_AddressLine_"]["properties"]["items"]["items"] == {
        "$ref": "#/components/schemas/AddressLine"
    }

    async def call() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            first = (await client.get("/users")).json()
            assert [card["name"] for card in first["items"]] == ["n1", "n2"]
            assert (first["previous"], first["total"]) == (None, None)
            second = (await client.get("/users", params={"after": first["next"]})).json()
            assert [card["name"] for card in second["items"]] == ["n3"]
            assert second["items"][0]["addresses"] == [{"email_address": "é@x", "owner": "n3"}]
            assert second["next"] is None

    asyncio.run(call())
