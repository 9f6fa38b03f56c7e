"""Every kind of failure on real servers: our class, the names of what was broken, and none of the row's values."""

from __future__ import annotations

import asyncio
import pickle
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bases import own_base
from sqlalchemy import CheckConstraint, ForeignKey, String, delete, event, insert, make_url, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.orm import Mapped, mapped_column

import hermetic
from hermetic import (
    AsyncDatabase,
    CheckViolation,
    ConstraintViolation,
    Database,
    Deadlock,
    ForeignKeyViolation,
    LockTimeout,
    LostConnection,
    NotNullViolation,
    ReadOnlyServer,
    SerializationFailure,
    StalePlan,
    StatementTimeout,
    TransactionTimeout,
    UniqueViolation,
)

Own = own_base()

SECRET = "s3cret value"


class Holder(Own):
    __tablename__ = "failure_holder"
    __table_args__ = (CheckConstraint("amount > 0", name="positive"),)
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    email: Mapped[str] = mapped_column(String(40), unique=True)
    amount: Mapped[int]


class Held(Own):
    __tablename__ = "failure_held"
    id: Mapped[int] = mapped_column(primary_key=True)
    holder_id: Mapped[int] = mapped_column(ForeignKey("failure_holder.id"), index=True)


ROW = {"id": 1, "email": SECRET, "amount": 5}

# statement, kind, the columns that the error names, whether SQLite knows them
VIOLATIONS: dict[str, tuple[Any, type[ConstraintViolation], tuple[str, ...], bool]] = {
    "unique": (insert(Holder).values(ROW | {"id": 2}), UniqueViolation, ("email",), True),
    "primary key": (insert(Holder).values(ROW | {"email": "b"}), UniqueViolation, ("id",), True),
    "not null": (insert(Holder).values(id=3, amount=5), NotNullViolation, ("email",), True),
    "check": (insert(Holder).values(ROW | {"id": 4, "email": "d", "amount": -77}), CheckViolation, (), False),
    "no parent": (insert(Held).values(id=1, holder_id=4242), ForeignKeyViolation, ("holder_id",), False),
}


@pytest.fixture(params=["psycopg", "pymysql", "sqlite"])
def db(request: pytest.FixtureRequest, new_database: Callable[..., str], tmp_path: Path) -> Iterator[Database]:
    """A database with one holder."""
    url = f"sqlite:///{tmp_path / 'f.db'}" if request.param == "sqlite" else new_database(driver=request.param)
    with Database(url) as made:
        made.create_all(Own)
        with made.begin() as uow:
            uow.add(Holder(**ROW))
        yield made


def failing(db: Database, statement: Any) -> DBAPIError:
    with pytest.raises(DBAPIError) as caught, db.begin() as uow:
        uow.session.execute(statement)
    return caught.value


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_names_constraint_table_and_columns(db: Database, name: str) -> None:
    statement, kind, columns, _ = VIOLATIONS[name]
    error = failing(db, statement)
    assert type(error) is kind and isinstance(error, IntegrityError)
    is_told = db.engine.dialect.name != "sqlite" or name != "no parent"
    assert error.table == ("failure_held" if name == "no parent" else "failure_holder")
    assert error.columns == (columns if is_told else ())
    if name in ("check", "no parent") and is_told:
        assert error.constraint.endswith("positive" if name == "check" else "holder_id_failure_holder")


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_shows_no_value_of_the_row(db: Database, name: str) -> None:
    error = failing(db, VIOLATIONS[name][0])
    shown = "".join(traceback.format_exception(error))
    for value in (SECRET, "-77", "4242"):
        assert value not in shown
    assert error.__cause__ is not None and error.orig is error.__cause__
    assert error.statement is not None and "failure_" in error.statement
    twin = pickle.loads(pickle.dumps(error))
    assert (type(twin), str(twin)) == (type(error), str(error))


def test_a_deleted_parent_is_a_foreign_key_violation(db: Database) -> None:
    with db.begin() as uow:
        uow.add(Held(id=1, holder_id=1))
    error = failing(db, delete(Holder))
    assert type(error) is ForeignKeyViolation


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "asyncmy", "aiosqlite"])
@pytest.mark.parametrize("name", VIOLATIONS)
def test_async_drivers_tell_the_same(driver: str, name: str, failures_url: Callable[[str], str]) -> None:
    statement, kind, columns, is_told = VIOLATIONS[name]

    async def main() -> DBAPIError:
        async with AsyncDatabase(failures_url(driver)) as db:
            await db.create_all(Own)
            async with db.begin() as uow:
                await uow.session.execute(delete(Holder))
                uow.add(Holder(**ROW))
            with pytest.raises(DBAPIError) as caught:
                async with db.begin() as uow:
                    await uow.session.execute(statement)
            return caught.value

    error = asyncio.run(main())
    assert type(error) is kind
    if "sqlite" not in driver or is_told:
        assert error.columns == columns  # type: ignore[attr-defined]  # of the kinds above
    shown = "".join(traceback.format_exception(error))
    assert not any(value in shown for value in (SECRET, "-77", "4242"))


@pytest.fixture(scope="module")
def failures_url(new_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return the URL of a database for a driver, one for each driver."""
    urls: dict[str, str] = {}

    def find(driver: str) -> str:
        if driver not in urls:
            file = tmp_path_factory.mktemp("failures") / "f.db"
            urls[driver] = f"sqlite:///{file}" if "sqlite" in driver else new_database(driver=driver)
        return urls[driver]

    return find


# transactions that meet


def test_a_deadlock_is_one(failures_url: Callable[[str], str], server_driver: str) -> None:
    with Database(failures_url(server_driver)) as db:
        db.create_all(Own)
        with db.begin() as uow:
            uow.session.execute(delete(Holder))
            uow.add_all([Holder(id=number, email=str(number), amount=1) for number in (1, 2)])
        both = threading.Barrier(2)
        errors: list[Exception] = []

        def cross(first: int, second: int) -> None:
            try:
                with db.begin() as uow:
                    uow.session.execute(update(Holder).where(Holder.id == first).values(amount=2))
                    both.wait(10)
                    uow.session.execute(update(Holder).where(Holder.id == second).values(amount=3))
            except OperationalError as error:
                errors.append(error)

        threads = [threading.Thread(target=cross, args=pair) for pair in ((1, 2), (2, 1))]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert [type(error) for error in errors] == [Deadlock]


@pytest.fixture(params=["psycopg", "pymysql"])
def server_driver(request: pytest.FixtureRequest) -> str:
    """A driver of a database with row locks."""
    return str(request.param)


def test_a_write_skew_is_a_serialization_failure(failures_url: Callable[[str], str]) -> None:
    with Database(failures_url("psycopg")) as db:
        db.create_all(Own)
        with db.begin() as uow:
            uow.session.execute(delete(Holder))
            uow.add_all([Holder(id=number, email=str(number), amount=1) for number in (1, 2)])
        level = {"isolation_level": "SERIALIZABLE"}
        with pytest.raises(SerializationFailure), db.begin() as one:
            one.session.connection(execution_options=level)
            one.all(select(Holder))
            with db.begin() as other:
                other.session.connection(execution_options=level)
                other.all(select(Holder))
                other.session.execute(update(Holder).where(Holder.id == 1).values(amount=9))
            one.session.execute(update(Holder).where(Holder.id == 2).values(amount=9))


def test_a_row_that_is_locked_is_a_lock_timeout(failures_url: Callable[[str], str], server_driver: str) -> None:
    with Database(failures_url(server_driver)) as db:
        db.create_all(Own)
        with db.begin() as uow:
            uow.session.execute(delete(Holder))
            uow.add(Holder(**ROW))
        locking = select(Holder).with_for_update(nowait=True)
        with db.begin() as first:
            first.all(locking)
            with pytest.raises(LockTimeout), db.begin() as second:
                second.all(locking)


def test_a_writer_beside_a_writer_is_a_lock_timeout_on_sqlite(sqlite_url: str) -> None:
    with Database(sqlite_url) as db:
        db.create_all(Own)

        def impatient(connection: Any, record: Any) -> None:
            connection.execute("PRAGMA busy_timeout = 50")

        event.listen(db.engine, "connect", impatient)
        db.engine.dispose()
        with db.begin() as first:
            first.session.execute(insert(Holder).values(ROW))
            with pytest.raises(LockTimeout), db.begin() as second:
                second.session.execute(insert(Holder).values(ROW | {"id": 2, "email": "b"}))


def test_a_reader_that_writes_after_another_is_a_serialization_failure_on_sqlite(sqlite_url: str) -> None:
    with Database(sqlite_url) as db:
        db.create_all(Own)
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        with pytest.raises(SerializationFailure), db.begin() as first:
            first.count(select(Holder))
            with db.begin() as second:
                second.session.execute(insert(Holder).values(ROW))
            first.session.execute(insert(Holder).values(ROW | {"id": 2, "email": "b"}))


# the server


def test_a_statement_that_takes_too_long_is_a_statement_timeout(failures_url: Callable[[str], str]) -> None:
    with Database(failures_url("psycopg")) as db:
        with pytest.raises(StatementTimeout) as caught, db.begin() as uow:
            uow.session.execute(text("SET LOCAL statement_timeout = 20"))
            uow.session.execute(text("SELECT pg_sleep(10)"))
        assert "SELECT pg_sleep(10)" in str(caught.value)
    with Database(failures_url("pymysql")) as db, pytest.raises(StatementTimeout), db.begin() as uow:
        uow.session.execute(text("SET STATEMENT max_statement_time=0.02 FOR SELECT SLEEP(10)")).all()


def test_a_killed_session_is_a_lost_connection(failures_url: Callable[[str], str], server_driver: str) -> None:
    own, kill = {
        "psycopg": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({})"),
        "pymysql": ("SELECT CONNECTION_ID()", "KILL {}"),
    }[server_driver]
    with Database(failures_url(server_driver)) as db:
        with pytest.raises(LostConnection) as caught, db.begin() as uow:
            victim = uow.session.scalar(text(own))
            with db.engine.connect() as killer:
                killer.exec_driver_sql(kill.format(victim))
            uow.session.execute(text("SELECT 1"))
        assert caught.value.connection_invalidated
        assert db.count(select(Holder)) >= 0


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_server_that_only_reads_says_so(failures_url: Callable[[str], str], driver: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(failures_url(driver)) as db:
            await db.create_all(Own)
            with pytest.raises(ReadOnlyServer):
                async with db.begin() as uow:
                    await uow.session.execute(text("SET TRANSACTION READ ONLY"))
                    await uow.session.execute(delete(Holder))

    asyncio.run(main())


def test_an_idle_transaction_that_the_server_ends_says_so(failures_url: Callable[[str], str]) -> None:
    with Database(failures_url("psycopg")) as db:
        with pytest.raises(TransactionTimeout), db.begin() as uow:
            uow.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = 10"))
            pid = uow.session.scalar(text("SELECT pg_backend_pid()"))
            with db.engine.connect() as watcher:
                gone = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
                while watcher.scalar(gone, {"pid": pid}):
                    watcher.rollback()
            uow.session.execute(text("SELECT 1"))


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_table_that_changed_under_a_prepared_statement_is_a_stale_plan(
    failures_url: Callable[[str], str], driver: str
) -> None:
    async def main() -> None:
        async with AsyncDatabase(failures_url(driver)) as db:
            async with db.engine.begin() as setup:
                await setup.exec_driver_sql("DROP TABLE IF EXISTS failure_changing")
                await setup.exec_driver_sql("CREATE TABLE failure_changing (a integer)")
            async with db.engine.connect() as reader:
                for _ in range(10):  # psycopg prepares the sixth
                    await reader.exec_driver_sql("SELECT * FROM failure_changing")
                    await reader.commit()
                async with db.engine.begin() as migration:
                    await migration.exec_driver_sql("ALTER TABLE failure_changing ADD COLUMN b integer")
                with pytest.raises(StalePlan):
                    await reader.exec_driver_sql("SELECT * FROM failure_changing")
                await reader.rollback()
                assert (await reader.exec_driver_sql("SELECT * FROM failure_changing")).keys() == ["a", "b"]

    asyncio.run(main())


def test_what_has_no_kind_passes_through_untouched(db: Database) -> None:
    with pytest.raises(DBAPIError) as caught, db.begin() as uow:
        uow.session.execute(text("SELECT nothing_of_the_kind()"))
    assert not isinstance(caught.value, hermetic.HermeticError)


def test_a_read_outside_a_unit_tells_the_kind_too(failures_url: Callable[[str], str]) -> None:
    class HolderId(hermetic.Shape[Holder]):
        id: int

    url = make_url(failures_url("psycopg")).update_query_dict({"options": "-c lock_timeout=20ms"})
    with Database(url) as db:
        db.create_all(Own)
        assert db.all(HolderId, select(Holder)) is not None
        with db.begin() as uow, pytest.raises(LockTimeout):
            uow.session.execute(text("LOCK TABLE failure_holder IN ACCESS EXCLUSIVE MODE"))
            db.all(HolderId, select(Holder))
