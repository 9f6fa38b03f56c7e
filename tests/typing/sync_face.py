"""Never executed. Lines marked E must be errors in every checker, all others in none."""

from typing import Annotated, assert_type

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
    ConstraintViolation,
    Database,
    Page,
    Pool,
    Repository,
    Shape,
    UniqueViolation,
    UnitOfWork,
    aggregate,
    path,
    prepared,
)


@prepared(UserCard)
def users_named(name: str, limit: int = 20) -> Select[User]:
    return select(User).where(User.name == name).limit(limit)


@prepared(UserCard)  # E: wrong model
def addresses_of(name: str) -> Select[Address]:
    return select(Address)


class Users(Repository[User]):
    def named(self, name: str) -> list[UserCard]:
        return self.all(UserCard, select(User).where(User.name == name))

    def wrong(self) -> None:
        self.all(UserCard, select(Address))  # E: wrong model
        self.commit()  # E: a repository cannot commit


def register_user(uow: UnitOfWork, name: str, email: str) -> int:
    user = User(name=name, addresses=[Address(email_address=email)])
    uow.add(user)
    uow.flush()
    return user.id


def use(db: Database) -> None:
    assert_type(db.all(UserCard, select(User).where(User.id > 3)), list[UserCard])
    assert_type(db.one(UserCard, select(User)), UserCard)
    assert_type(db.one_or_none(UserCard, select(User)), UserCard | None)
    assert_type(db.first(UserCard, select(User)), UserCard | None)
    assert_type(db.get(UserCard, 5), UserCard | None)
    assert_type(db.get_one(UserCard, 5), UserCard)
    assert_type(db.all(users_named("alice", limit=3)), list[UserCard])
    assert_type(db.first(users_named("alice")), UserCard | None)
    users_named(5)  # E: wrong value
    users_named()  # E: missing value
    assert_type(db.all(select(User.name)), list[str])
    assert_type(db.all(select(User.id, User.name)), list[Row[int, str]])
    assert_type(db.one(select(User.id, User.name)), Row[int, str])
    assert_type(db.page(UserCard, select(User).order_by(User.name), after=None, limit=50), Page[UserCard])
    assert_type([card.name for card in db.page(UserCard, select(User), total="exact")], list[str])
    db.page(UserCard, select(Address))  # E: wrong model
    db.page(UserCard, select(User), total="some")  # E: exact or estimated
    assert_type(db.json(UserCard, select(User), web_safe=True), bytes)
    db.json(UserCard, select(Address))  # E: wrong model
    for line in db.stream(UserCard, select(User)):
        assert_type(line, UserCard)
    db.stream(UserCard, select(Address))  # E: wrong model
    assert_type(db.count(select(User)), int)
    assert_type(db.exists(select(User.id, User.name)), bool)
    assert_type(db.run(register_user, "alice", "a@example.com"), int)
    assert_type(db.all(UserData, select(User)), list[UserDTO])
    assert_type(db.all(AnyUser, select(User)), list[AliceCard | BobCard])
    assert_type(db.get(UserForm, 5), UserModel | None)
    assert_type(db.one(AddressData, select(Address)), AddressDict)
    db.all(UserCard, select(Address))  # E: wrong model
    db.all(UserData, select(Address))  # E: wrong model
    db.all(UserDTO, select(User))  # E: names no model
    db.run(register_user, "alice", 5)  # E: wrong argument
    db.run(register_user, "alice")  # E: missing argument
    card = db.get_one(UserCard, 5)
    card.posts  # E: not in the shape
    card.id = 5  # E: frozen
    card.fullname.upper()  # E: may be None
    with db.begin() as uow:
        assert_type(uow, UnitOfWork)
        assert_type(uow.all(select(User)), list[User])
        assert_type(uow.get(User, 5), User | None)
        assert_type(uow.get_one(User, 5), User)
        assert_type(Users(uow).named("alice"), list[UserCard])
        assert_type(uow.get(User, 5, lock=True), User | None)
        assert_type(uow.get_one(User, 5, lock="nowait"), User)
        assert_type(uow.one(select(User), lock=True), User)
        assert_type(uow.one_or_none(select(User), lock=True), User | None)
        assert_type(uow.first(select(User), lock="skip_locked"), User | None)
        assert_type(Users(uow).all(select(User), lock=True), list[User])
        uow.get_one(User, 5, lock="wait")  # E: no way to lock
        uow.all(UserCard, select(User), lock=True)  # E: a shape is not locked
        uow.all(select(User.id, User.name), lock=True)  # E: rows are not locked
        with uow.attempt() as attempt:
            uow.add(User(name="alice"))
        assert_type(attempt.failure, ConstraintViolation | None)
        with uow.attempt(UniqueViolation) as named:
            uow.add(User(name="alice"))
        assert_type(named.failure, UniqueViolation | None)
        attempt.failure.columns  # E: may be None
        uow.attempt("unique")  # E: names no class
        users = uow.all(select(User))
        uow.load(users, User.addresses, path(User.addresses, Address.user), User.fullname)
        uow.load(users[0], path(User.addresses))
        Users(uow).load(users, User.addresses)
        uow.load(users, "addresses")  # E: a name is no attribute
        uow.load(users)  # E: nothing to load
        addresses = uow.all(select(Address))
        Users(uow).load(addresses, Address.user)  # E: entities of another model
        uow.commit()  # E: leaving the block commits


def make() -> Database:
    return Database("sqlite://", pool=Pool.server(size=10))


class UserNumbers(Shape[User]):
    has: Annotated[bool, aggregate.exists(User.addresses, where=Address.id > 3)]
    ids: Annotated[int, aggregate.sum(User.addresses, Address.id * 2)]
    last: Annotated[str | None, aggregate.max(User.addresses, Address.email_address)]
    newest: Annotated[str | None, aggregate.latest(User.addresses, Address.email_address, order_by=Address.id.desc())]


def use_numbers(db: Database) -> None:
    numbers = db.get_one(UserNumbers, 5)
    assert_type(numbers.has, bool)
    assert_type(numbers.ids, int)
    assert_type(numbers.last, str | None)
    aggregate.sum(User.addresses)  # E: what is added up is missing
    aggregate.max(User.addresses, "email_address")  # E: no column
    aggregate.exists(User.addresses, Address.id)  # E: it measures nothing
    aggregate.latest(User.addresses, Address.id)  # E: the order is missing
