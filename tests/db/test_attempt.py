"""`attempt`: a part that may fail; the failure is told, everything is as before, and the unit goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError, OperationalError

from hermetic import (
    AsyncUnitOfWork,
    CheckViolation,
    ConstraintViolation,
    Database,
    Deadlock,
    ForeignKeyViolation,
    NotFound,
    SwallowedFailure,
    UniqueViolation,
    UnitClosed,
    UnitOfWork,
)
from shop import Address, User, opened

pytestmark = pytest.mark.filterwarnings("ignore:New instance .* with identity key")


def _ann(uow: UnitOfWork) -> User:
    ann = User(name="ann", addresses=[Address(email_address="a@x")])
    uow.add(ann)
    uow.flush()
    assert ann.id == 1
    return ann


def _add(uow: UnitOfWork) -> None:
    uow.add(User(id=1, name="twice"))


def _flush(uow: UnitOfWork) -> None:
    _add(uow)
    uow.flush()


def _execute(uow: UnitOfWork) -> None:
    uow.session.execute(insert(User).values(id=1, name="twice"))


WAYS = (_add, _flush, _execute)


@pytest.mark.parametrize("way", WAYS)
def test_a_violation_is_told_and_the_unit_goes_on(db: Database, way: Callable[[UnitOfWork], None]) -> None:
    with db.begin() as uow:
        _ann(uow)
        for _ in range(2):
            with uow.attempt() as attempt:
                way(uow)
            assert isinstance(attempt.failure, UniqueViolation)
            assert (attempt.failure.table, attempt.failure.columns) == ("user_account", ("id",))
        uow.add(User(id=2, name="bob"))
    assert db.all(select(User.id).order_by(User.id)) == [1, 2]


def test_what_goes_well_is_kept_and_was_sent_when_the_block_ends(db: Database) -> None:
    with db.begin() as uow:
        with db.recorded() as statements, uow.attempt(UniqueViolation) as attempt:
            bob = User(name="bob")
            uow.add(bob)
        assert (attempt.failure, bob.id) == (None, 1)
        assert [each.sql.split()[0] for each in statements] == ["SAVEPOINT", "INSERT", "RELEASE"]
    assert db.all(select(User.name)) == ["bob"]


def test_only_what_is_named_is_told_and_all_else_is_raised_after_the_undo(db: Database) -> None:
    with db.begin() as uow:
        _ann(uow)
        with pytest.raises(UniqueViolation), uow.attempt(ForeignKeyViolation, CheckViolation):
            _add(uow)
        with pytest.raises(ZeroDivisionError), uow.attempt():
            uow.add(User(id=2, name="bob"))
            uow.flush()
            _ = 1 / 0
        with uow.attempt(ForeignKeyViolation) as attempt:
            uow.add(Address(email_address="x", user_id=99))
        assert isinstance(attempt.failure, ForeignKeyViolation)
        with uow.attempt(NotFound) as other:
            uow.get_one(User, 3)
        assert isinstance(other.failure, NotFound)
    assert db.all(select(User.id)) == [1]


def test_what_waits_from_before_is_sent_before_the_savepoint_and_is_no_failure_of_the_block(db: Database) -> None:
    with pytest.raises(UniqueViolation), db.begin() as uow:
        _ann(uow)
        _add(uow)
        with uow.attempt():
            uow.add(User(id=2, name="bob"))
    assert db.all(select(User.id)) == []


def test_what_was_added_inside_is_out_and_can_be_added_again(db: Database) -> None:
    with db.begin() as uow:
        ann = _ann(uow)
        bob = User(name="bob", addresses=[Address(email_address="b@x")])
        double = Address(id=ann.addresses[0].id, email_address="c@x", user=bob)
        with uow.attempt() as attempt:
            uow.add(bob)
        assert attempt.failure is not None
        assert [each in uow.session for each in (bob, *bob.addresses)] == [False] * 3
        assert bob.id is None  # the key was of a row that is not there
        assert [each.user_id for each in bob.addresses] == [None, None]
        double.id = None  # type: ignore[assignment]  # as it is before a flush
        with uow.attempt() as attempt:
            uow.add(bob)
        assert attempt.failure is None
    assert db.all(select(User.name).order_by(User.id)) == ["ann", "bob"]
    assert db.all(select(Address.email_address).order_by(Address.id)) == ["a@x", "b@x", "c@x"]


def test_what_was_changed_inside_has_the_values_of_before(db: Database) -> None:
    with db.begin() as uow:
        ann = _ann(uow)
        ann.name = "anna"  # not sent yet: it is a change of before
        with uow.attempt() as attempt:
            ann.name = "lost"
            ann.addresses.append(Address(email_address="lost"))
            ann.addresses[0].email_address = "lost"
            _add(uow)
        assert attempt.failure is not None
        with db.recorded() as statements:
            assert (ann.name, ann.fullname) == ("anna", None)
            assert [each.email_address for each in ann.addresses] == ["a@x"]
        assert statements == []
    assert (db.all(select(User.name)), db.all(select(Address.email_address))) == (["anna"], ["a@x"])


def test_the_entities_of_a_class_are_read_again_by_one_statement(db: Database) -> None:
    with db.begin() as uow:
        users = [User(name=name) for name in "abc"]
        uow.add_all(users)
        uow.flush()
        with db.recorded() as statements, uow.attempt(ZeroDivisionError):
            for user in users:
                user.name = "lost"
            uow.flush()
            _ = 1 / 0
        assert [each.sql.split()[0] for each in statements] == ["SAVEPOINT", "UPDATE", "ROLLBACK", "SELECT"]
        assert [user.name for user in users] == ["a", "b", "c"]


def test_an_update_of_many_rows_is_undone_in_the_entities_too(db: Database) -> None:
    with db.begin() as uow:
        ann = _ann(uow)
        with uow.attempt() as attempt:
            uow.session.execute(update(User).values(name="lost"))
            assert ann.name == "lost"
            _add(uow)
        assert (attempt.failure is None, ann.name) == (False, "ann")


def test_what_was_deleted_inside_is_stored_again(db: Database) -> None:
    with db.begin() as uow:
        ann = _ann(uow)
        with uow.attempt(ZeroDivisionError):
            uow.delete(ann)
            uow.flush()
            _ = 1 / 0
        assert (ann in uow.session, ann.name) == (True, "ann")
        ann.name = "anna"
    assert db.all(select(User.name)) == ["anna"]


def test_an_attempt_inside_an_attempt_is_undone_alone_or_with_it(db: Database) -> None:
    with db.begin() as uow:
        ann, bob = _ann(uow), User(name="bob")
        with uow.attempt(ZeroDivisionError) as outer:
            with uow.attempt() as inner:
                _add(uow)
            with uow.attempt() as good:
                ann.name = "lost"
                uow.add(bob)
            assert (inner.failure is None, good.failure, bob.id is None) == (False, None, False)
            _ = 1 / 0
        assert outer.failure is not None
        assert (ann.name, bob.id, bob in uow.session) == ("ann", None, False)
    assert db.all(select(User.name)) == ["ann"]


def test_an_error_caught_inside_the_block_is_refused_and_undone(db: Database) -> None:
    with db.begin() as uow:
        _ann(uow)
        with pytest.raises(SwallowedFailure, match=r"with uow\.attempt\(\) as attempt"), uow.attempt():
            uow.add(User(id=2, name="lost"))
            uow.flush()
            with pytest.raises(IntegrityError):
                _flush(uow)
    assert db.all(select(User.id)) == [1]


def test_an_attempt_after_the_end_is_refused(db: Database) -> None:
    with db.begin() as uow:
        pass
    with pytest.raises(UnitClosed), uow.attempt():
        pass


def test_async_units_attempt_in_the_same_way(async_url: str) -> None:
    async def use(uow: AsyncUnitOfWork) -> None:
        ann = User(id=1, name="ann", addresses=[Address(email_address="a@x")])
        uow.add(ann)
        double = User(id=1, name="twice")
        async with uow.attempt(UniqueViolation) as attempt:
            ann.addresses.append(Address(email_address="lost"))
            uow.add(double)
        assert attempt.failure is not None
        assert "async with uow.attempt() as attempt" in str(attempt.failure)
        assert ([each.email_address for each in ann.addresses], double in uow.session) == (["a@x"], False)
        double.id = 2
        async with uow.attempt() as again:
            uow.add(double)
        assert again.failure is None
        with pytest.raises(UniqueViolation):
            async with uow.attempt(ForeignKeyViolation):
                uow.add(User(id=2, name="other"))
        with pytest.raises(asyncio.CancelledError):
            async with uow.attempt():
                await uow.session.execute(delete(Address))
                raise asyncio.CancelledError

    async def main() -> None:
        async with await opened(async_url) as db:
            await db.run(use)
            assert await db.all(select(User.name).order_by(User.id)) == ["ann", "twice"]
            assert await db.all(select(Address.email_address)) == ["a@x"]

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
@pytest.mark.parametrize("part", ["attempt", "savepoint", "attempt, in its flush"])
def test_a_deadlock_is_never_told_as_a_failure_of_a_part(
    new_database: Callable[..., str], driver: str, part: str
) -> None:
    """MariaDB has rolled back the whole transaction by then, the savepoint with it."""
    both = threading.Barrier(2)
    ends: list[BaseException | None] = []

    def cross(first: int, second: int) -> None:
        def change(uow: UnitOfWork) -> None:
            uow.session.execute(update(User).where(User.id == first).values(name="x"))
            both.wait(10)
            if "flush" in part:
                uow.session.get_one(User, second).name = "y"
            else:
                uow.session.execute(update(User).where(User.id == second).values(name="y"))

        try:
            with db.begin() as uow, _part(uow, part):
                change(uow)
        except Exception as error:
            ends.append(error)
        else:
            ends.append(None)

    with Database(new_database(driver=driver)) as db:
        db.create_all(User)
        with db.begin() as uow:
            uow.add_all([User(id=1, name="a"), User(id=2, name="b")])
        threads = [threading.Thread(target=cross, args=pair) for pair in ((1, 2), (2, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(type(end).__name__ for end in ends) == ["Deadlock", "NoneType"]
        assert set(db.all(select(User.name))) == {"x", "y"}


def _part(uow: UnitOfWork, name: str) -> Any:
    return uow.savepoint() if name == "savepoint" else uow.attempt(ConstraintViolation, OperationalError)


def test_after_a_deadlock_that_was_caught_around_a_savepoint_nothing_is_sent(new_database: Callable[..., str]) -> None:
    """MariaDB would run it in autocommit."""
    both = threading.Barrier(2)

    def cross(first: int, second: int) -> None:
        with db.begin() as uow:
            try:
                with uow.savepoint():
                    uow.session.execute(update(User).where(User.id == first).values(name="x"))
                    both.wait(10)
                    uow.session.execute(update(User).where(User.id == second).values(name="y"))
            except Deadlock:
                uow.add(User(id=3, name="stray"))

    with Database(new_database(driver="pymysql")) as db:
        db.create_all(User)
        with db.begin() as uow:
            uow.add_all([User(id=1, name="a"), User(id=2, name="b")])
        refused: list[BaseException] = []

        def caught(first: int, second: int) -> None:
            try:
                cross(first, second)
            except SwallowedFailure as error:
                refused.append(error)

        threads = [threading.Thread(target=caught, args=pair) for pair in ((1, 2), (2, 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [type(each.__cause__) for each in refused] == [Deadlock]
        assert db.all(select(User.id).order_by(User.id)) == [1, 2]
