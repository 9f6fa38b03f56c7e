"""A database error that was caught cannot be committed over; a savepoint is the way to catch one and go on."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError, StatementError

from hermetic import AsyncUnitOfWork, Database, MissingTable, SwallowedFailure, UnitOfWork, WrongStatement
from shop import Address, User, UserCard, opened

TWICE = insert(User.__table__).values(id=1, name="twice")  # type: ignore[arg-type]  # a table


def _execute(uow: UnitOfWork) -> None:
    uow.session.execute(TWICE)


def _flush(uow: UnitOfWork) -> None:
    uow.add(User(id=1, name="twice"))
    uow.flush()


def _verb(uow: UnitOfWork) -> None:
    uow.add(User(id=1, name="twice"))
    uow.all(UserCard, select(User))


def _connection(uow: UnitOfWork) -> None:
    uow.session.connection().execute(TWICE)


WAYS = (_execute, _flush, _verb, _connection)


def _caught(uow: UnitOfWork, way: Callable[[UnitOfWork], None]) -> IntegrityError:
    with pytest.raises(IntegrityError) as caught:
        way(uow)
    return caught.value


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:New instance .* with identity key")
def test_what_was_caught_is_the_cause_and_nothing_is_committed(db: Database, way: Callable[[UnitOfWork], None]) -> None:
    caught: list[IntegrityError] = []
    with pytest.raises(SwallowedFailure) as refused, db.begin() as uow:
        uow.add(User(id=1, name="ann"))
        uow.flush()
        caught.append(_caught(uow, way))
    assert refused.value.__cause__ is caught[0]
    assert (refused.value.failure, isinstance(refused.value, PendingRollbackError)) == ("UniqueViolation", True)
    refused.match(
        rf"test_swallowed\.py:\d+ in {way.__name__}\)[\s\S]*begun at tests/db/test_swallowed\.py:\d+ in test_"
    )
    assert db.all(select(User.id)) == []
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool counts


def test_every_verb_after_it_is_refused_and_sends_nothing(db: Database) -> None:
    with pytest.raises(SwallowedFailure), db.begin() as uow:
        uow.add(User(id=1, name="ann"))
        uow.flush()
        kept = uow.session
        _caught(uow, _execute)
        doors: list[Callable[[], Any]] = [
            lambda: kept.execute(select(User)),
            kept.flush,
            lambda: uow.all(select(User)),
            lambda: uow.get(User, 1),
            lambda: uow.add(User(name="bob")),
            uow.flush,
            lambda: uow.session,
            uow.savepoint().__enter__,
        ]
        with db.recorded() as statements:
            for door in doors:
                with pytest.raises(SwallowedFailure):
                    door()
        assert statements == []


def test_the_first_failure_is_the_one_that_is_named(db: Database) -> None:
    with pytest.raises(SwallowedFailure, match="after MissingTable"), db.begin() as uow:
        session = uow.session
        with pytest.raises(MissingTable):
            session.execute(select(Table("no_table", MetaData(), Column("id", Integer))))
        with pytest.raises(DBAPIError):
            session.execute(text("SELECT broken FROM"))


def test_an_error_that_leaves_the_unit_stays_itself(db: Database) -> None:
    with pytest.raises(IntegrityError), db.begin() as uow:
        uow.add(User(id=1, name="ann"))
        uow.flush()
        _execute(uow)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:New instance .* with identity key")
def test_a_savepoint_around_it_lets_the_unit_go_on(db: Database, way: Callable[[UnitOfWork], None]) -> None:
    with db.begin() as uow:
        uow.add(User(id=1, name="ann"))
        uow.flush()
        for _ in range(2):
            with pytest.raises(IntegrityError), uow.savepoint():
                way(uow)
        with pytest.raises(IntegrityError), uow.savepoint(), uow.savepoint():
            way(uow)
        uow.add(User(id=2, name="bob"))
    assert db.all(select(User.id).order_by(User.id)) == [1, 2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.filterwarnings("ignore:New instance .* with identity key")
def test_caught_inside_a_savepoint_the_part_is_undone_and_says_so(
    db: Database, way: Callable[[UnitOfWork], None]
) -> None:
    with db.begin() as uow:
        uow.add(User(id=1, name="ann"))
        uow.flush()
        with pytest.raises(SwallowedFailure), uow.savepoint():
            uow.add(User(id=3, name="lost"))
            uow.flush()
            _caught(uow, way)
        uow.add(User(id=2, name="bob"))
    assert db.all(select(User.id).order_by(User.id)) == [1, 2]


def test_a_savepoint_inside_undoes_no_failure_outside(db: Database) -> None:
    with pytest.raises(SwallowedFailure), db.begin() as uow:
        uow.add(User(id=1, name="ann"))
        uow.flush()
        with uow.savepoint():
            session = uow.session
            with pytest.raises(IntegrityError), uow.savepoint():
                _execute(uow)
            _caught(uow, _execute)
            with pytest.raises((SwallowedFailure, DBAPIError)), session.begin_nested():
                session.execute(TWICE)
    assert db.all(select(User.id)) == []


def test_asking_whether_a_table_exists_is_no_failure(db: Database) -> None:
    with db.begin() as uow:
        assert not inspect(uow.session.connection()).has_table("no_such_table")
        uow.add(User(id=1, name="ann"))
    assert db.all(select(User.id)) == [1]


def test_a_flush_that_failed_before_the_driver_cannot_be_committed_either(db: Database) -> None:
    with pytest.raises(SwallowedFailure), db.begin() as uow:
        uow.add(User(id=1, name="ann"))
        uow.flush()
        uow.add(User(id=uuid.uuid4(), name="bob"))
        with pytest.raises(StatementError):
            uow.flush()
    assert db.all(select(User.id)) == []


def test_a_statement_that_was_never_sent_is_no_failure(db: Database) -> None:
    with db.begin() as uow:
        with pytest.raises(WrongStatement):
            uow.all(UserCard, select(Address))  # type: ignore[arg-type]
        uow.add(User(id=1, name="ann"))
    assert db.all(select(User.id)) == [1]


def test_async_units_keep_the_same_rule(async_url: str) -> None:
    async def swallow(uow: AsyncUnitOfWork) -> None:
        uow.add(User(id=1, name="ann"))
        await uow.flush()
        with pytest.raises(IntegrityError):
            await uow.session.execute(TWICE)

    async def go_on(uow: AsyncUnitOfWork) -> None:
        uow.add(User(id=1, name="ann"))
        await uow.flush()
        with pytest.raises(IntegrityError):
            async with uow.savepoint():
                await uow.session.execute(TWICE)
        with pytest.raises(SwallowedFailure, match=r"async with uow\.attempt"):
            async with uow.savepoint():
                uow.add(User(id=1, name="twice"))
                with pytest.raises(IntegrityError):
                    await uow.flush()

    async def main() -> None:
        async with await opened(async_url) as db:
            with pytest.raises(
                SwallowedFailure, match=r"UniqueViolation \(tests/db/test_swallowed\.py:\d+ in swallow\)"
            ):
                await db.run(swallow)
            assert await db.all(select(User.id)) == []
            await db.run(go_on)
            assert await db.all(select(User.id)) == [1]
            assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool counts

    asyncio.run(main())


def test_a_statement_cancelled_in_the_middle_cannot_be_committed(new_database: Callable[..., str]) -> None:
    async def wait(uow: AsyncUnitOfWork) -> None:
        uow.add(User(id=1, name="ann"))
        await uow.flush()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await uow.session.execute(text("SELECT pg_sleep(60)"))

    async def main(driver: str) -> None:
        async with await opened(new_database(driver=driver)) as db:
            with pytest.raises(SwallowedFailure, match="after CancelledError"):
                await db.run(wait)
            assert await db.all(select(User.id)) == []

    asyncio.run(main("psycopg"))
    asyncio.run(main("asyncpg"))


def test_a_commit_that_the_server_would_turn_into_a_rollback_is_an_error(new_database: Callable[..., str]) -> None:
    with Database(new_database()) as db:
        db.create_all(User)
        with pytest.raises(SwallowedFailure, match="after an error"), db.begin() as uow:
            uow.add(User(id=1, name="ann"))
            uow.flush()
            driver: Any = uow.session.connection().connection.driver_connection
            with pytest.raises(Exception, match="syntax"):
                driver.execute("broken")
        assert db.all(select(User.id)) == []
