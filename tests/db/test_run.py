"""`run` repeats a use case as a whole, in a new unit of work; what it did is there once, or not at all."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from bases import own_base
from sqlalchemy import Engine, NullPool, create_engine, delete, literal, select, text, update
from sqlalchemy.orm import Mapped, mapped_column

from hermetic import (
    Aborted,
    AsyncDatabase,
    AsyncUnitOfWork,
    CannotConnect,
    Committed,
    Database,
    Deadlock,
    EntityPassed,
    LostConnection,
    OutcomeUnknown,
    Pool,
    Retry,
    SerializationFailure,
    SwallowedFailure,
    UnitOfWork,
    Unknown,
    outcome_table,
)

Own = own_base()


class Account(Own):  # type: ignore[misc, valid-type]  # a base made by a function
    __tablename__ = "run_account"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int]


KILL = {
    "postgresql": ("SELECT pg_backend_pid()", "SELECT pg_terminate_backend({}, 5000)"),
    "mariadb": ("SELECT CONNECTION_ID()", "KILL {}"),
}


def kill(engine: Engine, session: Any) -> None:
    """End the server's side of a session."""
    with engine.connect() as killer:
        killer.exec_driver_sql(KILL[engine.dialect.name][1].format(session))


def number(engine: Engine) -> Any:
    return text(KILL[engine.dialect.name][0])


@pytest.fixture(params=["psycopg", "pymysql", "sqlite"])
def db(request: pytest.FixtureRequest, new_database: Callable[..., str], tmp_path: Path) -> Iterator[Database]:
    """A database with two accounts of 100."""
    url = f"sqlite:///{tmp_path / 'run.db'}" if request.param == "sqlite" else new_database(driver=request.param)
    with Database(url, retry=Retry(seconds=20)) as made:
        made.create_all(Own)
        with made.begin() as uow:
            uow.add_all([Account(id=each, balance=100) for each in (1, 2)])
        yield made


@pytest.fixture(params=["psycopg", "pymysql"])
def served(request: pytest.FixtureRequest, new_database: Callable[..., str]) -> Iterator[Database]:
    """A database of a server, with two accounts of 100."""
    with Database(new_database(driver=request.param), retry=Retry(seconds=20)) as made:
        made.create_all(Own)
        with made.begin() as uow:
            uow.add_all([Account(id=each, balance=100) for each in (1, 2)])
        yield made


def balances(db: Database) -> list[int]:
    return db.all(select(Account.balance).order_by(Account.id))


def test_run_returns_what_the_use_case_returns_and_commits(db: Database) -> None:
    def pay(uow: UnitOfWork, key: int, *, amount: int) -> str:
        uow.get_one(Account, key).balance += amount
        return "paid"

    assert db.run(pay, 1, amount=5) == "paid"
    assert balances(db) == [105, 100]


def test_a_deadlock_ends_with_both_transfers_done(served: Database) -> None:
    both = threading.Barrier(2)
    tried: list[int] = []

    def transfer(uow: UnitOfWork, source: int, target: int) -> None:
        tried.append(source)
        uow.session.execute(update(Account).where(Account.id == source).values(balance=Account.balance - 1))
        if len(tried) <= 2:
            both.wait(10)
        uow.session.execute(update(Account).where(Account.id == target).values(balance=Account.balance + 1))

    threads = [threading.Thread(target=served.run, args=(transfer, *pair)) for pair in ((1, 2), (2, 1))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(tried) == 3
    assert balances(served) == [100, 100]


def test_each_attempt_reads_anew_and_has_a_unit_of_its_own(db: Database) -> None:
    units: list[int] = []
    seen: list[int] = []
    level = None if db.engine.dialect.name == "sqlite" else "SERIALIZABLE"
    if db.engine.dialect.name == "sqlite":
        with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    if db.engine.dialect.name == "mariadb":
        pytest.skip("a conflict of MariaDB is a deadlock, which another test has")

    def double(uow: UnitOfWork) -> None:
        units.append(id(uow.session))
        account = uow.get_one(Account, 1)
        seen.append(account.balance)
        if len(units) == 1:  # somebody else, between the read and the write
            with db.using(isolation=level).begin() as other:  # type: ignore[arg-type]  # of the list above
                other.get_one(Account, 1)
                other.session.execute(update(Account).where(Account.id == 1).values(balance=7))
        account.balance *= 2

    db.using(isolation=level).run(double)  # type: ignore[arg-type]
    assert seen == [100, 7]
    assert balances(db)[0] == 14


@pytest.mark.parametrize("moment", ["before a statement", "before the commit"])
def test_a_lost_connection_is_another_attempt(served: Database, moment: str) -> None:
    attempts: list[int] = []

    def pay(uow: UnitOfWork) -> None:
        attempts.append(1)
        own = uow.session.scalar(number(served.engine))
        uow.session.execute(update(Account).where(Account.id == 1).values(balance=Account.balance + 1))
        if len(attempts) < 3:
            kill(served.engine, own)
        if moment == "before a statement":
            uow.session.execute(update(Account).where(Account.id == 2).values(balance=Account.balance + 1))

    served.run(pay)
    assert len(attempts) == 3
    assert balances(served) == ([101, 101] if moment == "before a statement" else [101, 100])


def test_what_was_tried_is_on_the_last_error(served: Database) -> None:
    def never(uow: UnitOfWork) -> None:
        kill(served.engine, uow.session.scalar(number(served.engine)))
        uow.count(select(Account))

    with pytest.raises(LostConnection) as caught:
        served.using(retry=Retry(attempts=3)).run(never)
    attempts: Any = caught.value.attempts  # type: ignore[attr-defined]  # given by run
    assert [each.failure.split()[0] for each in attempts] == ["LostConnection"] * 3
    assert caught.value.__notes__[0].startswith("hermetic: given up after 3 attempts in ")


@pytest.mark.parametrize("change", ["a migration", "a failover"])
def test_what_outdates_the_whole_pool_costs_one_attempt(change: str, new_database: Callable[..., str]) -> None:
    attempts: list[int] = []
    seen = select(text("*")).select_from(text("run_account"))

    def pay(uow: UnitOfWork) -> None:
        attempts.append(1)
        if change == "a failover" and len(attempts) == 2:
            changed(f"ALTER DATABASE {db.engine.url.database} RESET default_transaction_read_only")
        uow.session.execute(seen)
        uow.session.execute(update(Account).values(balance=1))

    def changed(sql: str, database: str | None = "postgres") -> None:
        url = db.engine.url.set(database=database)
        with create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT").connect() as other:
            other.exec_driver_sql(sql)

    with Database(new_database(), pool=Pool.server(size=3, overflow=0)) as db:
        db.create_all(Own)
        if change == "a failover":
            changed(f"ALTER DATABASE {db.engine.url.database} SET default_transaction_read_only = on")
            db.engine.dispose()
        with pytest.raises(ZeroDivisionError), ExitStack() as stack:
            for _ in range(3):  # a rollback, which psycopg does not take for one when it comes again
                stack.enter_context(db.begin()).one(select(literal(1)))
            raise ZeroDivisionError
        with ExitStack() as stack:
            for _ in range(3):
                uow = stack.enter_context(db.begin())
                for _ in range(8):  # psycopg prepares the sixth
                    uow.session.execute(seen)
        if change == "a migration":
            changed("ALTER TABLE run_account ADD COLUMN note text", db.engine.url.database)
        for _ in range(3):
            db.run(pay)
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(db.begin()).session.execute(seen)
        assert len(attempts) == 4


def test_nothing_else_is_tried_again(db: Database) -> None:
    attempts: list[int] = []

    def fail(uow: UnitOfWork) -> None:
        attempts.append(1)
        uow.add(Account(id=1, balance=1))

    with pytest.raises(Exception, match="unique-violation"):
        db.run(fail)
    with pytest.raises(ZeroDivisionError):
        db.run(lambda uow: attempts.append(1) or 1 / 0)  # type: ignore[func-returns-value]
    assert len(attempts) == 2


def test_a_conflict_that_the_use_case_swallows_is_tried_again(served: Database) -> None:
    attempts: list[int] = []

    def careless(uow: UnitOfWork) -> None:
        attempts.append(1)
        if len(attempts) == 1:
            kill(served.engine, uow.session.scalar(number(served.engine)))
        try:
            uow.session.execute(update(Account).where(Account.id == 1).values(balance=0))
        except LostConnection:
            pass

    served.run(careless)
    assert (len(attempts), balances(served)[0]) == (2, 0)


def test_a_budget_of_one_never_repeats(served: Database) -> None:
    attempts: list[int] = []

    def fail(uow: UnitOfWork) -> None:
        attempts.append(1)
        raise SerializationFailure("40001", "")

    with pytest.raises(SerializationFailure):
        served.using(retry=Retry.never()).run(fail)
    assert len(attempts) == 1


def test_a_run_inside_a_run_leaves_the_repeating_to_the_outer(served: Database) -> None:
    inner_attempts: list[int] = []
    outer_attempts: list[int] = []

    def inner(uow: UnitOfWork) -> None:
        inner_attempts.append(1)
        if len(inner_attempts) < 3:
            raise Deadlock("40P01", "")

    def outer(uow: UnitOfWork) -> None:
        outer_attempts.append(1)
        served.run(inner)

    served.run(outer)
    assert (len(inner_attempts), len(outer_attempts)) == (3, 3)


@pytest.mark.parametrize("wrap", [lambda each: each, lambda each: [each], lambda each: {"key": each}])
def test_an_entity_as_an_argument_is_refused(db: Database, wrap: Callable[[Any], Any]) -> None:
    def use(uow: UnitOfWork, account: Any) -> None:
        raise AssertionError("not reached")

    with db.begin() as uow:
        account = uow.get_one(Account, 1)
    with pytest.raises(EntityPassed, match=r"get_one\(Account, key\)"):
        db.run(use, wrap(account))


def test_a_server_that_refuses_the_login_is_not_asked_again(served: Database) -> None:
    url = served.engine.url.set(username="nobody_of_this_name", password="wrong")
    with Database(url, retry=Retry(seconds=5)) as closed, pytest.raises(CannotConnect) as caught:
        closed.run(lambda uow: uow.count(select(Account)))
    assert len(caught.value.attempts) == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg", "asyncmy"])
def test_async_runs_keep_the_same_rules(driver: str, new_database: Callable[..., str]) -> None:
    async def main() -> None:
        async with AsyncDatabase(new_database(driver=driver), retry=Retry(seconds=20)) as db:
            await db.create_all(Own)
            async with db.begin() as uow:
                uow.add_all([Account(id=each, balance=100) for each in (1, 2)])
            core = db.engine.sync_engine
            attempts: list[int] = []

            async def pay(uow: AsyncUnitOfWork, key: int) -> str:
                attempts.append(1)
                own = await uow.session.scalar(number(core))
                await uow.session.execute(update(Account).where(Account.id == key).values(balance=Account.balance + 1))
                if len(attempts) < 3:
                    async with db.engine.connect() as killer:
                        await killer.exec_driver_sql(KILL[core.dialect.name][1].format(own))
                return "paid"

            assert await db.run(pay, 1) == "paid"
            assert len(attempts) == 3
            assert await db.all(select(Account.balance).order_by(Account.id)) == [101, 100]
            with pytest.raises(EntityPassed, match=r"await uow\.get_one"):
                async with db.begin() as uow:
                    account = await uow.get_one(Account, 1)
                await db.run(pay, account)  # type: ignore[arg-type]

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_transfers_that_meet_are_all_done_when_serializable(driver: str, new_database: Callable[..., str]) -> None:
    async def main() -> None:
        async with AsyncDatabase(new_database(driver=driver), isolation="SERIALIZABLE") as db:
            await db.create_all(Own)
            async with db.begin() as uow:
                uow.add_all([Account(id=each, balance=100) for each in (1, 2)])
            attempts: list[int] = []

            async def move(uow: AsyncUnitOfWork) -> None:
                attempts.append(1)
                source, target = await uow.get_one(Account, 1), await uow.get_one(Account, 2)
                await asyncio.sleep(0)
                source.balance -= 1
                target.balance += 1

            await asyncio.gather(*(db.run(move) for _ in range(8)))
            assert await db.all(select(Account.balance).order_by(Account.id)) == [92, 108]
            assert len(attempts) > 8

    asyncio.run(main())


# what became of a commit


def tokens(db: Database) -> list[tuple[uuid.UUID, bool]]:
    table = outcome_table(Own.metadata.__class__())
    return [(row.token, row.is_committed) for row in db.all(select(table.c.token, table.c.is_committed))]


def test_a_unit_that_wrote_leaves_its_outcome_and_one_that_read_does_not(db: Database) -> None:
    assert len(tokens(db)) == 1  # of the fixture
    with db.begin() as uow:
        uow.count(select(Account))
        with uow.attempt():
            uow.count(select(Account))
    assert len(tokens(db)) == 1
    with db.begin() as uow:
        uow.get_one(Account, 1).balance = 1
    assert len(tokens(db)) == 2
    assert all(is_committed for _, is_committed in tokens(db))


def test_an_outcome_is_told_again_and_never_changes(db: Database) -> None:
    ((token, _),) = tokens(db)
    assert db.outcome(str(token)) == Committed()
    other = str(uuid.uuid4())
    assert [db.outcome(other), db.outcome(other)] == [Aborted(), Aborted()]


def test_a_unit_whose_outcome_was_settled_cannot_commit_any_more(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    token = uuid.uuid4()
    assert db.outcome(str(token)) == Aborted()
    monkeypatch.setattr("hermetic.engine.transaction.new_token", lambda: token)  # the slow original
    with pytest.raises(Exception, match="unique-violation"), db.begin() as uow:
        uow.get_one(Account, 1).balance = 1
    monkeypatch.undo()
    assert balances(db) == [100, 100]
    with db.begin() as uow:
        uow.get_one(Account, 1).balance = 2
    assert balances(db) == [2, 100]


def test_old_outcomes_can_be_pruned(db: Database) -> None:
    assert db.prune_outcomes(hours=1) == 0
    assert db.prune_outcomes(hours=-1) == 1
    assert tokens(db) == []


def test_a_unit_that_only_selects_writes_no_outcome_on_postgresql(new_database: Callable[..., str]) -> None:
    with Database(new_database()) as db:
        db.create_all(Own)
        with db.begin() as uow:
            uow.session.scalars(select(Account)).all()
        assert tokens(db) == []


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_a_unit_that_reads_commits_where_the_server_only_reads(driver: str, new_database: Callable[..., str]) -> None:
    """As on a replica, whose sessions say so themselves."""

    async def main() -> None:
        async with AsyncDatabase(new_database(driver=driver)) as db:
            await db.create_all(Own)
            async with db.engine.begin() as connection:
                name = db.engine.url.database
                await connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
            await db.engine.dispose()
            async with db.begin() as uow:
                assert (await uow.session.scalars(select(Account))).all() == []
                assert (await uow.session.execute(text("SELECT 1"))).scalar() == 1

    asyncio.run(main())


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_without_the_table_a_lost_answer_is_told_and_not_guessed(driver: str, new_database: Callable[..., str]) -> None:
    with Database(new_database(driver=driver)) as db:
        Own.metadata.create_all(db.engine)
        with db.begin() as uow:
            uow.add(Account(id=2, balance=1))
        with pytest.raises(OutcomeUnknown, match="hermetic_outcome") as caught, db.begin() as uow:
            own = uow.session.scalar(number(db.engine))
            uow.add(Account(id=1, balance=1))
            uow.flush()
            kill(db.engine, own)
        assert isinstance(caught.value.__cause__, LostConnection)
        assert db.outcome(str(uuid.uuid4())) == Unknown("")


def test_a_commit_that_the_server_turned_into_a_rollback_is_an_error(new_database: Callable[..., str]) -> None:
    async def main() -> None:
        async with AsyncDatabase(new_database(driver="asyncpg")) as db:
            await db.create_all(Own)
            with pytest.raises(SwallowedFailure):
                async with db.begin() as uow:
                    uow.add(Account(id=1, balance=1))
                    await uow.flush()
                    connection = await (await uow.session.connection()).get_raw_connection()
                    driver: Any = connection.driver_connection
                    with pytest.raises(Exception, match="no_such_table"):
                        await driver.execute("SELECT * FROM no_such_table")
            assert await db.all(select(Account.id)) == []

    asyncio.run(main())


def test_the_level_of_isolation_is_that_of_the_unit(new_database: Callable[..., str]) -> None:
    shown = text("SHOW transaction_isolation")
    with Database(new_database(), isolation="REPEATABLE READ") as db:
        with db.begin() as uow:
            assert uow.session.scalar(shown) == "repeatable read"
        with db.using(isolation="SERIALIZABLE").begin() as uow:
            assert uow.session.scalar(shown) == "serializable"
        with db.begin() as uow:
            uow.session.connection(execution_options={"isolation_level": "READ COMMITTED"})
            assert uow.session.scalar(shown) == "read committed"


def test_a_unit_asks_the_server_no_more_often_than_a_session(new_database: Callable[..., str]) -> None:
    with Database(new_database()) as db:
        db.create_all(Own)
        with db.begin() as uow:
            uow.add(Account(id=1, balance=1))
        with db.recorded() as statements, db.begin() as uow:
            uow.session.execute(delete(Account))
        assert len(statements) == 1


SLOW_COMMIT = (
    "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(5); RETURN NULL; END $$",
    "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON run_account DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION slowly()",
)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
@pytest.mark.parametrize("times", [1, 3])
def test_a_cancellation_at_commit_carries_its_outcome(
    driver: str, times: int, new_database: Callable[..., str]
) -> None:
    async def main() -> None:
        async with AsyncDatabase(new_database(driver=driver)) as db:
            await db.create_all(Own)
            async with db.engine.begin() as connection:
                for each in SLOW_COMMIT:
                    await connection.exec_driver_sql(each)

            async def write() -> None:
                async with db.begin() as uow:
                    uow.add(Account(id=1, balance=1))

            task = asyncio.create_task(write())
            committing = select(text("count(*)")).select_from(text("pg_stat_activity"))
            committing = committing.where(text("query LIKE '%; COMMIT' AND state = 'active'"))
            while not await db.one(committing):  # a read gives way to the task
                pass
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0)
            with pytest.raises(asyncio.CancelledError) as caught:
                await task
            outcome: Any = caught.value.outcome  # type: ignore[attr-defined]  # given by the unit
            assert outcome in (Committed(), Aborted())
            stored = await db.count(select(Account))
            assert (stored == 1) is (outcome == Committed())
            assert "the transaction that was being committed" in caught.value.__notes__[0]
            assert db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of a queue pool

    asyncio.run(main())


def hang_up(driver: Any) -> None:
    """Put an end that is closed, and holds no bytes, in place of the socket: poll(2) tells of a hang-up alone."""
    end, other = os.pipe()
    os.close(other)
    os.dup2(end, driver.fileno())
    os.close(end)


@pytest.mark.parametrize("moment", ["in a statement", "in the commit"])
def test_a_socket_that_closes_under_psycopg_is_a_lost_connection(moment: str, new_database: Callable[..., str]) -> None:
    attempts: list[int] = []

    with Database(new_database()) as db:
        db.create_all(Own)
        if moment == "in the commit":
            with db.engine.begin() as connection:
                for each in SLOW_COMMIT:
                    connection.exec_driver_sql(each.replace("pg_sleep(5)", "pg_sleep(0.5)"))

        def pay(uow: UnitOfWork) -> None:
            attempts.append(1)
            uow.add(Account(id=1, balance=1))
            uow.flush()
            if len(attempts) == 1:
                driver = uow.session.connection().connection.driver_connection
                threading.Thread(target=cut, args=(driver,)).start()
                if moment == "in a statement":
                    uow.session.execute(text("SELECT pg_sleep(0.5)"))

        def cut(driver: Any) -> None:
            busy = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND wait_event = 'PgSleep'")
            with db.engine.connect() as watcher:
                while not watcher.scalar(busy, {"pid": driver.info.backend_pid}):
                    watcher.rollback()
            hang_up(driver)

        db.run(pay)
        assert len(attempts) == 2  # the commit was on its way, and ended before it could be asked what became of it
        assert db.all(select(Account.id)) == [1]
        pool: Any = db.engine.pool
        assert pool.checkedout() == 0
