"""What is not loaded is refused before anything is sent, with its name, where the entity came from, and the fix."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload, undefer

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database, NotLoaded, UnitOfWork
from shop import Address, User, opened


@pytest.fixture
def filled(db: Database) -> Database:
    db.run(_fill)
    return db


def _fill(uow: UnitOfWork) -> None:
    uow.add(User(name="ann", bio="long", addresses=[Address(email_address="a@x"), Address(email_address="b@x")]))


async def _async_filled(url: str) -> AsyncDatabase:
    db = await opened(url)

    async def fill(uow: AsyncUnitOfWork) -> None:
        uow.add(User(name="ann", bio="long", addresses=[Address(email_address="a@x")]))

    await db.run(fill)
    return db


LOADED_HERE = r"it was loaded at tests/db/test_guard\.py:\d+ in test_"


def test_a_lazy_collection_is_refused_before_anything_is_sent(filled: Database) -> None:
    with filled.begin() as uow:
        user = uow.one(select(User))
        with filled.recorded() as statements, pytest.raises(NotLoaded) as refused:
            _ = user.addresses
    assert statements == []
    assert refused.value.attribute == "User.addresses"
    assert "select(User).options(selectinload(User.addresses))" in str(refused.value)
    assert "or fill the entities that are here: uow.load(entities, User.addresses)" in str(refused.value)
    refused.match(LOADED_HERE)


def test_a_lazy_reference_is_refused_with_the_joined_load_to_paste(filled: Database) -> None:
    with filled.begin() as uow:
        address = uow.first(select(Address))
        assert address is not None
        with pytest.raises(NotLoaded, match=r"options\(joinedload\(Address.user\)\)"):
            _ = address.user


def test_a_reference_that_is_already_here_needs_no_statement(filled: Database) -> None:
    with filled.begin() as uow:
        user = uow.one(select(User))
        address = uow.all(select(Address))[0]
        with filled.recorded() as statements:
            assert address.user is user
    assert statements == []


def test_a_deferred_column_is_refused_by_name(filled: Database) -> None:
    with filled.begin() as uow:
        user = uow.one(select(User))
        with (
            filled.recorded() as statements,
            pytest.raises(NotLoaded, match=r"User.bio was read[\s\S]*undefer\(User.bio\)"),
        ):
            _ = user.bio
        assert statements == []
        assert uow.one(select(User).options(undefer(User.bio)).execution_options(populate_existing=True)).bio == "long"


def test_an_expired_entity_is_refused_by_name(filled: Database) -> None:
    with filled.begin() as uow:
        user = uow.one(select(User))
        uow.session.expire(user, ["name"])
        with filled.recorded() as statements, pytest.raises(NotLoaded, match=r"User.name was read but not loaded"):
            _ = user.name
        assert statements == []
        uow.refresh(user)
        assert user.name == "ann"


def test_an_entity_added_here_says_so(filled: Database) -> None:
    with filled.begin() as uow:
        user = User(name="bob")
        uow.add(user)
        uow.flush()
        uow.session.expire(user, ["addresses"])
        with pytest.raises(NotLoaded, match="it was added in this unit of work"):
            _ = user.addresses


def test_get_leaves_the_same_trace(filled: Database) -> None:
    with filled.begin() as uow:
        user = uow.get_one(User, 1)
        with pytest.raises(NotLoaded, match=LOADED_HERE):
            _ = user.addresses


@pytest.mark.parametrize("option", [selectinload, joinedload])
def test_what_the_statement_loads_is_there(filled: Database, option: Any) -> None:
    with filled.begin() as uow, filled.recorded() as statements:
        user = uow.one(select(User).options(option(User.addresses)))
        assert [address.email_address for address in user.addresses] == ["a@x", "b@x"]
    assert len(statements) == (2 if option is selectinload else 1)


def test_refresh_loads_by_name(filled: Database) -> None:
    with filled.begin() as uow:
        user = uow.one(select(User))
        uow.refresh(user, ["addresses", "bio"])
        assert (len(user.addresses), user.bio) == (2, "long")


def test_deleting_a_parent_loads_what_its_cascade_must_know(filled: Database) -> None:
    with filled.begin() as uow:
        uow.delete(uow.one(select(User)))
    assert filled.count(select(Address)) == 0


def test_async_attribute_access_is_refused_and_never_a_missing_greenlet(async_url: str) -> None:
    async def main() -> None:
        db = await _async_filled(async_url)
        async with db.begin() as uow:
            user = await uow.one(select(User))
            with db.recorded() as statements:
                with pytest.raises(NotLoaded, match=r"it was loaded at tests/db/test_guard\.py:\d+ in main"):
                    _ = user.addresses
                with pytest.raises(NotLoaded, match=r"await uow.load\(entities, User.bio\)"):
                    _ = user.bio
                uow.session.expire(user)
                with pytest.raises(NotLoaded):
                    _ = user.name
            assert statements == []
        await db.close()

    asyncio.run(main())


def test_async_has_three_ways_out(async_url: str) -> None:
    async def main() -> None:
        db = await _async_filled(async_url)
        async with db.begin() as uow:
            eager = await uow.one(select(User).options(selectinload(User.addresses)))
            assert len(eager.addresses) == 1
        async with db.begin() as uow:
            user = await uow.one(select(User))
            assert len(await user.awaitable_attrs.addresses) == 1
        async with db.begin() as uow:
            user = await uow.one(select(User))
            await uow.refresh(user, ["addresses"])
            assert len(user.addresses) == 1
        await db.close()

    asyncio.run(main())


def test_run_sync_is_no_way_around_the_guard(async_url: str) -> None:
    async def main() -> None:
        db = await _async_filled(async_url)

        def touch(session: Session) -> None:
            _ = session.scalars(select(User)).one().addresses

        async with db.begin() as uow:
            with pytest.raises(NotLoaded):
                await uow.session.run_sync(touch)
        await db.close()

    asyncio.run(main())
