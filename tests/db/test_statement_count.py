"""A read sends as many statements as its plan says, for no root as for a thousand."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import Select, insert, select

from hermetic import AsyncDatabase, Database, Limits, Shape, prepared
from shop import Address, AddressLine, User, UserCard

SIZES = (0, 1, 10, 1000)
STRATEGIES = ("correlated", "set_based", "per_level", None)
USERS = [{"id": n, "name": f"n{n}"} for n in range(1, 1001)]
ADDRESSES = [{"email_address": f"{n}@x", "user_id": n % 1000 + 1} for n in range(2000)]


class Mates(Shape[User]):
    addresses: list[AddressLine]


class DeepLine(Shape[Address]):
    email_address: str
    user: Mates


class DeepCard(Shape[User]):
    id: int
    addresses: list[DeepLine]


def first(number: int, strategy: str | None) -> Select[User]:
    statement = select(User).where(User.id <= number).order_by(User.id)
    return statement if strategy is None else statement.execution_options(hermetic_strategy=strategy)


@prepared(UserCard)
def first_users(number: int) -> Select[User]:
    return select(User).where(User.id <= number).order_by(User.id)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_plan_says_how_many_statements_are_sent(db: Database, strategy: str | None) -> None:
    with db.engine.begin() as connection:
        connection.execute(insert(User), USERS)
        connection.execute(insert(Address), ADDRESSES)
    for shape in (UserCard, DeepCard):
        counts = set()
        for size in SIZES:
            statement: Any = first(size, strategy)
            for _ in range(2):  # the second goes straight to the driver where it is one statement
                with db.recorded() as sent:
                    found = db.all(shape, statement)
                assert len(found) == size
                assert len(sent) == db.plan(shape, statement).statements
            counts.add(len(sent))
            with db.recorded() as sent:
                page = db.page(shape, statement, limit=max(size, 1))
            assert (len(page), len(sent)) == (size, db.plan(shape, statement).statements)
        assert len(counts) == 1, "the number depends on the roots"


def test_a_prepared_read_sends_as_many(db: Database) -> None:
    with db.engine.begin() as connection:
        connection.execute(insert(User), USERS)
    for size in SIZES:
        with db.recorded() as sent:
            assert len(db.all(first_users(size))) == size
        assert len(sent) == db.plan(first_users(size)).statements == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_async_shell_sends_as_many(async_url: str, strategy: str | None) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url, limits=Limits(page=2000)) as db:
            await db.create_all(User)
            async with db.engine.begin() as connection:
                await connection.execute(insert(User), USERS)
                await connection.execute(insert(Address), ADDRESSES)
            for size in SIZES:
                statement: Any = first(size, strategy)
                for _ in range(2):
                    with db.recorded() as sent:
                        assert len(await db.all(DeepCard, statement)) == size
                    assert len(sent) == db.plan(DeepCard, statement).statements

    asyncio.run(main())
