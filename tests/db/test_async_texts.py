"""An error that async code meets shows async code, whichever door it came through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import insert, select

from hermetic import AsyncDatabase, AsyncUnitOfWork, HermeticError
from shop import Address, User, UserCard, opened

Met = Callable[[AsyncDatabase, AsyncUnitOfWork], Awaitable[Any]]


async def _called(call: Callable[[], Any]) -> Any:
    return call()


DOORS: dict[str, tuple[Met, str]] = {
    "a verb": (lambda db, uow: uow.all("no select"), "await uow.session.execute("),  # type: ignore[call-overload]
    "an entity outside": (lambda db, uow: db.all(select(User)), "async with db.begin() as uow: await uow.all("),
    "load": (lambda db, uow: uow.load(User(), User.addresses), "then await uow.flush()"),
    "load of no entity": (lambda db, uow: uow.load(3, User.addresses), "await uow.load(users"),
    "plan": (lambda db, uow: _called(lambda: uow.plan(3, select(User))), "UserCard"),  # type: ignore[call-overload]
    "flush": (lambda db, uow: uow.flush(), "async with uow.attempt()"),
    "the session": (
        lambda db, uow: uow.session.execute(insert(Address).values(user_id=99, email_address="x")),
        "async with uow.attempt()",
    ),
    "the end by hand": (lambda db, uow: _called(lambda: uow.session.sync_session.rollback()), "await uow.flush()"),
}


@pytest.mark.parametrize("door", DOORS)
def test_the_text_shows_async_code(async_url: str, door: str) -> None:
    meet, shown = DOORS[door]

    async def main() -> None:
        async with await opened(async_url) as db:
            with pytest.raises(HermeticError) as met:
                async with db.begin() as uow:
                    uow.add(Address(user_id=99, email_address="x"))
                    await meet(db, uow)
            assert met.value.is_async
            assert shown in str(met.value)

    asyncio.run(main())


def test_a_missing_table_shows_the_awaited_call(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            with pytest.raises(HermeticError, match=r"await db\.create_all\(Base\)"):
                await db.all(UserCard, select(User))

    asyncio.run(main())
