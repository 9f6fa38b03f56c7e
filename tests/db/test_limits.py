"""Limits: what is too large is refused before it is in memory, and the fix reads it all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, insert, select

from hermetic import AsyncDatabase, Database, Limits, TooLarge, prepared
from shop import Address, AddressLine, User, UserCard

BY_ID = select(Address).order_by(Address.id)
DRIVERS = ("psycopg", "pymysql", "sqlite")


def _open(driver: str, request: pytest.FixtureRequest, tmp_path: Path, limits: Limits) -> Database:
    if driver == "sqlite":
        url = f"sqlite:///{tmp_path / 'small.db'}"
    else:
        make: Callable[..., str] = request.getfixturevalue("new_database")
        url = make(driver=driver)
    db = Database(url, limits=limits)
    db.create_all(User)
    with db.engine.begin() as connection:
        connection.execute(insert(User), [{"id": n, "name": f"n{n}"} for n in range(1, 8)])
        connection.execute(insert(Address), [{"id": n, "email_address": f"{n}@x", "user_id": 1} for n in range(1, 12)])
    return db


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_more_rows_than_allowed_are_refused_and_the_server_stops_there(
    driver: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with _open(driver, request, tmp_path, Limits(rows=10)) as db:
        assert len(db.all(AddressLine, BY_ID.where(Address.id <= 10))) == 10
        for read in (lambda: db.all(AddressLine, BY_ID), lambda: db.json(AddressLine, BY_ID)):
            with db.recorded() as sent, pytest.raises(TooLarge, match="more than 10 rows"):
                read()
            assert "LIMIT 11" in sent[0].sql
        with db.begin() as uow, pytest.raises(TooLarge):
            uow.all(AddressLine, BY_ID)
        assert len(list(db.stream(AddressLine, BY_ID))) == 11
        assert len(db.page(AddressLine, BY_ID, limit=11)) == 11
        assert db.first(AddressLine, BY_ID) is not None


@pytest.mark.parametrize("strategy", ["correlated", "set_based", "per_level"])
def test_every_strategy_is_bounded(driver: str, strategy: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    statement = select(User).order_by(User.id).execution_options(hermetic_strategy=strategy)
    with _open(driver, request, tmp_path, Limits(rows=6)) as db, pytest.raises(TooLarge, match="more than 6 rows"):
        db.all(UserCard, statement)
    with Database(db.engine.url, limits=Limits(rows=7)) as db:
        assert len(db.all(UserCard, statement)) == 7


def test_a_limit_above_the_bound_is_refused_before_anything_is_sent(
    driver: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    @prepared(AddressLine)
    def some(number: int) -> Select[Address]:
        return select(Address).order_by(Address.id).limit(number)

    with _open(driver, request, tmp_path, Limits(rows=10)) as db:
        assert len(db.all(AddressLine, BY_ID.limit(10))) == len(db.all(some(10))) == 10
        with db.recorded() as sent:
            with pytest.raises(TooLarge, match="its limit is 1,000,000"):
                db.all(AddressLine, BY_ID.limit(1_000_000))
            with pytest.raises(TooLarge):
                db.all(some(11))
        assert sent == []
        assert len(list(db.stream(some(1_000_000)))) == 11


def test_collections_larger_than_allowed_are_refused_before_they_are_decoded(
    driver: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with _open(driver, request, tmp_path, Limits(bytes=100)) as db:
        with pytest.raises(TooLarge, match="those of a read have at most 100") as refused:
            db.all(UserCard, select(User))
        assert "many(..., limit=...)" in str(refused.value)
        with pytest.raises(TooLarge, match="bytes"):
            db.page(UserCard, select(User))
        assert len(db.all(UserCard, select(User).where(User.id > 1))) == 6


def test_none_sets_no_bound(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with _open(driver, request, tmp_path, Limits(rows=None, bytes=None)) as db:
        assert "LIMIT" not in db.plan(AddressLine, BY_ID).sql
        assert len(db.all(AddressLine, BY_ID)) == 11


def test_a_read_by_key_needs_no_limit(driver: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with _open(driver, request, tmp_path, Limits(rows=10)) as db:
        with db.recorded() as sent:
            assert db.get(AddressLine, 3) is not None
            assert db.one(AddressLine, select(Address).where(Address.id == 3)) is not None
        assert "LIMIT" not in sent[0].sql


@pytest.mark.parametrize("name", ["rows", "bytes", "children", "page"])
def test_a_limit_that_admits_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"Limits {name}=0 admits nothing"):
        Limits(**{name: 0})


def test_the_async_shell_is_bounded_too(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url, limits=Limits(rows=1)) as db:
            await db.create_all(User)
            async with db.begin() as uow:
                uow.add_all([User(name="a"), User(name="b")])
                await uow.flush()
                with pytest.raises(TooLarge):
                    await uow.all(UserCard, select(User))
            for _ in range(2):  # the first goes through SQLAlchemy, the second straight to the driver
                with pytest.raises(TooLarge):
                    await db.all(UserCard, select(User))

    asyncio.run(main())
