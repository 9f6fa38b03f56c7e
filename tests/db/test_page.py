"""Pages: what a token is good for, what is refused, and the same in every shell."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import Select, func, literal_column, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import aliased

from hermetic import (
    AsyncDatabase,
    AsyncRepository,
    AsyncUnitOfWork,
    Database,
    Limits,
    Page,
    Repository,
    Shape,
    WrongLimit,
    WrongStatement,
    WrongToken,
)
from shop import Address, AddressLine, User, UserCard

BY_NAME = select(User).order_by(User.name)


class NameOnly(Shape[User]):
    name: str


def _people(number: int) -> list[User]:
    return [
        User(id=n, name=f"n{n % 3}", addresses=[Address(id=2 * n + i, email_address=f"{i}@x") for i in (0, 1)])
        for n in range(1, number + 1)
    ]


@pytest.fixture
def filled(db: Database) -> Database:
    with db.begin() as uow:
        uow.add_all(_people(7))
    return db


def _names(page: Page[UserCard]) -> list[tuple[str, int]]:
    return [(card.name, card.id) for card in page]


def test_a_page_holds_whole_graphs_and_the_tokens_around_it(filled: Database) -> None:
    with filled.recorded() as sent:
        first = filled.page(UserCard, BY_NAME, limit=3)
    assert len(sent) == 1
    assert isinstance(first, Page)
    assert _names(first) == [("n0", 3), ("n0", 6), ("n1", 1)]
    assert [len(card.addresses) for card in first] == [2, 2, 2]
    assert (first.has_previous, first.has_next, len(first), first.total) == (False, True, 3, None)
    second = filled.page(UserCard, BY_NAME, after=first.next, limit=10)
    assert _names(second) == [("n1", 4), ("n1", 7), ("n2", 2), ("n2", 5)]
    assert (second.has_previous, second.has_next) == (True, False)
    assert _names(filled.page(UserCard, BY_NAME, after=second.previous, limit=10)) == _names(first)


def test_the_page_of_an_empty_list_is_empty(db: Database) -> None:
    page = db.page(UserCard, BY_NAME)
    assert (page.items, page.next, page.previous) == ([], None, None)


def test_a_last_page_that_is_full_has_no_next(filled: Database) -> None:
    assert filled.page(UserCard, BY_NAME, limit=7).next is None
    assert filled.page(UserCard, BY_NAME, limit=6).next is not None


def test_a_page_whose_rows_were_deleted_leads_back_to_what_is_left(filled: Database) -> None:
    first = filled.page(UserCard, BY_NAME, limit=3)
    with filled.begin() as uow:
        for user in uow.all(select(User).where(User.name != "n0", User.id != 1)):
            uow.delete(user)
    empty = filled.page(UserCard, BY_NAME, after=first.next)
    assert (empty.items, empty.next) == ([], None)
    assert _names(filled.page(UserCard, BY_NAME, after=empty.previous)) == _names(first)


@pytest.mark.parametrize("strategy", ["correlated", "set_based", "per_level"])
def test_every_strategy_pages_alike(filled: Database, strategy: str) -> None:
    statement = select(User).order_by(User.fullname, User.name.desc()).execution_options(hermetic_strategy=strategy)
    expected = filled.all(UserCard, select(User).order_by(User.name.desc(), User.id.desc()))
    first = filled.page(UserCard, statement, limit=3)
    second = filled.page(UserCard, statement, after=first.next, limit=3)
    third = filled.page(UserCard, statement, after=second.next, limit=3)
    assert [*first, *second, *third] == expected
    assert filled.page(UserCard, statement, after=third.previous, limit=3).items == second.items


def test_forms_of_a_page_are_planned_once(filled: Database) -> None:
    def read() -> None:
        first = filled.page(UserCard, select(User).where(User.id > 0).order_by(User.name), limit=2)
        filled.page(UserCard, select(User).where(User.id > 0).order_by(User.name), after=first.next, limit=2)

    read()
    before = len(filled._autocommit.plans)
    read()
    assert len(filled._autocommit.plans) == before


# tokens


def test_a_changed_token_is_refused(filled: Database) -> None:
    token = filled.page(UserCard, BY_NAME, limit=1).next
    assert token is not None
    with filled.recorded() as sent, pytest.raises(WrongToken, match="changed on its way"):
        filled.page(UserCard, BY_NAME, after=f"{token[:-6]}AAAAAA")
    assert sent == []


@pytest.mark.parametrize(
    "other",
    [
        select(User),
        select(User).order_by(User.name.desc()),
        select(User).order_by(User.name, User.fullname),
        select(User).where(User.id > 1).order_by(User.name),
        select(User).join(User.addresses).order_by(User.name),
        select(aliased(User)).order_by(User.id),
    ],
)
def test_a_token_of_another_statement_is_refused(filled: Database, other: Select[User]) -> None:
    token = filled.page(UserCard, BY_NAME, limit=1).next
    with pytest.raises(WrongToken, match="another statement"):
        filled.page(UserCard, other, after=token)


def test_a_token_of_other_values_is_refused(filled: Database) -> None:
    def of(least: int) -> Select[User]:
        return select(User).where(User.id >= least).order_by(User.name)

    token = filled.page(UserCard, of(1), limit=1).next
    assert len(filled.page(UserCard, of(1), after=token)) == 6
    with pytest.raises(WrongToken, match="another value"):
        filled.page(UserCard, of(2), after=token)


def test_a_token_of_another_shape_is_refused(filled: Database) -> None:
    token = filled.page(UserCard, BY_NAME, limit=1).next
    with pytest.raises(WrongToken, match="another shape"):
        filled.page(NameOnly, BY_NAME, after=token)


def _before_the_deploy() -> type[Shape[User]]:
    class Inner(Shape[Address]):
        id: int

    class Card(Shape[User]):
        addresses: list[Inner]

    return Card


def _behind_the_deploy() -> type[Shape[User]]:
    class Inner(Shape[Address]):
        user_id: int

    class Card(Shape[User]):
        addresses: list[Inner]

    return Card


def test_a_token_is_stale_once_the_fields_of_its_shape_changed(filled: Database) -> None:
    token = filled.page(_before_the_deploy(), BY_NAME, limit=1).next
    assert len(filled.page(_before_the_deploy(), BY_NAME, after=token)) == 6
    with pytest.raises(WrongToken, match="before the fields of this one changed"):
        filled.page(_behind_the_deploy(), BY_NAME, after=token)


def test_a_token_without_a_secret_is_good_for_its_database_only(filled: Database) -> None:
    token = filled.page(UserCard, BY_NAME, limit=1).next
    with (
        Database(filled.engine.url) as other,
        pytest.raises(WrongToken, match=r"this Database has no page_secret[\s\S]*page_secret=\.\.\."),
    ):
        other.page(UserCard, BY_NAME, after=token)


def test_a_token_with_a_secret_is_good_in_another_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    program = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from shop import User, UserCard\nfrom sqlalchemy import select\nfrom hermetic import Database\n"
        f"db = Database({url!r}, page_secret='0123456789abcdef')\n"
        "statement = select(User).where(User.id.in_([1, 2, 3, 4])).order_by(User.name.desc())\n"
        "print(db.page(UserCard, statement, limit=2).next)\n"
    )
    statement = select(User).where(User.id.in_([1, 2, 3, 4])).order_by(User.name.desc())
    with Database(url, page_secret=b"0123456789abcdef") as db:
        db.create_all(User)
        with db.begin() as uow:
            uow.add_all(_people(4))
        token = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        assert _names(db.page(UserCard, statement, after=token.strip())) == [("n1", 1), ("n0", 3)]
        assert _names(db.page(UserCard, statement)) == [("n2", 2), ("n1", 4), ("n1", 1), ("n0", 3)]


# what is refused


@pytest.mark.parametrize("limit", [0, -1, 1001, 10**30, "50", None, 2.0])
def test_a_limit_out_of_range_is_refused(filled: Database, limit: Any) -> None:
    with filled.recorded() as sent, pytest.raises(WrongLimit, match="a page has 1 to 1000 rows"):
        filled.page(UserCard, BY_NAME, limit=limit)
    assert sent == []


def test_the_largest_page_is_set_once_for_a_database(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'x.db'}", limits=Limits(page=2)) as db:
        db.create_all(User)
        db.page(UserCard, BY_NAME, limit=2)
        with pytest.raises(WrongLimit, match="limit=1 to limit=2"):
            db.page(UserCard, BY_NAME, limit=3)
    with pytest.raises(ValueError, match="admits nothing"):
        Limits(page=0)


GROUPED = select(Address.user_id, func.count().label("n")).group_by(Address.user_id).subquery()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (select(User).limit(5), "it has a limit or an offset of its own"),
        (select(User).offset(5), "it has a limit or an offset of its own"),
        (select(User).ext(distinct_on(User.name)), "DISTINCT ON"),
        (select(User).join(GROUPED, GROUPED.c.user_id == User.id), "whose rows have no primary key"),
        (select(User).join(User.addresses).distinct().order_by(Address.id), "it is distinct and ordered by address.id"),
        (select(User).order_by(func.random()), r"ordered by random\(\)"),
        (select(User).order_by(text("name")), "it is ordered by a text"),
        (select(User).order_by(literal_column("2")), "it is ordered by a text"),
        (select(User).group_by(User.id), "it is grouped"),
        (select(User.id), "it selects `id`, a value and not an entity"),
        (select(Address), "UserCard is a shape of User"),
        (text("SELECT 1"), "TextClause is not a select"),
    ],
)
def test_a_statement_without_one_order_is_refused(filled: Database, statement: Any, reason: str) -> None:
    with filled.recorded() as sent, pytest.raises(WrongStatement, match=reason):
        filled.page(UserCard, statement)
    assert sent == []


# joins


def test_a_join_that_repeats_an_entity_gives_each_row_a_place(filled: Database) -> None:
    statement = select(User).join(User.addresses).order_by(User.name)
    expected = [card.id for card in filled.all(UserCard, statement.order_by(User.id, Address.id))]
    assert len(expected) == 14
    found: list[int] = []
    token: str | None = None
    while token is not None or not found:
        page = filled.page(UserCard, statement, after=token, limit=3)
        found += [card.id for card in page]
        token = page.next
    assert found == expected


def test_a_join_to_one_needs_no_key_of_its_own(filled: Database) -> None:
    statement = select(Address).join(Address.user).order_by(User.name)
    with filled.recorded() as sent:
        first = filled.page(AddressLine, statement, limit=4)
        filled.page(AddressLine, statement, after=first.next, limit=4)
    ordered = sent[0].sql.rpartition("ORDER BY")[2]
    assert "user_account.name" in ordered
    assert "address.id" in ordered
    assert "user_account.id" not in ordered


def test_distinct_entities_have_one_place(filled: Database) -> None:
    statement = select(User).join(User.addresses).distinct().order_by(User.name.desc())
    first = filled.page(UserCard, statement, limit=4)
    second = filled.page(UserCard, statement, after=first.next, limit=4)
    assert [card.id for card in (*first, *second)] == [5, 2, 7, 4, 1, 6, 3]


def test_one_direction_without_null_is_one_row_comparison(filled: Database) -> None:
    statement = select(User).order_by(User.name.desc())
    with filled.recorded() as sent:
        first = filled.page(UserCard, statement, limit=1)
        filled.page(UserCard, statement, after=first.next, limit=1)
    if filled.engine.dialect.name in ("postgresql", "sqlite"):  # MariaDB would read no index range for it
        assert "(user_account.name, user_account.id) < (" in sent[1].sql
    else:
        assert "user_account.name <= " in sent[1].sql


# totals


def test_a_total_is_counted_only_if_asked_for(filled: Database) -> None:
    statement = select(User).where(User.id > 2).order_by(User.name)
    with filled.recorded() as sent:
        page = filled.page(UserCard, statement, limit=2, total="exact")
    assert (page.total, len(sent)) == (5, 2)
    assert filled.page(UserCard, statement, after=page.next, limit=2, total="exact").total == 5


def test_an_estimated_total_comes_from_the_statistics(filled: Database) -> None:
    with filled.engine.begin() as connection:
        if filled.engine.dialect.name == "postgresql":
            connection.execute(text("ANALYZE user_account"))
    many = select(User).where(User.id.in_(range(2000))).order_by(User.name)
    with filled.recorded() as sent:
        page = filled.page(UserCard, BY_NAME, limit=2, total="estimated")
        assert filled.page(UserCard, many, total="estimated").total is not None
    assert page.total == 7
    assert sum(each.sql.startswith("EXPLAIN") for each in sent) == (
        2 if "postgres" in filled.engine.dialect.name else 0
    )


# every reader


class Users(Repository[User]):
    def by_name(self, after: str | None) -> Page[UserCard]:
        return self.page(UserCard, BY_NAME, after=after, limit=4)


class AsyncUsers(AsyncRepository[User]):
    async def by_name(self, after: str | None) -> Page[UserCard]:
        return await self.page(UserCard, BY_NAME, after=after, limit=4)


def test_tokens_pass_between_databases_units_and_repositories(filled: Database) -> None:
    first = filled.page(UserCard, BY_NAME, limit=4)
    with filled.begin() as uow:
        second = Users(uow).by_name(first.next)
        assert _names(uow.page(UserCard, BY_NAME, after=second.previous, limit=4, total="estimated")) == _names(first)
        uow.add(User(id=90, name="zoe"))
        assert _names(uow.page(UserCard, BY_NAME, after=first.next))[-1] == ("zoe", 90)
    assert len(second) == 3


def test_pages_are_the_same_in_the_async_shell(async_url: str) -> None:
    async def read(uow: AsyncUnitOfWork, after: str | None) -> Page[UserCard]:
        return await AsyncUsers(uow).by_name(after)

    async def main() -> None:
        async with AsyncDatabase(async_url, page_secret="0123456789abcdef") as db:
            await db.create_all(User)
            async with db.begin() as uow:
                uow.add_all(_people(7))
            first = await db.page(UserCard, BY_NAME, limit=4, total="estimated")
            second = await db.run(read, first.next)
            assert [card.id for card in (*first, *second)] == [3, 6, 1, 4, 7, 2, 5]
            with pytest.raises(WrongToken):
                await db.page(NameOnly, BY_NAME, after=first.next)

    asyncio.run(main())


def test_a_page_is_json_and_frozen(filled: Database) -> None:
    page = filled.page(NameOnly, BY_NAME, limit=1)
    assert msgspec.json.encode(page) == (
        b'{"items":[{"name":"n0"}],"next":"%s","previous":null,"total":null}' % str(page.next).encode()
    )
    with pytest.raises(AttributeError):
        page.items = []  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(page), type=Page[NameOnly]) == page


def test_nothing_of_a_row_is_in_an_error_of_a_token(filled: Database) -> None:
    token = filled.page(UserCard, BY_NAME, limit=1).next
    with pytest.raises(WrongToken) as refused:
        filled.page(UserCard, select(User), after=token)
    assert "n0" not in str(refused.value)
    assert str(token) not in str(refused.value)
