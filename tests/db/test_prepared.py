"""Prepared reads: declared once, compiled once, called with values."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy import Select, bindparam, select

from hermetic import AsyncRepository, Database, NotFound, Repository, TooManyFound, WrongStatement, prepared
from shop import Address, User, UserCard, opened


@prepared(UserCard)
def users_named(name: str, limit: int = 10) -> Select[User]:
    """Return the users of a name."""
    return select(User).where(User.name == name).order_by(User.id).limit(limit)


@prepared(UserCard)
def users_of(keys: Sequence[int]) -> Select[User]:
    return select(User).where(User.id.in_(keys)).order_by(User.id)


@prepared(UserCard)
def users_called(fullname: str | None) -> Select[User]:
    return select(User).where(User.fullname.is_not_distinct_from(fullname)).order_by(User.id)


@prepared(UserCard)
def one_user(key: int, /, *, name: str) -> Select[User]:
    return select(User).where(User.id == key, User.name == name)


class Users(Repository[User]):
    def named(self, name: str) -> list[UserCard]:
        return self.all(users_named(name))


class AsyncUsers(AsyncRepository[User]):
    async def named(self, name: str) -> list[UserCard]:
        return await self.all(users_named(name))


def people() -> list[User]:
    return [
        User(id=1, name="ann", fullname="Ann", addresses=[Address(email_address="a@x"), Address(email_address="b@x")]),
        User(id=2, name="ann", fullname=None),
        User(id=3, name="bob", fullname=None),
    ]


@pytest.fixture
def stocked(db: Database) -> Database:
    with db.begin() as uow:
        uow.add_all(people())
    return db


def ids(found: list[UserCard]) -> list[int]:
    return [each.id for each in found]


def test_each_call_binds_its_own_values_in_one_statement(stocked: Database) -> None:
    expected = stocked.all(UserCard, select(User).where(User.name == "ann").order_by(User.id))
    for _ in range(3):
        with stocked.recorded() as sent:
            assert stocked.all(users_named("ann")) == expected
            assert ids(stocked.all(users_named(name="bob", limit=5))) == [3]
            assert ids(stocked.all(users_named("ann", 1))) == [1]
            assert stocked.all(users_named("nobody")) == []
        assert len(sent) == 4


def test_a_call_compiles_nothing_and_makes_no_plan(stocked: Database) -> None:
    plan = stocked.plan(users_named("ann"))
    known = len(stocked._autocommit.plans)
    assert stocked.plan(users_named("bob")) is plan
    stocked.all(users_named("carl"))
    assert len(stocked._autocommit.plans) == known


def test_the_limit_of_a_call_chooses_the_strategy(stocked: Database) -> None:
    strategies = [stocked.plan(users_named("ann", limit)).strategy for limit in (1, 5, 500)]
    many = "set_based" if stocked.engine.dialect.name == "postgresql" else "correlated"
    assert strategies == ["correlated", "correlated", many]


def test_every_cardinality_reads_a_prepared_read(stocked: Database) -> None:
    assert stocked.one(users_named("bob")).id == 3
    assert stocked.one_or_none(users_named("nobody")) is None
    first = stocked.first(users_named("ann"))
    assert first is not None and first.id == 1
    with pytest.raises(NotFound, match="no UserCard matches"):
        stocked.one(users_named("nobody"))
    with pytest.raises(TooManyFound):
        stocked.one(users_named("ann"))
    with stocked.recorded() as sent:
        stocked.first(users_of([1, 2, 3]))
    assert "LIMIT" in sent[0].sql


@pytest.mark.parametrize("number", [0, 1, 3, 100_000])
def test_lists_of_any_length_are_values(stocked: Database, number: int) -> None:
    with stocked.recorded() as sent:
        assert ids(stocked.all(users_of(range(1, number + 1)))) == [1, 2, 3][:number]
    assert len(sent) == 1


def test_none_is_a_value_only_where_the_type_says_so(stocked: Database) -> None:
    assert ids(stocked.all(users_called(None))) == [2, 3]
    assert ids(stocked.all(users_called("Ann"))) == [1]
    with pytest.raises(WrongStatement, match="name is None, and in SQL nothing equals NULL"):
        users_named(None)  # type: ignore[arg-type]


def test_parameters_by_place_and_by_name_only_are_bound(stocked: Database) -> None:
    assert stocked.one(one_user(3, name="bob")).id == 3
    assert stocked.all(one_user(3, name="ann")) == []


def test_wrong_calls_are_refused_as_for_the_function_itself() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'name'"):
        users_named()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="too many positional arguments"):
        users_named("ann", 1, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing a required argument: 'name'"):
        users_named(nmae="ann")  # type: ignore[call-arg]


def test_a_function_that_looks_at_its_values_is_refused_with_the_way_out(stocked: Database) -> None:
    @prepared(UserCard)
    def branching(name: str) -> Select[User]:
        return select(User).where(User.name == name) if name else select(User)

    @prepared(UserCard)
    def wrong(name: str) -> Select[User]:
        return "select"  # type: ignore[return-value]

    @prepared(UserCard)
    def other_model(name: str) -> Select[User]:
        return select(Address)  # type: ignore[return-value]

    with pytest.raises(WrongStatement, match="write two prepared reads or use select"):
        stocked.all(branching("ann"))
    with pytest.raises(WrongStatement, match="it returns str"):
        stocked.all(wrong("ann"))
    with pytest.raises(WrongStatement, match="it selects Address, and UserCard is a shape of User"):
        stocked.all(other_model("ann"))


def test_a_unit_of_work_reads_what_it_has_changed(stocked: Database) -> None:
    with stocked.begin() as uow:
        uow.add(User(id=4, name="ann"))
        assert ids(Users(uow).named("ann")) == [1, 2, 4]
        assert ids(uow.all(users_named("ann", limit=1))) == [1]


def test_get_binds_keys_of_every_call_and_refuses_another_number_of_columns(stocked: Database) -> None:
    assert [stocked.get_one(UserCard, key).id for key in (1, 3)] == [1, 3]
    assert stocked.get(UserCard, 99) is None
    with pytest.raises(WrongStatement, match=r"2 key values were given, and the key of User is \(id\)"):
        stocked.get(UserCard, (1, 2))


def test_own_parameters_of_the_statement_stay_its_own(stocked: Database) -> None:
    @prepared(UserCard)
    def fixed(name: str) -> Select[User]:
        return select(User).where(User.name == name, User.id > bindparam("above", 1))

    assert ids(stocked.all(fixed("ann"))) == [2]


def test_async_reads_are_the_same(async_url: str) -> None:
    async def read() -> None:
        async with await opened(async_url) as db:
            async with db.begin() as uow:
                uow.add_all(people())
            for _ in range(3):
                with db.recorded() as sent:
                    assert ids(await db.all(users_named("ann"))) == [1, 2]
                    assert (await db.one(users_named("bob"))).id == 3
                    assert ids(await db.all(users_of([1, 3]))) == [1, 3]
                    found = await asyncio.gather(*(db.all(users_named(name)) for name in ("ann", "bob", "carl") * 5))
                assert [ids(each) for each in found] == [[1, 2], [3], []] * 5
                assert len(sent) == 18
            async with db.begin() as uow:
                assert ids(await AsyncUsers(uow).named("ann")) == [1, 2]

    asyncio.run(read())
