"""Versions: nobody overwrites what they have not seen, and the conflict names the entity."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requires
from bases import own_base
from sqlalchemy import ForeignKey, insert, select, update
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database, ModelError, UnitOfWork, VersionConflict, Versioned

Base = own_base()


class Account(Versioned, Base):
    __tablename__ = "versioned_account"
    id: Mapped[int] = mapped_column(primary_key=True)
    coins: Mapped[int]


class Plain(Base):
    """A version of SQLAlchemy's own, without the mixin."""

    __tablename__ = "versioned_plain"
    id: Mapped[int] = mapped_column(primary_key=True)
    other: Mapped[int] = mapped_column(primary_key=True)
    coins: Mapped[int]
    number: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": number}  # noqa: RUF012


class Animal(Versioned, Base):
    __tablename__ = "versioned_animal"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__ = {  # noqa: RUF012
        "polymorphic_on": "kind",
        "polymorphic_identity": "animal",
        "version_id_col": Versioned.version,
    }


class Dog(Animal):
    __tablename__ = "versioned_dog"
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("versioned_animal.id", ondelete="CASCADE"), primary_key=True)
    tricks: Mapped[int]


class Loose(Base):
    __tablename__ = "versioned_loose"
    id: Mapped[int] = mapped_column(primary_key=True)
    coins: Mapped[int]


@pytest.fixture(params=["psycopg", "pymysql", "sqlite"])
def db(request: pytest.FixtureRequest, new_database: Callable[..., str], tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'versions.db'}" if request.param == "sqlite" else new_database(driver=request.param)
    with Database(url) as made:
        made.create_all(Base)
        made.run(_fill)
        yield made


def _fill(uow: UnitOfWork) -> None:
    uow.add_all([Account(id=1, coins=0), Account(id=2, coins=0), Plain(id=3, other=4, coins=0), Loose(id=1, coins=0)])
    uow.add(Dog(id=5, tricks=0))


def _meanwhile(uow: UnitOfWork, model: type[Account | Plain | Dog], key: object = 1) -> None:
    """Change the row as another transaction that committed in between does: this one has read an older version."""
    entity = uow.get_one(model, key)
    column = model.number if issubclass(model, Plain) else model.version
    table = Animal.__table__ if model is Dog else model.__table__
    uow.session.connection().execute(update(table).values({column.key: 9}))  # type: ignore[arg-type]  # a table
    if isinstance(entity, Dog):
        entity.tricks += 1
    else:
        entity.coins += 1


def test_a_version_starts_at_one_and_counts_changes(db: Database) -> None:
    with db.begin() as uow:
        account = uow.get_one(Account, 1)
        assert account.version == 1
        account.coins = 3
        uow.flush()
        assert account.version == 2
        uow.session.execute(insert(Account).values(id=7, coins=0))
    assert db.all(select(Account.version).order_by(Account.id)) == [2, 1, 1]


@pytest.mark.parametrize(
    ("model", "key", "named"), [(Account, 1, "Account 1"), (Plain, (3, 4), "Plain (3, 4)"), (Dog, 5, "Dog 5")]
)
def test_a_conflict_names_the_entity(db: Database, model: type[Account | Plain | Dog], key: object, named: str) -> None:
    with pytest.raises(VersionConflict) as conflict, db.begin() as uow:
        _meanwhile(uow, model, key)
    assert conflict.value.entities == (named,)
    assert isinstance(conflict.value, StaleDataError)
    assert isinstance(conflict.value.__cause__, StaleDataError)
    conflict.match(rf"^version-conflict: {named.replace('(', '.').replace(')', '.')} was changed or deleted")
    assert db.all(select(Account.coins)) == [0, 0]


def test_a_delete_conflicts_too(db: Database) -> None:
    with pytest.raises(VersionConflict, match="Account 1"), db.begin() as uow:
        account = uow.get_one(Account, 1)
        uow.session.connection().execute(update(Account.__table__).values(version=9))  # type: ignore[arg-type]
        uow.delete(account)
    assert db.count(select(Account)) == 2


def test_all_that_it_may_be_are_named(db: Database) -> None:
    with pytest.raises(VersionConflict, match="one of Account 1, Account 2 was changed"), db.begin() as uow:
        other = uow.get_one(Account, 2)
        _meanwhile(uow, Account, 1)
        other.coins += 1


def test_a_row_without_a_version_that_is_gone_stays_sqlalchemys_error(db: Database) -> None:
    with pytest.raises(StaleDataError) as gone, db.begin() as uow:
        loose = uow.get_one(Loose, 1)
        uow.session.connection().execute(Loose.__table__.delete())  # type: ignore[attr-defined]
        loose.coins = 1
    assert not isinstance(gone.value, VersionConflict)


def test_an_attempt_tells_a_conflict_and_reads_the_row_again(db: Database) -> None:
    with db.begin() as uow:
        account = uow.get_one(Account, 1)
        uow.session.connection().execute(update(Account.__table__).values(version=9, coins=5))  # type: ignore[arg-type]
        with uow.attempt(VersionConflict) as attempt:
            account.coins += 1
        assert attempt.failure is not None
        assert (account.version, account.coins) == (9, 5)
        account.coins += 1
    assert db.one(select(Account.coins).where(Account.id == 1)) == 6


def test_an_update_of_many_rows_counts_and_an_older_change_conflicts(db: Database) -> None:
    with db.begin() as uow:
        account = uow.get_one(Account, 1)
        uow.session.execute(update(Account).where(Account.coins == 0).values(coins=4))
        assert (account.version, account.coins) == (2, 4)
        account.coins = 5
    assert db.all(select(Account.version).order_by(Account.id)) == [3, 2]
    requires.needs(db, "row locks")  # the other writer
    with pytest.raises(VersionConflict), db.begin() as uow:
        account = uow.get_one(Account, 1)
        with db.begin() as other:
            other.session.execute(update(Account).values(coins=0))
        account.coins = 9


def test_a_locked_read_of_a_version_that_moved_is_fresh_and_no_conflict(db: Database) -> None:
    requires.needs(db, "row locks")
    with db.begin() as uow:
        account = uow.get_one(Account, 1)
        with db.begin() as other:
            other.get_one(Account, 1).coins = 3
        assert uow.get_one(Account, 1, lock=True) is account
        account.coins += 1
    assert db.one(select(Account.coins).where(Account.id == 1)) == 4


def test_run_repeats_a_conflict_so_that_no_update_is_lost(db: Database) -> None:
    requires.needs(db, "row locks")
    both = threading.Barrier(2)

    def increment(uow: UnitOfWork) -> None:
        account = uow.get_one(Account, 1)
        if account.coins == 0:
            both.wait(10)  # the first attempts meet
        account.coins += 1

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(db.run, increment) for _ in range(2)]:
            done.result()
    assert db.one(select(Account.coins).where(Account.id == 1)) == 2


def test_a_model_whose_own_arguments_leave_the_version_out_is_refused() -> None:
    with pytest.raises(ModelError, match=r"Forgetful  is Versioned[\s\S]*\"version_id_col\": Versioned\.version"):

        class Forgetful(Versioned, Base):
            __tablename__ = "versioned_forgetful"
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str]
            __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "asyncmy", "aiosqlite"])
def test_async_units_conflict_in_the_same_way(new_database: Callable[..., str], driver: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'versions.db'}" if driver == "aiosqlite" else new_database(driver=driver)

    async def use(uow: AsyncUnitOfWork) -> None:
        account = await uow.get_one(Account, 1)
        connection = await uow.session.connection()
        await connection.execute(update(Account.__table__).values(version=9))  # type: ignore[arg-type]
        account.coins += 1

    async def main() -> None:
        async with AsyncDatabase(url) as db:
            await db.create_all(Base)
            async with db.begin() as uow:
                uow.add(Account(id=1, coins=0))
            with pytest.raises(VersionConflict, match=r"Account 1 was[\s\S]*await db\.run"):
                async with db.begin() as uow:
                    await use(uow)
            assert await db.all(select(Account.coins)) == [0]

    asyncio.run(main())
