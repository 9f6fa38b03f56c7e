"""Make SQLite behave as the models say: foreign keys enforced, real transactions, the functions that shapes use."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, event

from hermetic.engine.borrow import is_autocommit, unbroken
from hermetic.engine.transaction import TERMS, Terms
from hermetic.query import register_list_function
from hermetic.shape import TABLES, register_functions


def is_memory(url: URL) -> bool:
    """Return whether the URL names an SQLite database in memory."""
    if url.get_backend_name() != "sqlite":
        return False
    return (
        not url.database or url.database == ":memory:" or "mode=memory" in str(url.query) or ":memory:" in url.database
    )


def prepare_sqlite(engine: Engine) -> None:
    """Prepare each new connection, and begin transactions where they are said to begin.

    Source: SQLAlchemy manual, "SQLite: Foreign Key Support" and "Enabling Non-Legacy SQLite Transactional Modes".
    """

    def connected(connection: Any, record: Any) -> None:
        register_functions(connection)
        register_list_function(connection)
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    def begun(connection: Connection) -> None:
        # the driver alone would begin at the first write, and a savepoint or a read before it would stand outside
        if not is_autocommit(connection):
            # on the driver's cursor, as every other driver begins: it is no statement of the application
            cursor = connection.connection.cursor()
            terms: Terms | None = connection.get_execution_options().get(TERMS)
            cursor.execute("BEGIN IMMEDIATE" if terms is not None and terms.is_immediate else "BEGIN")
            cursor.close()

    def returned(connection: Any, record: Any, state: Any) -> None:
        # a COMMIT that fails on a deferred constraint leaves the transaction open, and SQLAlchemy, which counts it as
        # over once COMMIT was tried, would hand it to the next borrower
        driver = getattr(connection, "driver_connection", connection)  # None once the connection is being closed
        if driver is not None and state.asyncio_safe and driver.in_transaction:
            connection.rollback()

    def executing(cursor: Any, sql: str, parameters: Any, context: Any) -> bool:
        # aiosqlite goes on with a statement whose caller is cancelled, and nobody closes its cursor, which keeps the
        # lock on the file even behind the close of its connection
        unbroken(context.root_connection, lambda: cursor.execute(sql, parameters))
        return True

    event.listen(engine, "connect", connected)
    if engine.dialect.is_async:
        event.listen(engine, "do_execute", executing)
    event.listen(engine, "reset", returned)
    event.listen(engine, "begin", begun)


@contextmanager
def without_waiting(connection: Connection, *, when: bool) -> Generator[None]:
    """Let what is locked be an error at once, where that is asked for; the time to wait is put back afterwards."""
    options = {TABLES: frozenset[str]()}  # a read of ours
    wait: int = connection.exec_driver_sql("PRAGMA busy_timeout", execution_options=options).scalar_one() if when else 0
    if when:
        connection.exec_driver_sql("PRAGMA busy_timeout = 0", execution_options=options)
    try:
        yield
    finally:
        if when:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {wait}", execution_options=options)
