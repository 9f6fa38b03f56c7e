"""Never executed. Lines marked E must be errors in every checker, all others in none."""

from typing import assert_type

from models import (
    Address,
    AddressData,
    AddressDict,
    AliceCard,
    AnyUser,
    BobCard,
    User,
    UserCard,
    UserData,
    UserDTO,
    UserForm,
    UserModel,
)
from sqlalchemy import Row, Select, select

from hermetic import (
    AsyncDatabase,
    AsyncRepository,
    AsyncUnitOfWork,
    ConstraintViolation,
    Page,
    Pool,
    Statement,
    UniqueViolation,
    path,
    prepared,
)


@prepared(UserCard)
def users_named(name: str, limit: int = 20) -> Select[User]:
    return select(User).where(User.name == name).limit(limit)


@prepared(UserCard)  # E: wrong model
def addresses_of(name: str) -> Select[Address]:
    return select(Address)


class Users(AsyncRepository[User]):
    async def named(self, name: str) -> list[UserCard]:
        return await self.all(UserCard, select(User).where(User.name == name))

    async def wrong(self) -> None:
        await self.all(UserCard, select(Address))  # E: wrong model
        await self.commit()  # E: a repository cannot commit


async def register_user(uow: AsyncUnitOfWork, name: str, email: str) -> int:
    user = User(name=name, addresses=[Address(email_address=email)])
    uow.add(user)
    await uow.flush()
    return user.id


async def use(db: AsyncDatabase) -> None:
    assert_type(await db.all(UserCard, select(User).where(User.id > 3)), list[UserCard])
    assert_type(await db.one(UserCard, select(User)), UserCard)
    assert_type(await db.one_or_none(UserCard, select(User)), UserCard | None)
    assert_type(await db.first(UserCard, select(User)), UserCard | None)
    assert_type(await db.get(UserCard, 5), UserCard | None)
    assert_type(await db.get_one(UserCard, 5), UserCard)
    assert_type(await db.all(users_named("alice", limit=3)), list[UserCard])
    assert_type(await db.first(users_named("alice")), UserCard | None)
    users_named(5)  # E: wrong value
    users_named()  # E: missing value
    assert_type(await db.all(select(User.name)), list[str])
    assert_type(await db.all(select(User.id, User.name)), list[Row[int, str]])
    assert_type(await db.one(select(User.id, User.name)), Row[int, str])
    assert_type(await db.page(UserCard, select(User).order_by(User.name), after=None, limit=50), Page[UserCard])
    assert_type([card.name for card in await db.page(UserCard, select(User), total="exact")], list[str])
    await db.page(UserCard, select(Address))  # E: wrong model
    await db.page(UserCard, select(User), total="some")  # E: exact or estimated
    assert_type(await db.json(UserCard, select(User), web_safe=True), bytes)
    await db.json(UserCard, select(Address))  # E: wrong model
    async for line in db.stream(UserCard, select(User)):
        assert_type(line, UserCard)
    db.stream(UserCard, select(Address))  # E: wrong model
    assert_type(await db.count(select(User)), int)
    assert_type(await db.exists(select(User.id, User.name)), bool)
    assert_type(await db.run(register_user, "alice", "a@example.com"), int)
    assert_type(await db.all(UserData, select(User)), list[UserDTO])
    assert_type(await db.all(AnyUser, select(User)), list[AliceCard | BobCard])
    assert_type(await db.get(UserForm, 5), UserModel | None)
    assert_type(await db.one(AddressData, select(Address)), AddressDict)
    await db.all(UserCard, select(Address))  # E: wrong model
    await db.all(UserData, select(Address))  # E: wrong model
    await db.all(UserDTO, select(User))  # E: names no model
    await db.run(register_user, "alice", 5)  # E: wrong argument
    await db.run(register_user, "alice")  # E: missing argument
    card = await db.get_one(UserCard, 5)
    card.posts  # E: not in the shape
    card.id = 5  # E: frozen
    card.fullname.upper()  # E: may be None
    async with db.begin() as uow:
        assert_type(uow, AsyncUnitOfWork)
        assert_type(await uow.all(select(User)), list[User])
        assert_type(await uow.get(User, 5), User | None)
        assert_type(await uow.get_one(User, 5), User)
        assert_type(await Users(uow).named("alice"), list[UserCard])
        assert_type(await uow.get(User, 5, lock=True), User | None)
        assert_type(await uow.get_one(User, 5, lock="nowait"), User)
        assert_type(await uow.one(select(User), lock=True), User)
        assert_type(await uow.one_or_none(select(User), lock=True), User | None)
        assert_type(await uow.first(select(User), lock="skip_locked"), User | None)
        assert_type(await Users(uow).all(select(User), lock=True), list[User])
        await uow.get_one(User, 5, lock="wait")  # E: no way to lock
        await uow.all(UserCard, select(User), lock=True)  # E: a shape is not locked
        await uow.all(select(User.id, User.name), lock=True)  # E: rows are not locked
        async with uow.attempt() as attempt:
            uow.add(User(name="alice"))
        assert_type(attempt.failure, ConstraintViolation | None)
        async with uow.attempt(UniqueViolation) as named:
            uow.add(User(name="alice"))
        assert_type(named.failure, UniqueViolation | None)
        attempt.failure.columns  # E: may be None
        uow.attempt("unique")  # E: names no class
        users = await uow.all(select(User))
        await uow.load(users, User.addresses, path(User.addresses, Address.user), User.fullname)
        await uow.load(users[0], path(User.addresses))
        await Users(uow).load(users, User.addresses)
        await uow.load(users, "addresses")  # E: a name is no attribute
        await uow.load(users)  # E: nothing to load
        addresses = await uow.all(select(Address))
        await Users(uow).load(addresses, Address.user)  # E: entities of another model
        await uow.commit()  # E: leaving the block commits
    with db.recorded() as statements:
        assert_type(statements, list[Statement])


def make() -> AsyncDatabase:
    return AsyncDatabase("sqlite://", pool=Pool.server(size=10))
