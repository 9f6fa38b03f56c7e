"""A parent with more rows in a list than the database allows is refused, by every strategy and every verb."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fleet import Arrival, Departure, Depot, Mark
from sqlalchemy import Select, insert, make_url, select
from test_recursive import Gear

from hermetic import AsyncDatabase, Database, Limits, Shape, TooLarge, aggregate, many, prepared, recursive
from shop import Address, AddressLine, User, UserCard

STRATEGIES = ("correlated", "set_based", "per_level")
FEW = Limits(children=10)


class UserLine(Shape[User]):
    addresses: list[AddressLine]


class Inside(Shape[Address]):
    user: UserLine


class Deep(Shape[User]):
    some: Annotated[list[Inside], many(User.addresses, limit=1)]


class Cut(Shape[User]):
    few: Annotated[list[AddressLine], many(User.addresses, limit=10)]
    newest: Annotated[AddressLine | None, aggregate.latest(User.addresses, order_by=Address.id)]


class MarkLine(Shape[Mark]):
    text: str


class ArrivalMarks(Shape[Arrival], tag="in"):
    marks: list[MarkLine]


class DepartureLine(Shape[Departure], tag="out"):
    at: int


class DepotEvents(Shape[Depot]):
    events: list[ArrivalMarks | DepartureLine]


class GearTree(Shape[Gear]):
    id: int
    parts: Annotated[list[GearTree], recursive(Gear.parts)]


@pytest.fixture
def small(db: Database) -> Iterator[Database]:
    """Where a list has at most 10 rows; user 1 has 11 addresses, user 2 has 10."""
    with db.engine.begin() as connection:
        connection.execute(insert(User), [{"id": n, "name": f"n{n}"} for n in (1, 2, 3)])
        rows = [{"email_address": f"{n}@x", "user_id": 1 + n // 11} for n in range(21)]
        connection.execute(insert(Address), rows)
    with Database(db.engine.url, limits=FEW) as made:
        yield made


@prepared(UserCard)
def from_user(first: int) -> Select[User]:
    return select(User).where(User.id >= first).order_by(User.id)


def by(strategy: str) -> Select[User]:
    return select(User).order_by(User.id).execution_options(hermetic_strategy=strategy)


def refused(read: Any) -> TooLarge:
    with pytest.raises(TooLarge) as error:
        read()
    return error.value


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_and_verb_refuses_one_row_too_many(small: Database, strategy: str) -> None:
    whole, fitting = by(strategy), by(strategy).where(User.id > 1)
    is_streamed = small.engine.dialect.name != "mariadb"  # where only flat shapes stream
    for read in (
        lambda statement: small.all(UserCard, statement),
        lambda statement: small.json(UserCard, statement),
        lambda statement: small.first(UserCard, statement),
        lambda statement: small.one(UserCard, statement.limit(1)),
        lambda statement: small.page(UserCard, statement, limit=2),
        *([lambda statement: list(small.stream(UserCard, statement))] if is_streamed else []),
    ):
        error = refused(lambda read=read: read(whole))
        assert (error.shape, error.field, error.limit) == ("UserCard", "UserCard.addresses", "children")
        read(fitting)
    assert [len(card.addresses) for card in small.all(UserCard, fitting)] == [10, 0]
    assert "UserCard.addresses holds more than 10 rows of one parent" in str(error)
    assert "many(..., limit=10)" in str(error)
    assert "Limits(children=...)" in str(error)


def test_prepared_reads_and_reads_by_key_are_bounded_too(small: Database) -> None:
    assert len(small.all(from_user(2))) == 2
    assert refused(lambda: small.all(from_user(1))).field == "UserCard.addresses"
    assert small.get(UserCard, 2) is not None
    assert refused(lambda: small.get(UserCard, 1)).field == "UserCard.addresses"
    with small.begin() as uow:
        assert refused(lambda: uow.get(UserCard, 1)).field == "UserCard.addresses"
        assert len(uow.all(from_user(2))) == 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_error_names_a_list_deep_inside(small: Database, strategy: str) -> None:
    assert refused(lambda: small.all(Deep, by(strategy))).field == "Deep.some[].user.addresses"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_list_with_a_limit_of_its_own_is_not_looked_at(small: Database, strategy: str) -> None:
    found = small.all(Cut, by(strategy))
    assert [(len(each.few), each.newest is None) for each in found] == [(10, False), (10, False), (0, True)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_lists_without_a_bound_are_not_looked_at(small: Database, strategy: str) -> None:
    with Database(small.engine.url, limits=Limits(children=None)) as db:
        assert [len(card.addresses) for card in db.all(UserCard, by(strategy))] == [11, 10, 0]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_many_rows_of_many_parents_are_no_list_too_long(small: Database, strategy: str) -> None:
    with Database(small.engine.url, limits=Limits(children=11)) as db:
        assert [len(card.addresses) for card in db.all(UserCard, by(strategy))] == [11, 10, 0]


def test_the_rows_below_one_row_of_a_tree_are_counted_and_not_the_whole_tree(small: Database) -> None:
    with small.begin() as uow:
        uow.add_all(Gear(id=n, name="", rank=0, parent_id=(n - 2) // 10 + 1 if n > 1 else None) for n in range(1, 32))
    tree = select(Gear).where(Gear.id == 1)
    assert len(small.one(GearTree, tree).parts) == 10
    with small.begin() as uow:
        uow.add(Gear(id=32, name="", rank=0, parent_id=2))
    assert refused(lambda: small.one(GearTree, tree)).field == "GearTree.parts"


def test_a_list_inside_a_union_is_counted(small: Database) -> None:
    with small.begin() as uow:
        arrivals = [Arrival(id=n, at=n, marks=[Mark(text="x") for _ in range(n)]) for n in (10, 11)]
        uow.add(Depot(id=1, name="a", events=[*arrivals, Departure(id=12, at=12)]))
    for strategy in STRATEGIES:
        statement = select(Depot).execution_options(hermetic_strategy=strategy)
        assert (
            refused(lambda read=statement: small.all(DepotEvents, read)).field
            == "DepotEvents.events[]<ArrivalMarks>.marks"
        )


def test_the_async_shell_refuses_the_same(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url, limits=FEW) as db:
            await db.create_all(User)
            async with db.begin() as uow:
                uow.add(User(id=1, name="a", addresses=[Address(email_address=f"{n}@x") for n in range(11)]))
            for strategy in (*STRATEGIES, *STRATEGIES):  # the second time straight to the driver
                for read in (db.all(UserCard, by(strategy)), db.page(UserCard, by(strategy)), db.get(UserCard, 1)):
                    with pytest.raises(TooLarge, match=r"UserCard\.addresses holds more than 10 rows"):
                        await read
            if make_url(async_url).get_backend_name() != "mariadb":
                with pytest.raises(TooLarge):
                    _ = [card async for card in db.stream(UserCard, by("correlated"))]

    asyncio.run(main())
