"""The unit of work: one owner, one transaction, nothing expires, nothing is sent behind one's back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session
from sqlalchemy.orm.exc import DetachedInstanceError

from hermetic import Database, NotTheOwner, Repository, SwallowedFailure, UnitClosed, UnitOfWork
from shop import Address, User, UserCard, opened


def _names(db: Database) -> list[str]:
    return db.all(select(User.name).order_by(User.id))


def test_a_unit_commits_when_its_block_ends(db: Database) -> None:
    with db.begin() as uow:
        uow.add(User(name="ann"))
    assert _names(db) == ["ann"]


def test_a_unit_rolls_back_when_its_block_raises(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), db.begin() as uow:
        uow.add(User(name="ann"))
        uow.flush()
        _ = 1 / 0
    assert _names(db) == []


def test_nothing_expires_and_entities_stay_readable(db: Database) -> None:
    with db.begin() as uow:
        user = User(name="ann")
        uow.add(user)
    with db.recorded() as statements:
        assert (user.name, user.id is not None) == ("ann", True)
    assert statements == []


@pytest.mark.parametrize("verb", ["commit", "rollback", "close", "reset", "invalidate"])
def test_the_session_cannot_end_the_transaction(db: Database, verb: str) -> None:
    with db.begin() as uow:
        uow.add(User(name="ann"))
        with pytest.raises(NotTheOwner, match=rf"{verb} was called[\s\S]*test_unit.py:\d+ in test_the_session_cannot"):
            getattr(uow.session, verb)()
    assert _names(db) == ["ann"]


def test_the_transaction_object_cannot_commit_either(db: Database) -> None:
    with pytest.raises(NotTheOwner), db.begin() as uow:
        uow.add(User(name="ann"))
        transaction = uow.session.get_transaction()
        assert transaction is not None
        transaction.commit()
    assert _names(db) == []


@pytest.mark.parametrize("verb", ["rollback", "close"])
def test_ending_by_the_transaction_object_is_told_and_nothing_is_committed(db: Database, verb: str) -> None:
    with pytest.raises(SwallowedFailure) as ended, db.begin() as uow:
        uow.add(User(name="ann"))
        uow.flush()
        transaction = uow.session.get_transaction()
        with pytest.raises(NotTheOwner, match=r"test_unit.py:\d+ in test_ending_by"):
            getattr(transaction, verb)()
    assert isinstance(ended.value.__cause__, NotTheOwner)
    assert _names(db) == []
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool counts


@pytest.mark.parametrize("verb", ["commit", "rollback", "close", "detach", "get_transaction"])
def test_the_connection_cannot_end_the_transaction_either(db: Database, verb: str) -> None:
    with db.begin() as uow:
        uow.add(User(name="ann"))
        uow.flush()
        for _ in range(2):
            connection = uow.session.connection()
            named = rf"connection\(\)\.{verb} was called[\s\S]*test_unit.py:\d+ in test_the_connection_cannot"
            with pytest.raises(NotTheOwner, match=named):
                getattr(connection, verb)()
        assert connection.scalar(select(User.name)) == "ann"
        with pytest.raises(NotTheOwner), uow.session.connection():
            pass
        with db.engine.connect() as other:  # another connection is whoever's it is
            other.rollback()
    assert _names(db) == ["ann"]
    assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool counts


def test_the_async_connection_cannot_end_the_transaction(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db:
            async with db.begin() as uow:
                uow.add(User(name="ann"))
                await uow.flush()
                connection = await uow.session.connection()
                for verb in (connection.commit, connection.rollback, connection.close, uow.session.invalidate):
                    with pytest.raises(NotTheOwner, match=r"test_unit.py:\d+ in main"):
                        await verb()
                with pytest.raises(NotTheOwner):
                    connection.get_transaction()
            assert await db.all(select(User.name)) == ["ann"]
            assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool counts

    asyncio.run(main())


def test_the_async_session_cannot_end_the_transaction(async_url: str) -> None:
    async def main() -> None:
        db = await opened(async_url)
        async with db.begin() as uow:
            uow.add(User(name="ann"))
            for verb in (uow.session.commit, uow.session.rollback, uow.session.close):
                with pytest.raises(NotTheOwner):
                    await verb()
        assert await db.all(select(User.name)) == ["ann"]
        await db.close()

    asyncio.run(main())


def test_a_unit_that_ended_says_so(db: Database) -> None:
    with db.begin() as uow:
        pass
    with pytest.raises(UnitClosed, match="this unit of work has ended"):
        uow.add(User(name="ann"))
    with pytest.raises(UnitClosed, match="has ended, so it cannot begin again"), uow:
        pass


KEPT: dict[str, Callable[[Session, User], Any]] = {
    "execute": lambda session, user: session.execute(select(User.name)),
    "scalars": lambda session, user: session.scalars(select(User)),
    "get": lambda session, user: session.get(User, 1),
    "add": lambda session, user: session.add(User(name="bob")),
    "add_all": lambda session, user: session.add_all([user]),
    "delete": lambda session, user: session.delete(user),
    "merge": lambda session, user: session.merge(user),
    "refresh": lambda session, user: session.refresh(user),
    "flush": lambda session, user: session.flush(),
    "connection": lambda session, user: session.connection(),
    "begin": lambda session, user: session.begin(),
    "begin_nested": lambda session, user: session.begin_nested(),
}


@pytest.mark.parametrize("use", KEPT)
def test_a_session_that_was_kept_beyond_its_unit_says_so_and_sends_nothing(db: Database, use: str) -> None:
    with db.begin() as uow:
        user = User(name="ann")
        uow.add(user)
        session = uow.session
    with (
        db.recorded() as statements,
        pytest.raises(UnitClosed, match=r"has ended[\s\S]*the one of tests/db/test_unit\.py:\d+ in test_a_session"),
    ):
        KEPT[use](session, user)
    assert statements == []
    assert _names(db) == ["ann"]


def test_what_was_made_in_a_unit_and_kept_beyond_it_says_so(db: Database) -> None:
    with db.begin() as uow:
        users, stream = Repository[User](uow), uow.stream(UserCard, select(User))
        attempt, savepoint = uow.attempt(), uow.savepoint()
    uses: list[Callable[[], Any]] = [
        lambda: users.all(select(User)),
        lambda: users.add(User(name="bob")),
        lambda: next(stream),
        attempt.__enter__,
        savepoint.__enter__,
    ]
    for use in uses:
        with pytest.raises(UnitClosed):
            use()


def test_an_entity_keeps_what_was_loaded_and_names_what_was_not(db: Database) -> None:
    """By SQLAlchemy's error: an entity without a session asks nobody whom we could answer for."""
    with db.begin() as uow:
        uow.add(User(name="ann"))
    with db.begin() as uow:
        user = uow.one(select(User))
    assert user.name == "ann"
    with pytest.raises(DetachedInstanceError, match="lazy load operation of attribute 'addresses' cannot proceed"):
        _ = user.addresses


def test_an_async_session_that_was_kept_says_so_in_async_lines(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db:
            async with db.begin() as uow:
                session = uow.session
                uow.add(User(name="ann"))
            async with db.begin() as uow:
                user = await uow.one(select(User))
            uses: list[Callable[[], Awaitable[Any]]] = [
                lambda: session.execute(select(User.name)),
                lambda: session.get(User, 1),
                lambda: session.refresh(user),
                lambda: session.run_sync(lambda inner: inner.add(user)),
            ]
            for use in uses:
                with pytest.raises(UnitClosed, match=r"open another: async with db\.begin"):
                    await use()
            with pytest.raises(DetachedInstanceError, match="'addresses'"):
                await user.awaitable_attrs.addresses

    asyncio.run(main())


def test_a_unit_that_has_not_begun_says_so(db: Database) -> None:
    with pytest.raises(UnitClosed, match="this unit of work has not begun"):
        db.begin().all(select(User.id))


def test_a_savepoint_is_undone_alone(db: Database) -> None:
    with db.begin() as uow:
        uow.add(User(name="ann"))
        with pytest.raises(ZeroDivisionError), uow.savepoint():
            uow.add(User(name="bob"))
            uow.flush()
            _ = 1 / 0
        with uow.savepoint():
            uow.add(User(name="eve"))
    assert _names(db) == ["ann", "eve"]


def test_a_constraint_violation_inside_a_savepoint_leaves_the_unit_usable(db: Database) -> None:
    with db.begin() as uow:
        uow.add(User(id=1, name="ann"))
        uow.flush()
        with pytest.raises(IntegrityError), uow.savepoint():
            uow.add(Address(email_address="x", user_id=99))
            uow.flush()
        uow.add(User(id=2, name="bob"))
    assert _names(db) == ["ann", "bob"]


def test_an_async_savepoint_is_undone_alone(async_url: str) -> None:
    async def main() -> None:
        db = await opened(async_url)
        async with db.begin() as uow:
            uow.add(User(name="ann"))
            with pytest.raises(ZeroDivisionError):
                async with uow.savepoint():
                    uow.add(User(name="bob"))
                    await uow.flush()
                    _ = 1 / 0
        assert await db.all(select(User.name)) == ["ann"]
        await db.close()

    asyncio.run(main())


def test_a_read_sees_what_its_unit_has_pending_in_the_tables_it_reads(db: Database) -> None:
    with db.begin() as uow:
        user = User(name="ann", addresses=[])
        uow.add(user)
        assert [card.name for card in uow.all(UserCard, select(User))] == ["ann"]
        user.name = "bob"
        assert uow.all(select(User.name)) == ["bob"]
        user.addresses.append(Address(email_address="b@x"))
        assert uow.get_one(UserCard, user.id).address_count == 1
        uow.delete(user)
        assert not uow.exists(select(User))


def test_a_read_of_other_tables_sends_nothing_half_built(db: Database) -> None:
    with db.begin() as uow:
        owner = User(name="ann")
        uow.add(owner)
        uow.flush()
        half_built = Address(email_address="a@x")  # its owner comes with the next line
        uow.add(half_built)
        half_built.user = uow.one(select(User))
    assert db.all(select(Address.user_id)) == [owner.id]


def test_get_and_refresh_send_what_is_pending_first_and_overwrite_nothing(db: Database) -> None:
    with db.begin() as uow:
        ann = User(id=7, name="ann", addresses=[])
        uow.add(ann)
        with db.recorded() as statements:
            assert uow.get_one(User, 7) is ann
        assert [each.sql.split()[0] for each in statements] == ["INSERT"]  # then it is in the identity map
        ann.name = "bob"
        ann.addresses.append(Address(email_address="a@x"))
        uow.refresh(ann, ["name", "addresses"])
        assert (ann.name, [each.email_address for each in ann.addresses]) == ("bob", ["a@x"])
        uow.delete(ann)
        assert uow.get(User, 7) is None
    assert _names(db) == []


def test_the_session_itself_never_flushes(db: Database) -> None:
    with db.begin() as uow:
        ann = User(id=7, name="ann")
        uow.add(ann)
        with db.recorded() as statements:
            assert uow.session.scalars(select(User)).all() == []
            assert uow.session.execute(select(User.name)).all() == []
            assert uow.session.get(User, 7) is None
        assert [each.sql.split()[0] for each in statements] == ["SELECT"] * 3
        uow.flush()
        ann.name = "bob"
        assert uow.session.scalars(select(User.name)).all() == ["ann"]
        assert uow.all(select(User.name)) == ["bob"]


def test_the_async_session_never_flushes_and_the_verbs_do(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db:
            async with db.begin() as uow:
                ann = User(id=7, name="ann")
                uow.add(ann)
                assert (await uow.session.scalars(select(User))).all() == []
                assert await uow.get(User, 7) is ann
                ann.name = "bob"
                await uow.refresh(ann, ["name"])
                assert ann.name == "bob"
                ann.name = "cid"
                assert (await uow.session.scalars(select(User.name))).all() == ["bob"]
                assert await uow.all(select(User.name)) == ["cid"]

    asyncio.run(main())


def test_an_async_unit_shows_async_lines(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db:
            async with db.begin() as uow:
                with pytest.raises(NotTheOwner, match=r"use await uow\.flush\(\).*, async with uow\.savepoint\(\): "):
                    await uow.session.commit()
                with pytest.raises(NotTheOwner, match="async with uow"):
                    await uow.session.run_sync(lambda session: session.rollback())
            with pytest.raises(UnitClosed, match=r"open another: async with db\.begin"):
                uow.add(User(name="ann"))

    asyncio.run(main())


def test_run_returns_what_the_use_case_returns_after_the_commit(db: Database) -> None:
    def use_case(uow: UnitOfWork, name: str, *, loud: bool = False) -> str:
        uow.add(User(name=name.upper() if loud else name))
        return name

    assert db.run(use_case, "ann", loud=True) == "ann"
    assert _names(db) == ["ANN"]


def test_units_of_concurrent_tasks_do_not_meet(async_url: str) -> None:
    async def main() -> None:
        db = await opened(async_url)

        async def one(name: str) -> None:
            async with db.begin() as uow:
                uow.add(User(name=name))
                await uow.flush()

        names = [f"user {number}" for number in range(8)]
        await asyncio.gather(*(one(name) for name in names))
        assert sorted(await db.all(select(User.name))) == names
        await db.close()

    asyncio.run(main())


def test_every_database_has_serializable_units(db: Database) -> None:
    with db.using(isolation="SERIALIZABLE").begin() as uow:
        uow.add(User(name="ann"))
    assert db.all(select(User.name)) == ["ann"]


def test_a_cancelled_unit_rolls_back_and_gives_its_connection_back(async_url: str) -> None:
    async def main() -> None:
        db = await opened(async_url)
        started = asyncio.Event()

        async def use() -> None:
            async with db.begin() as uow:
                uow.add(User(name="ann"))
                await uow.flush()
                started.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(use())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # a queue pool counts
        assert await db.all(select(User.name)) == []
        await db.close()

    asyncio.run(main())
