"""Bad input on real servers: each a clear error with the fix, early, without a password, and nothing half-written."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, make_url, select, text

from hermetic import (
    AsyncDatabase,
    CannotConnect,
    Database,
    EntityOutsideUnit,
    MissingPackage,
    MissingTable,
    Pool,
    UnknownDriver,
    ValueMismatch,
    WrongStatement,
)
from shop import Address, AddressLine, User, UserCard

DRIVERS = ("postgresql+psycopg", "postgresql+asyncpg", "mariadb+asyncmy")


def _read(url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(url) as db:
            await db.all(UserCard, select(User))

    asyncio.run(main())


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("driver", DRIVERS)
def test_an_unreachable_server_is_named_without_its_password(driver: str) -> None:
    url = f"{driver}://app:secret@127.0.0.1:{_closed_port()}/shop"
    with pytest.raises(CannotConnect, match="check host and port in the URL") as refused:
        _read(url)
    assert "secret" not in str(refused.value)
    assert "127.0.0.1" in str(refused.value)


@pytest.mark.parametrize("driver", DRIVERS)
def test_a_wrong_password_says_so(new_database: Callable[..., str], driver: str) -> None:
    url = make_url(new_database(driver.partition("+")[2])).set(password="wrong-one")
    with pytest.raises(CannotConnect, match="check user and password in the URL") as refused:
        _read(url.render_as_string(hide_password=False))
    assert "wrong-one" not in str(refused.value)


@pytest.mark.parametrize("driver", ["psycopg", "pymysql"])
def test_a_wrong_password_says_so_in_the_sync_shell(new_database: Callable[..., str], driver: str) -> None:
    with Database(make_url(new_database(driver)).set(password="wrong-one")) as db:
        with pytest.raises(CannotConnect, match="check user and password"):
            db.all(select(User.id))
        with pytest.raises(CannotConnect), db.begin() as uow:
            uow.all(select(User))


def test_a_full_database_is_not_taken_for_a_wrong_password_alone(new_database: Callable[..., str]) -> None:
    url = make_url(new_database())
    with Database(url) as db, db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE ROLE full_role LOGIN CONNECTION LIMIT 0 PASSWORD '{url.password}'")
        with (
            Database(url.set(username="full_role")) as full,
            pytest.raises(CannotConnect, match=r"too many connections[\s\S]*or what the line above names"),
        ):
            full.check()
        connection.exec_driver_sql("DROP ROLE full_role")


@pytest.mark.parametrize("driver", ["asyncpg", "asyncmy"])
def test_a_database_that_does_not_exist_is_named(new_database: Callable[..., str], driver: str) -> None:
    url = make_url(new_database(driver)).set(database="nowhere")
    with pytest.raises(CannotConnect, match=r"nowhere[\s\S]*create the database, or correct its name"):
        _read(url.render_as_string(hide_password=False))


@pytest.mark.parametrize("driver", ["pymysql", "asyncmy"])
def test_too_many_connections_name_the_setting(new_database: Callable[..., str], driver: str) -> None:
    url = make_url(new_database("pymysql"))
    user = url.database  # no other test has an account of this name
    with Database(url) as db, db.engine.connect() as connection:
        connection.execute(text(f"CREATE USER {user}@'%' IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS 1"))
        connection.execute(text(f"GRANT ALL ON {url.database}.* TO {user}@'%'"))
        try:
            mine = url.set(username=user, password="x")
            one = Pool.server(size=1, overflow=0)  # a larger one is refused before it meets the limit
            with Database(mine, pool=one) as first, first.engine.connect():
                with pytest.raises(CannotConnect, match="must stay below max_connections"):
                    if driver == "pymysql":
                        Database(mine).all(select(User.id))
                    _read(mine.set(drivername="mariadb").render_as_string(hide_password=False))
        finally:
            connection.execute(text(f"DROP USER {user}@'%'"))


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotConnect, match="create the folder of the file"):
        Database(f"sqlite:///{tmp_path}/nowhere/shop.db").all(select(User.id))


@pytest.mark.parametrize(
    ("url", "error", "text"),
    [
        ("postgres//no", UnknownDriver, "it is not of the form"),
        ("oracel://app:secret@db/shop", UnknownDriver, "SQLAlchemy knows no dialect oracel"),
        ("postgresql+asyncpg://db/shop", UnknownDriver, r"use AsyncDatabase, or the URL postgresql\+psycopg"),
        ("mariadb+asyncmy://db/shop", UnknownDriver, r"use AsyncDatabase, or the URL mariadb\+pymysql"),
        ("postgresql+pg8000://db/shop", MissingPackage, "pg8000 is not installed"),
    ],
)
def test_a_url_that_cannot_work_is_refused_when_the_database_is_made(
    url: str, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text) as refused:
        Database(url)
    assert "secret" not in str(refused.value)


def test_a_sync_driver_is_refused_by_the_async_database() -> None:
    with pytest.raises(UnknownDriver, match="pysqlite is a sync driver"):
        AsyncDatabase("sqlite+pysqlite://")


def test_a_missing_table_names_the_way_out(db: Database) -> None:
    db.drop_all(User)
    with pytest.raises(MissingTable, match=r"db.create_all\(Base\)"):
        db.all(UserCard, select(User))
    with pytest.raises(MissingTable), db.begin() as uow:
        uow.all(select(User))
    with pytest.raises(MissingTable), db.begin() as uow:
        uow.add(User(name="ann"))


def test_a_missing_table_names_the_way_out_async(async_url: str) -> None:
    with pytest.raises(MissingTable, match="user_account"):
        _read(async_url)


def test_nothing_is_half_written_when_a_later_change_fails(db: Database) -> None:
    with pytest.raises(Exception, match=r"(?i)foreign key"), db.begin() as uow:
        uow.add(User(name="ann"))
        uow.flush()
        uow.add(Address(email_address="x", user_id=404))
    assert db.count(select(User)) == 0


def test_a_null_that_the_model_denies_is_refused(db: Database) -> None:
    with db.begin() as uow:
        uow.add(User(name="ann", addresses=[Address(email_address="secret@x")]))
    with db.engine.begin() as connection:
        for change in (
            "ALTER TABLE address RENAME COLUMN email_address TO old",
            "ALTER TABLE address ADD COLUMN email_address VARCHAR(80)",
        ):
            connection.execute(text(change))
    with pytest.raises(ValueMismatch, match=r"AddressLine\.email_address reads .* is NULL") as refused:
        db.all(AddressLine, select(Address))
    assert "secret" not in str(refused.value)
    with pytest.raises(ValueMismatch, match="shape UserCard"):
        db.all(UserCard, select(User))


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        (text("SELECT 1"), "TextClause is not a select"),
        ("SELECT 1", "str is not a select"),
        (select(User.id), "it selects `id`, a value and not an entity"),
        (select(User, Address), "it selects 2 things"),
        (select(func.count(User.id)), "a value and not an entity"),
        (select(User).group_by(User.id), "it is grouped"),
        (select(Address), "it selects Address, and UserCard is a shape of User"),
    ],
)
def test_a_statement_that_cannot_be_read_as_a_shape_is_refused(db: Database, statement: object, reason: str) -> None:
    with db.recorded() as sent, pytest.raises(WrongStatement, match=reason):
        db.all(UserCard, statement)  # type: ignore[call-overload]
    assert sent == []


def test_a_stream_and_a_body_without_a_shape_are_refused_before_anything_is_sent(db: Database) -> None:
    both, entities = select(User.id, User.name), select(User)
    with db.begin() as uow, db.recorded() as sent:
        for verb, statement in itertools.product(("stream", "json", "plan"), (both, entities)):
            for reader in (db, uow):
                with pytest.raises(WrongStatement, match="no shape says what of each row") as refused:
                    getattr(reader, verb)(statement)
                assert f"{verb}(UserCard, select(User))" in str(refused.value)
    assert sent == []


def test_a_stream_and_a_body_without_a_shape_are_refused_async(async_url: str) -> None:
    both = select(User.id, User.name)

    async def main() -> None:
        async with AsyncDatabase(async_url) as other:
            read: Any = other.json
            with pytest.raises(WrongStatement, match="no shape says what of each row"):
                await read(both)
            stream: Any = other.stream
            with pytest.raises(WrongStatement, match="no shape says what of each row"):
                stream(both)

    asyncio.run(main())


def test_entities_outside_a_unit_are_refused(db: Database) -> None:
    with pytest.raises(EntityOutsideUnit, match=r"with db.begin\(\) as uow"):
        db.all(select(User))
    with pytest.raises(EntityOutsideUnit):
        db.get(User, 1)


def test_a_connection_that_died_while_idle_is_replaced_in_silence(postgres_url: str) -> None:

    with (
        Database(postgres_url, pool=Pool.server(size=1, overflow=0, ping_idle=0)) as db,
        Database(postgres_url) as other,
    ):
        pid = db.all(select(func.pg_backend_pid()))[0]
        other.all(select(func.pg_terminate_backend(pid)))
        assert db.all(select(func.pg_backend_pid()))[0] != pid
