"""`lock=`: rows that belong to one unit until it ends, and entities as they are once the lock is held."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import fleet
import pytest
import requires
from bases import own_base
from sqlalchemy import ForeignKey, select, text
from sqlalchemy.orm import Mapped, aliased, joinedload, mapped_column, relationship, selectinload, with_polymorphic

from hermetic import (
    AsyncDatabase,
    AsyncUnitOfWork,
    Database,
    LockTimeout,
    NotFound,
    NotLoaded,
    SerializationFailure,
    Shape,
    UnitOfWork,
    WrongStatement,
)

Base = own_base()


class Purse(Base):
    __tablename__ = "purse"
    id: Mapped[int] = mapped_column(primary_key=True)
    coins: Mapped[int]
    entries: Mapped[list[Entry]] = relationship(back_populates="purse", passive_deletes="all", order_by="Entry.id")


class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    coins: Mapped[int]
    purse_id: Mapped[int] = mapped_column(ForeignKey("purse.id", ondelete="CASCADE"), index=True)
    purse: Mapped[Purse] = relationship(back_populates="entries")


class PurseCard(Shape[Purse]):
    coins: int


@pytest.fixture(params=["psycopg", "pymysql", "sqlite"])
def db(request: pytest.FixtureRequest, new_database: Callable[..., str], tmp_path: Path) -> Iterator[Database]:
    url = f"sqlite:///{tmp_path / 'purse.db'}" if request.param == "sqlite" else new_database(driver=request.param)
    with Database(url) as made:
        made.create_all(Base)
        with made.begin() as uow:
            uow.add_all([Purse(id=1, coins=0, entries=[Entry(coins=0)]), Purse(id=2, coins=0)])
        yield made


def _coins(db: Database, key: int = 1) -> int:
    return db.one(select(Purse.coins).where(Purse.id == key))


READS: dict[str, Callable[[UnitOfWork], Purse]] = {
    "get": lambda uow: uow.get(Purse, 1, lock=True) or Purse(),
    "get_one": lambda uow: uow.get_one(Purse, 1, lock=True),
    "one": lambda uow: uow.one(select(Purse).where(Purse.id == 1), lock=True),
    "one_or_none": lambda uow: uow.one_or_none(select(Purse).where(Purse.id == 1), lock=True) or Purse(),
    "first": lambda uow: uow.first(select(Purse).order_by(Purse.id), lock=True) or Purse(),
    "all": lambda uow: uow.all(select(Purse).order_by(Purse.id), lock=True)[0],
    "by hand": lambda uow: uow.one(select(Purse).where(Purse.id == 1).with_for_update()),
    "of the session": lambda uow: uow.session.scalars(select(Purse).where(Purse.id == 1).with_for_update()).one(),
    "get of the session": lambda uow: uow.session.get_one(Purse, 1, with_for_update=True),
}


@pytest.mark.parametrize("read", READS)
def test_a_locked_read_is_fresh_whatever_the_unit_holds(db: Database, read: str) -> None:
    requires.needs(db, "row locks")
    with db.begin() as uow:
        held = uow.get_one(Purse, 1)
        with db.begin() as other:
            other.get_one(Purse, 1).coins = 7
        assert (READS[read](uow), held.coins) == (held, 7)


@pytest.mark.parametrize("read", READS)
def test_what_was_changed_is_sent_first_and_never_overwritten(db: Database, read: str) -> None:
    with db.begin() as uow:
        uow.get_one(Purse, 1).coins = 5
        assert READS[read](uow).coins == 5
    assert _coins(db) == 5


def test_what_an_eager_load_reads_again_is_not_overwritten_either(db: Database) -> None:
    with db.begin() as uow:
        purse = uow.one(select(Purse).where(Purse.id == 1).options(selectinload(Purse.entries)))
        purse.entries[0].coins = 5
        again = uow.one(select(Purse).where(Purse.id == 1).options(selectinload(Purse.entries)), lock=True)
        assert [each.coins for each in again.entries] == [5]


def test_what_a_locked_read_did_not_read_again_is_not_loaded_any_more(db: Database) -> None:
    with db.begin() as uow:
        purse = uow.one(select(Purse).where(Purse.id == 1).options(selectinload(Purse.entries)))
        uow.get_one(Purse, 1, lock=True)
        with pytest.raises(NotLoaded, match=r"uow\.load\(entities, Purse\.entries\)"):
            _ = purse.entries


def test_a_locked_read_is_one_statement_of_the_entitys_own_table(db: Database) -> None:
    with db.begin() as uow:
        uow.get_one(Purse, 1)
        with db.recorded() as statements:
            uow.get_one(Purse, 1, lock=True)
    sent = [each.sql.replace("\n", "") for each in statements]
    endings = {"postgresql": " FOR UPDATE OF purse", "mariadb": " FOR UPDATE", "sqlite": "WHERE purse.id = ?"}
    assert sent[-1].endswith(endings[db.engine.dialect.name])
    assert sent[:-1] == (["DELETE FROM purse WHERE 0 = 1"] if db.engine.dialect.name == "sqlite" else [])


def _storm(db: Database, lock: bool) -> None:
    def increment(uow: UnitOfWork) -> None:
        uow.get_one(Purse, 1, lock=lock).coins += 1

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(db.run, increment) for _ in range(40)]:
            done.result()


def test_no_update_is_lost_with_a_lock(db: Database) -> None:
    _storm(db, lock=True)
    assert _coins(db) == 40


def test_an_update_is_lost_without_a_lock(db: Database) -> None:
    """The negative control: what the lock is for."""
    requires.needs(db, "row locks")
    both = threading.Barrier(2)

    def increment(uow: UnitOfWork) -> None:
        purse = uow.get_one(Purse, 1)
        both.wait(10)
        purse.coins += 1

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(db.run, increment) for _ in range(2)]:
            done.result()
    assert _coins(db) == 1


def test_sqlite_refuses_the_update_that_would_be_lost_and_a_lock_before_it_waits_instead(tmp_path: Path) -> None:
    with Database(f"sqlite:///{tmp_path / 'purse.db'}?timeout=0.1") as db:
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        db.create_all(Base)
        with db.begin() as uow:
            uow.add(Purse(id=1, coins=0))
        with pytest.raises(SerializationFailure), db.begin() as uow:
            purse = uow.get_one(Purse, 1)
            with db.begin() as other:
                other.get_one(Purse, 1).coins += 1
            purse.coins += 1
        with db.begin() as uow:
            uow.get_one(Purse, 1, lock=True).coins += 1
            with pytest.raises(LockTimeout), db.begin() as other:
                other.get_one(Purse, 1, lock=True)
        assert _coins(db) == 2


def test_a_lock_that_is_held_is_an_error_at_once_where_nobody_waits(db: Database) -> None:
    with db.begin() as uow:
        uow.get_one(Purse, 1, lock=True).coins = 3
        with pytest.raises(LockTimeout), db.begin() as other:
            other.get_one(Purse, 1, lock="nowait")
        with db.begin() as third:
            with third.attempt(LockTimeout) as attempt:
                third.all(select(Purse), lock="nowait")
            assert attempt.failure is not None
            assert third.count(select(Purse)) == 2
    with db.begin() as uow:
        assert uow.get_one(Purse, 1, lock="nowait").coins == 3


def test_workers_take_each_row_once(db: Database) -> None:
    requires.needs(db, "row locks")
    waiting = select(Purse).where(Purse.coins == 0).order_by(Purse.id)
    with db.begin() as uow, db.begin() as other, db.begin() as third:
        first, second = uow.first(waiting, lock="skip_locked"), other.first(waiting, lock="skip_locked")
        assert first is not None and second is not None
        assert (first.id, second.id, third.first(waiting, lock="skip_locked")) == (1, 2, None)
        with pytest.raises(NotFound):
            third.get_one(Purse, 1, lock="skip_locked")


def test_what_an_eager_join_brings_is_fresh(db: Database) -> None:
    """PostgreSQL reads a row anew after it waited for its lock, but not the rows that are joined to it."""
    requires.needs(db, "row locks")
    found: list[int] = []

    def wait() -> None:
        with db.begin() as uow:
            statement = select(Purse).where(Purse.id == 1).options(joinedload(Purse.entries))
            purse = uow.one(statement, lock=True)
            found.extend([purse.coins, *(each.coins for each in purse.entries)])

    with db.begin() as uow:
        purse = uow.one(select(Purse).where(Purse.id == 1).options(selectinload(Purse.entries)), lock=True)
        waiter = threading.Thread(target=wait)
        waiter.start()
        while not _is_waited_for(db):
            assert waiter.is_alive()
        purse.coins = 9
        purse.entries[0].coins = 9
    waiter.join()
    assert found == [9, 9]


def _is_waited_for(db: Database) -> bool:
    waiting = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND wait_event_type = 'Lock'",
        "mariadb": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }
    threading.Event().wait(
        0.2
    )  # MariaDB renews that table only for those who did not ask in the last tenth of a second
    with db.engine.connect() as connection:
        return bool(connection.scalar(text(waiting[db.engine.dialect.name])))


def test_a_lock_reaches_every_table_of_the_entity_and_no_other(db: Database) -> None:
    db.create_all(fleet.Depot)
    with db.begin() as uow:
        uow.add(fleet.Depot(id=1, name="north", vehicles=[fleet.Car(id=1, name="a", doors=3)], events=[]))
    every = with_polymorphic(fleet.Vehicle, "*")
    other = aliased(Purse)
    statements: list[Any] = [
        select(fleet.Car),
        select(fleet.Vehicle),
        select(every),
        select(fleet.Car).options(joinedload(fleet.Car.garage)),
        select(fleet.Car).join(fleet.Car.depot).where(fleet.Depot.name == "north"),
    ]
    with db.begin() as uow:
        for statement in statements:
            assert [each.id for each in uow.all(statement, lock=True)] == [1]
        assert len(uow.all(select(other), lock=True)) == 2


def test_what_cannot_be_locked_says_so_before_anything_is_sent(db: Database) -> None:
    with db.begin() as uow, db.recorded() as statements:
        refused: list[tuple[Callable[[], Any], str]] = [
            (lambda: uow.get(PurseCard, 1, lock=True), r"uow\.get_one\(Purse, key, lock=True\), then"),  # type: ignore[call-overload]
            (lambda: uow.all(PurseCard, select(Purse), lock=True), "PurseCard is a shape"),  # type: ignore[call-overload]
            (lambda: uow.all(select(Purse.coins), lock=True), "it selects coins"),
            (lambda: uow.all(select(Purse, Entry), lock=True), "it selects Purse, Entry"),  # type: ignore[call-overload]
            (lambda: uow.all(select(Purse).distinct(), lock=True), "it is DISTINCT"),
            (lambda: uow.all(select(Purse).group_by(Purse.id), lock=True), "it is grouped"),
            (lambda: uow.get(Purse, (1, 2), lock=True), "2 key values were given"),
            (
                lambda: db.get_one(Purse, 1, lock=True),
                r"with db\.begin\(\) as uow: uow\.get_one\(Purse, key, lock=True\)",
            ),
            (lambda: db.all(select(Purse), lock="nowait"), "a lock ends with its transaction"),
        ]
        for read, message in refused:
            with pytest.raises(WrongStatement, match=message):
                read()
    assert statements == []


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "asyncmy", "aiosqlite"])
def test_async_units_lose_no_update(new_database: Callable[..., str], driver: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'purse.db'}" if driver == "aiosqlite" else new_database(driver=driver)

    async def increment(uow: AsyncUnitOfWork, lock: bool | Literal["nowait"]) -> None:
        (await uow.get_one(Purse, 1, lock=lock)).coins += 1

    async def main() -> None:
        async with AsyncDatabase(url) as db:
            await db.create_all(Base)
            async with db.begin() as uow:
                uow.add(Purse(id=1, coins=0))
            await asyncio.gather(*(db.run(increment, True) for _ in range(16)))
            assert await db.all(select(Purse.coins)) == [16]
            async with db.begin() as uow:
                (await uow.one(select(Purse), lock=True)).coins = 0
                with pytest.raises(LockTimeout):
                    await asyncio.create_task(db.run(increment, "nowait"))
            with pytest.raises(WrongStatement, match=r"async with db\.begin\(\) as uow: await uow\.get_one"):
                await db.get_one(Purse, 1, lock=True)

    asyncio.run(main())
