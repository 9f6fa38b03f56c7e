"""IN lists of 100,000 values work on every driver, with shapes and without, and mean what short ones mean."""

from __future__ import annotations

import asyncio
import datetime
import enum
import uuid
from decimal import Decimal
from typing import Any

import pytest
from load_models import Code
from sqlalchemy import (
    Column,
    Double,
    Enum,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Uuid,
    delete,
    func,
    insert,
    not_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import aliased

from hermetic import AsyncDatabase, Database
from hermetic.model import AwareDateTime, ExactDecimal
from hermetic.query import with_gathered_lists
from shop import Address, AddressLine, Base, User, UserCard

MANY = range(1, 100_001)


def _fill(db: Database) -> None:
    with db.begin() as uow:
        uow.add_all([User(id=n, name=f"n{n}", addresses=[Address(id=n, email_address=f"{n}@x")]) for n in (1, 2, 3)])
        uow.add(User(id=100_001, name="after the list"))


@pytest.fixture
def filled(db: Database) -> Database:
    _fill(db)
    return db


def test_a_shape_is_read_by_100_000_keys(filled: Database) -> None:
    with filled.recorded() as sent:
        cards = filled.all(UserCard, select(User).where(User.id.in_(MANY)).order_by(User.id))
    assert [card.id for card in cards] == [1, 2, 3]
    assert len(sent) == 1


def test_rows_counts_and_entities_are_read_by_100_000_keys(filled: Database) -> None:
    chosen = select(User).where(User.id.in_(MANY))
    assert filled.all(select(User.id).where(User.id.in_(MANY)).order_by(User.id)) == [1, 2, 3]
    assert filled.count(chosen) == 3
    assert filled.exists(chosen)
    with filled.begin() as uow:
        assert {user.id for user in uow.all(chosen)} == {1, 2, 3}
        assert uow.count(chosen) == 3
        assert {user.id for user in uow.session.scalars(chosen)} == {1, 2, 3}


def test_rows_are_changed_and_deleted_by_100_000_keys(filled: Database) -> None:
    with filled.begin() as uow:
        held = uow.get_one(User, 2)
        uow.session.execute(update(User).where(User.id.in_(MANY)).values(fullname="changed"))
        assert held.fullname == "changed"
        uow.session.execute(delete(Address).where(Address.id.in_(MANY)))
    assert filled.count(select(User).where(User.fullname == "changed")) == 3
    assert filled.count(select(Address)) == 0


def test_a_list_is_gathered_wherever_it_stands(filled: Database) -> None:
    alias = aliased(User)
    inner = select(Address.user_id).where(Address.id.in_(MANY))
    for statement in (
        select(User).where(User.addresses.any(Address.id.in_(MANY))),
        select(User).join(User.addresses).where(Address.id.in_(MANY), User.name.not_in(["x"])),
        select(User).where(User.id.in_(inner)),
        select(User).join(inner.cte("chosen"), User.addresses.any()).distinct(),
        select(alias).where(alias.id.in_(MANY)),
    ):
        assert {card.id for card in filled.all(UserCard, statement)} == {1, 2, 3}


def test_not_in_and_pairs_mean_what_they_say(filled: Database) -> None:
    assert filled.all(select(User.id).where(User.id.not_in(MANY))) == [100_001]
    pairs = [(n, f"n{n}") for n in MANY]
    assert filled.count(select(User).where(tuple_(User.id, User.name).in_(pairs))) == 3
    assert filled.count(select(User).where(tuple_(User.id, User.name).not_in(pairs))) == 1


def test_null_in_a_long_list_keeps_three_valued_logic(filled: Database) -> None:
    with_null: list[int | None] = [None, *MANY]
    assert filled.count(select(User).where(User.id.in_(with_null))) == 3
    assert filled.count(select(User).where(User.id.not_in(with_null))) == 0


def test_lists_of_any_long_length_share_one_plan(filled: Database) -> None:
    before = len(filled._autocommit.plans)
    for length in (1001, 50_000, 100_000):
        filled.all(AddressLine, select(Address).where(Address.id.in_(range(length))))
    assert len(filled._autocommit.plans) == before + 1


def test_short_lists_stay_as_sqlalchemy_writes_them() -> None:
    statement = select(User).where(User.id.in_(range(1000)))
    for dialect in (postgresql.psycopg.dialect(), sqlite.dialect()):
        assert with_gathered_lists(statement, None, dialect) is statement


def test_the_list_takes_one_parameter_that_neither_cuts_nor_rounds() -> None:
    long = ["x" * 40] * 1001
    text = str(with_gathered_lists(select(User).where(User.name.in_(long)), None, postgresql.asyncpg.dialect()))
    assert "IN (SELECT unnest(" in text
    compiled = with_gathered_lists(select(User.id).where(User.name.in_(long)), None, postgresql.asyncpg.dialect())
    assert compiled.compile(dialect=postgresql.asyncpg.dialect()).string.endswith(
        "IN (SELECT unnest($1::VARCHAR[]) AS unnest_1)"
    )


async def _read(url: str) -> None:
    async with AsyncDatabase(url) as db:
        await db.create_all(Base)
        async with db.begin() as uow:
            uow.add_all([User(id=n, name=f"n{n}") for n in (1, 2, 100_001)])
        chosen = select(User).where(User.id.in_(MANY))
        assert {card.id for card in await db.all(UserCard, chosen)} == {1, 2}
        assert await db.count(chosen) == 2
        async with db.begin() as uow:
            assert {user.id for user in await uow.all(chosen)} == {1, 2}


def test_100_000_keys_work_on_every_async_driver(async_url: str) -> None:
    asyncio.run(_read(async_url))


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "null"


UTC = datetime.UTC
TYPES: dict[str, tuple[Any, list[Any]]] = {
    "text": (String(12), ["", "a", "a\x00b", "null", "é𝄞", "'\"\\", "\u2028"]),
    "float": (Double(), [0.1 + 0.2, 0.3, 5e-324, 1.7976931348623157e308, -0.5, float("inf")]),
    "bytes": (LargeBinary(), [b"", b"\x00\xff", b"abc"]),
    "decimal": (ExactDecimal(12, 3), [Decimal("1.100"), Decimal("-7"), Decimal("123456789.999")]),
    "number": (Numeric(10, 2), [Decimal("1.25"), Decimal("-3.50")]),
    "instant": (
        AwareDateTime(),
        [datetime.datetime(2024, 2, 29, 23, 59, 59, 999999, UTC), datetime.datetime(1, 1, 1, tzinfo=UTC)],
    ),
    "enum": (Enum(Mood, name="mood"), [Mood.GOOD, Mood.BAD]),
    "uuid": (Uuid(), [uuid.UUID(int=0), uuid.UUID(int=2**127 + 5)]),
}


@pytest.mark.parametrize("name", TYPES)
def test_a_long_list_finds_the_rows_that_short_lists_find(db: Database, name: str) -> None:
    kind, values = TYPES[name]
    if name == "float" and db.engine.dialect.name == "mariadb":
        values = values[:-1]  # which holds no infinity
    if name == "text" and db.engine.dialect.name == "postgresql":
        values = [value for value in values if "\x00" not in value]  # which PostgreSQL cannot hold
    table = Table(f"of_{name}", MetaData(), Column("v", kind))
    db.create_all(table.metadata)
    with db.engine.begin() as connection:
        connection.execute(table.insert(), [{"v": value} for value in values])
    for wanted in (values[:1], values[1:], values):
        padded = [*wanted, *([wanted[0]] * 1001)]
        short = db.all(select(table.c.v).where(table.c.v.in_(wanted)))
        assert set(db.all(select(table.c.v).where(table.c.v.in_(padded)))) == set(short)
        assert len(short) == len(wanted)
    assert db.all(select(func.count()).where(not_(table.c.v.in_([*values] * 1001)))) == [0]


def test_a_type_that_writes_sql_around_its_values_finds_the_same_rows(db: Database) -> None:
    values = [f"key {number}" for number in range(1500)]
    with db.engine.begin() as connection:
        Code.metadata.create_all(connection)
        connection.execute(insert(Code), [{"code": value, "note": ""} for value in values])
    assert db.count(select(Code).where(Code.code.in_(values))) == 1500
