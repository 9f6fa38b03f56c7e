"""Random shapes over random rows are the graph that plain SQLAlchemy loads, whatever the strategy."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requires
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shapes_support import (
    MISSING,
    MODELS,
    Library,
    Nulls,
    every_strategy,
    libraries,
    plain,
    replace_rows,
    shapes,
    statements,
)
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from hermetic import AsyncDatabase, Database, TooDeep

SYNC_TWIN = {"aiosqlite": "sqlite3", "psycopg_async": "psycopg", "asyncpg": "psycopg", "asyncmy": "pymysql"}
QUICK = settings(
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.fixture(scope="module")
def url_of(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[..., str]) -> Callable[[str], str]:
    """Return the URL for a driver; the drivers of one server share a database."""
    file: Path = tmp_path_factory.mktemp("graph") / "library.db"
    sqlite = {"sqlite3": f"sqlite:///{file}", "aiosqlite": f"sqlite+aiosqlite:///{file}"}
    server = functools.cache(new_database)

    def find(driver: str) -> str:
        if driver in sqlite:
            return sqlite[driver]
        first, dialect = ("pymysql", "mariadb") if driver in ("pymysql", "asyncmy") else ("psycopg", "postgresql")
        return server(first).replace(f"{dialect}+{first}", f"{dialect}+{driver}")

    return find


@pytest.fixture(scope="module", params=["sqlite3", "psycopg", "pymysql"])
def stock(request: pytest.FixtureRequest, url_of: Callable[[str], str]) -> Iterator[tuple[Database, Session]]:
    """A database under test and a plain session on the same rows."""
    engine = create_engine(url_of(request.param))
    Library.metadata.create_all(engine)
    with Database(url_of(request.param)) as db, Session(engine) as session:
        yield db, session
    engine.dispose()


def unread(expected: Any, found: Any) -> Any:
    """Return `expected` with None for each list that a depth leaves out; what a depth leaves out of to-one is UNSET."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: unread(value, found.get(name)) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(found, list):
        return [unread(a, b) for a, b in zip(expected, found, strict=False)] + expected[len(found) :]
    return None if expected == MISSING and found is None else expected


def draw_case(data: Any, dialect: str) -> tuple[Any, Callable[[], Any]]:
    model = data.draw(st.sampled_from(MODELS))
    nulls = Nulls(requires.has(dialect, "large nulls"), requires.has(dialect, "placed nulls"))
    return data.draw(shapes(model, 4, nulls)), data.draw(statements(model, nulls))


@pytest.mark.timeout(400)  # some thousand statements, each compiled; a slow machine takes minutes
@settings(QUICK, max_examples=14)
@given(data=st.data())
def test_random_shape_is_the_graph_of_plain_sqlalchemy_read_by_every_strategy(
    stock: tuple[Database, Session], data: Any
) -> None:
    db, session = stock
    replace_rows(session, data.draw(libraries()))
    for _ in range(3):
        drawn, statement = draw_case(data, db.engine.dialect.name)
        expected = [drawn.walk(entity) for entity in session.scalars(statement())]
        try:
            with db.recorded() as sent:
                found = [plain(each) for each in db.all(drawn.shape, statement())]
        except TooDeep:
            assert not requires.has(db.engine.dialect.name, "deep nesting")
            continue
        assert found == unread(expected, found), drawn.text
        assert len(sent) == db.plan(drawn.shape, statement()).statements
        for asked in every_strategy(db, drawn.shape, statement()):
            with db.recorded() as sent:
                again = [plain(each) for each in db.all(drawn.shape, asked)]
            plan = db.plan(drawn.shape, asked)
            assert again == found, f"{plan.strategy}: {drawn.text}"
            assert len(sent) == plan.statements
        plans = len(db._autocommit.plans)
        assert [plain(each) for each in db.all(drawn.shape, statement())] == found
        assert len(db._autocommit.plans) == plans, "the same statement was compiled again"
    session.rollback()
    session.expunge_all()


@pytest.mark.timeout(400)
@settings(QUICK, max_examples=12)
@given(data=st.data())
@pytest.mark.parametrize("driver", ["aiosqlite", "psycopg_async", "asyncpg", "asyncmy"])
def test_async_drivers_read_the_same_graph(url_of: Callable[[str], str], driver: str, data: Any) -> None:
    engine = create_engine(url_of(SYNC_TWIN[driver]), poolclass=NullPool)
    Library.metadata.create_all(engine)
    cases = [draw_case(data, engine.dialect.name) for _ in range(4)]

    async def read() -> None:
        async with AsyncDatabase(url_of(driver)) as db:
            for drawn, statement in cases:
                expected = [drawn.walk(entity) for entity in session.scalars(statement())]
                try:
                    with db.recorded() as sent:
                        found = [plain(each) for each in await db.all(drawn.shape, statement())]
                except TooDeep:
                    assert not requires.has(engine.dialect.name, "deep nesting")
                    continue
                assert found == unread(expected, found), drawn.text
                assert len(sent) == db.plan(drawn.shape, statement()).statements
                for asked in every_strategy(db, drawn.shape, statement()):
                    again = [plain(each) for each in await db.all(drawn.shape, asked)]
                    assert again == found, f"{db.plan(drawn.shape, asked).strategy}: {drawn.text}"

    with Session(engine) as session:
        replace_rows(session, data.draw(libraries()))
        asyncio.run(read())
    engine.dispose()
