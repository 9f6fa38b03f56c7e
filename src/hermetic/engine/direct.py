"""Fetch on the driver's own connection: one call, no cursor object, no transaction, no statement machinery.

SQLAlchemy's pool hands out the connection, so every promise about connections holds; what is left out is what
SQLAlchemy does for each statement, which costs more than a small read itself.

Source: SQLAlchemy manual, "Using the driver connection" and "AdaptedConnection.run_async".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import PoolProxiedConnection

from hermetic.engine.deadline import STATEMENT, current
from hermetic.engine.failures import explain_failure
from hermetic.engine.kinds import sqlstate
from hermetic.engine.residue import leaves_state
from hermetic.errors import HermeticError
from hermetic.shape import Fetch, Parameters, Rows, Step

Call = Callable[[Any, str, Parameters], Rows]
"""Runs one statement on a pooled connection and returns the driver's rows; nothing is left open."""

# the server stopped the statement, or had no place for it: sent again it would only wait again
_WAITED = ("57014", "55P03", "53", "40")


def _sqlite(pooled: Any, sql: str, parameters: Parameters) -> Rows:
    rows: Rows = pooled.driver_connection.execute(sql, parameters).fetchall()
    return rows


def _aiosqlite(pooled: Any, sql: str, parameters: Parameters) -> Rows:
    rows: Rows = pooled.dbapi_connection.run_async(lambda driver: driver.execute_fetchall(sql, parameters))
    return rows


def _asyncpg(pooled: Any, sql: str, parameters: Parameters) -> Rows:
    rows: Rows = pooled.dbapi_connection.run_async(lambda driver: driver.fetch(sql, *parameters))
    return rows


def _psycopg(pooled: Any, sql: str, parameters: Parameters) -> Rows:
    driver = pooled.driver_connection
    driver.autocommit = True
    rows: Rows = driver.execute(sql, parameters).fetchall()
    driver.autocommit = False  # one that failed is closed, and what it would raise here is not what happened
    return rows


def _psycopg_async(pooled: Any, sql: str, parameters: Parameters) -> Rows:
    async def read(driver: Any) -> Rows:
        await driver.set_autocommit(True)
        cursor = await driver.execute(sql, parameters)
        rows: Rows = await cursor.fetchall()
        await driver.set_autocommit(False)
        return rows

    found: Rows = pooled.dbapi_connection.run_async(read)
    return found


# by driver and by whether it is async, since psycopg has one name for both
_CALLS: dict[tuple[str, bool], Call] = {
    ("pysqlite", False): _sqlite,
    ("aiosqlite", True): _aiosqlite,
    ("asyncpg", True): _asyncpg,
    ("psycopg", False): _psycopg,
    ("psycopg", True): _psycopg_async,
}


def direct(engine: Engine, otherwise: Fetch, sent: Callable[[str], None]) -> Fetch:
    """Return what fetches on the driver, and through `otherwise` where that cannot be.

    A statement's first rows, which tell the types of its columns, go through `otherwise`. So does a statement that the
    driver refused: SQLAlchemy then says what is wrong, or, where only the connection was stale, answers. And so does
    one that may leave something in its session, which SQLAlchemy's events see.

    `sent` is told the SQL of each statement that goes to the driver, which SQLAlchemy's events do not see.
    """
    call = _CALLS.get((engine.dialect.driver, engine.dialect.is_async))
    if call is None:
        return otherwise
    run, database = call, engine.dialect.name

    def fetch(step: Step, sql: str, parameters: Parameters) -> Rows:
        if not step.is_learned or leaves_state(sql, database):
            return otherwise(step, sql, parameters)
        pooled = _taken(engine)
        if pooled is None:
            return otherwise(step, sql, parameters)
        try:
            sent(sql)
            return run(pooled, sql, parameters)
        except Exception as error:  # looked at, never renamed
            pooled.invalidate(error)
            deadline = current()
            if deadline is not None and not deadline.remaining:
                raise deadline.exceeded(STATEMENT) from error
            if (sqlstate(error) or "").startswith(_WAITED):
                failure = explain_failure(error, engine.dialect, sql)
                raise failure or OperationalError(sql, None, error, hide_parameters=True) from error
        except BaseException as error:
            pooled.invalidate(error)  # cancelled in the middle: what the connection would answer next is not known
            raise
        finally:
            pooled.close()
        return otherwise(step, sql, parameters)

    return fetch


def _taken(engine: Engine) -> PoolProxiedConnection | None:
    """Return a connection of the pool, or None where SQLAlchemy must explain why there is none."""
    try:
        return engine.raw_connection()
    except HermeticError:
        raise
    except (DBAPIError, engine.dialect.loaded_dbapi.Error):
        return None
