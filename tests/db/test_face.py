"""The face of the design, as written there, on each database and driver; then its sync twin."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from sqlalchemy import select

from hermetic import AsyncDatabase, AsyncRepository, AsyncUnitOfWork, Database, NotFound, Repository, UnitOfWork
from shop import Address, AddressLine, Base, User, UserCard


class Users(AsyncRepository[User]):
    async def named(self, name: str) -> list[UserCard]:
        return await self.all(UserCard, select(User).where(User.name == name))


async def register_user(uow: AsyncUnitOfWork, name: str, email: str) -> int:
    user = User(name=name, addresses=[Address(email_address=email)])
    uow.add(user)
    await uow.flush()
    return user.id


def test_the_face_works_as_written(async_url: str) -> None:
    async def main() -> None:
        db = AsyncDatabase(async_url)
        await db.create_all(Base)
        user_id: int = await db.run(register_user, "alice", "a@example.com")
        cards: list[UserCard] = await db.all(
            UserCard, select(User).where(User.name == "alice").order_by(User.id).limit(20)
        )
        line = AddressLine(email_address="a@example.com", owner="alice")
        whole = UserCard(id=user_id, name="alice", fullname=None, addresses=[line], address_count=1, newest=[line])
        assert cards == [whole]
        card: UserCard | None = await db.get(UserCard, user_id)
        assert card == whole
        assert await db.get(UserCard, user_id + 1) is None
        async with db.begin() as uow:
            users = Users(uow)
            user = await uow.get_one(User, user_id)
            user.name = "bob"
            assert [found.name for found in await users.named("bob")] == ["bob"]
        assert [found.name for found in await db.all(UserCard, select(User))] == ["bob"]
        with db.recorded() as statements:
            await db.all(UserCard, select(User))
        assert len(statements) == 1
        assert statements[0].sql.startswith("SELECT")
        await db.close()

    asyncio.run(main())


class SyncUsers(Repository[User]):
    def named(self, name: str) -> list[UserCard]:
        return self.all(UserCard, select(User).where(User.name == name))


def register(uow: UnitOfWork, name: str, email: str) -> int:
    user = User(name=name, addresses=[Address(email_address=email)])
    uow.add(user)
    uow.flush()
    return user.id


def test_the_sync_twin_works_as_written(db: Database) -> None:
    user_id: int = db.run(register, "alice", "a@example.com")
    line = AddressLine(email_address="a@example.com", owner="alice")
    whole = UserCard(id=user_id, name="alice", fullname=None, addresses=[line], address_count=1, newest=[line])
    assert db.all(UserCard, select(User).where(User.name == "alice").order_by(User.id).limit(20)) == [whole]
    assert db.get(UserCard, user_id) == whole
    with db.begin() as uow:
        users = SyncUsers(uow)
        user = uow.get_one(User, user_id)
        user.name = "bob"
        assert [found.name for found in users.named("bob")] == ["bob"]
    with db.recorded() as statements:
        assert [found.name for found in db.all(UserCard, select(User))] == ["bob"]
    assert len(statements) == 1
    assert statements[0].sql.startswith("SELECT")


def test_every_verb_reads_shapes_values_and_rows(db: Database) -> None:
    first, second = (db.run(register, name, f"{name}@x") for name in ("ann", "bob"))
    by_id = select(User).order_by(User.id)
    with db.recorded() as statements:
        assert [card.id for card in db.all(UserCard, by_id)] == [first, second]
        assert db.one(UserCard, by_id.where(User.id == first)).id == first
        assert db.one_or_none(UserCard, by_id.where(User.id == 99)) is None
        found = db.first(UserCard, by_id)
        assert found is not None and found.id == first
        assert db.get_one(UserCard, second).id == second
        assert db.all(select(User.name).order_by(User.id)) == ["ann", "bob"]
        assert [tuple(row) for row in db.all(select(User.id, User.name).order_by(User.id))] == [
            (first, "ann"),
            (second, "bob"),
        ]
        assert db.one(select(User.name).where(User.id == second)) == "bob"
        assert db.count(select(User)) == 2
        assert db.count(by_id.limit(1)) == 1
        assert db.exists(select(User).where(User.name == "bob"))
        assert not db.exists(select(User).where(User.name == "eve"))
    assert len(statements) == 12


def test_shapes_compare_print_encode_and_cannot_change(db: Database) -> None:
    db.run(register, "ann", "a@x")
    one, same = (db.one(AddressLine, select(Address)) for _ in range(2))
    assert one == same
    assert repr(one) == "AddressLine(email_address='a@x', owner='ann')"
    assert msgspec.json.encode(one) == b'{"email_address":"a@x","owner":"ann"}'
    with pytest.raises(AttributeError):
        one.owner = "eve"  # type: ignore[misc]


def test_the_second_call_with_other_values_compiles_nothing(db: Database) -> None:
    before = len(db._autocommit.plans)
    for name in ("ann", "bob", "eve"):
        db.all(UserCard, select(User).where(User.name == name, User.id.in_(range(len(name)))))
    assert len(db._autocommit.plans) == before + 1


def test_plan_shows_what_a_read_would_send_and_sends_nothing(db: Database) -> None:
    statement = select(User).where(User.name == "ann").limit(3)
    with db.recorded() as statements:
        plan = db.plan(UserCard, statement)
    assert statements == []
    assert (plan.strategy, plan.statements) == ("correlated", 1)
    assert plan.sql in str(plan)
    with db.recorded() as statements:
        db.all(UserCard, statement)
    assert [statement.sql for statement in statements] == [plan.sql]


def test_a_shape_without_collections_is_flat(db: Database) -> None:
    assert db.plan(AddressLine, select(Address)).strategy == "flat"


def test_get_one_of_a_missing_row_says_what_to_call(db: Database) -> None:
    with pytest.raises(NotFound, match=r"no UserCard matches[\s\S]*call get where absence is allowed"):
        db.get_one(UserCard, 5)
