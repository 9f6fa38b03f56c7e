"""`json`: one response body, byte for byte what encoding the shapes gives."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from sqlalchemy import select

from hermetic import AsyncDatabase, Database, Repository, WrongStatement
from shop import Address, User, UserCard

BY_ID = select(User).order_by(User.id)
LONG = 2**60 + 1


def _people() -> list[User]:
    return [User(id=n, name="é\u2028'\"", addresses=[Address(id=n, email_address="a@x")]) for n in (1, 2**53 - 1, LONG)]


def test_the_body_equals_the_encoded_shapes_in_one_statement(db: Database) -> None:
    assert db.json(UserCard, BY_ID) == b"[]"
    with db.begin() as uow:
        uow.add_all(_people())
    with db.recorded() as sent:
        body = db.json(UserCard, BY_ID)
    assert len(sent) == 1
    assert body == msgspec.json.encode(db.all(UserCard, BY_ID))
    assert f'"id":{LONG},'.encode() in body
    with db.begin() as uow:
        assert Repository[User](uow).json(UserCard, BY_ID) == uow.json(UserCard, BY_ID) == body


def test_the_safe_body_writes_long_keys_as_text(db: Database) -> None:
    with db.begin() as uow:
        uow.add_all(_people())
    body = db.json(UserCard, BY_ID, web_safe=True)
    assert f'"id":"{LONG}",'.encode() in body
    assert body.replace(f'"{LONG}"'.encode(), str(LONG).encode()) == db.json(UserCard, BY_ID)


def test_a_statement_that_is_no_shape_is_refused(db: Database) -> None:
    with pytest.raises(WrongStatement, match="cannot be read by json"):
        db.json(UserCard, select(User.id))  # type: ignore[arg-type]


def test_the_async_shell_returns_the_same_bytes(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            await db.create_all(User)
            async with db.begin() as uow:
                uow.add_all(_people())
                assert len(msgspec.json.decode(await uow.json(UserCard, BY_ID))) == 3
            assert await db.json(UserCard, BY_ID) == msgspec.json.encode(await db.all(UserCard, BY_ID))
            assert b'"id":"' in await db.json(UserCard, BY_ID, web_safe=True)

    asyncio.run(main())
