"""Random shapes over random rows are the graph that plain SQLAlchemy loads, in one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shapes_support import MISSING, MODELS, Library, libraries, plain, replace_rows, shapes, statements
from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from hermetic import AsyncDatabase, Database, TooDeep

QUICK = settings(
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)


@pytest.fixture(scope="module")
def urls(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[..., str]) -> dict[str, str]:
    file: Path = tmp_path_factory.mktemp("graph") / "library.db"
    server = new_database()
    return {
        "sqlite3": f"sqlite:///{file}",
        "aiosqlite": f"sqlite+aiosqlite:///{file}",
        "psycopg": server,
        "psycopg_async": server,
        "asyncpg": server.replace("+psycopg", "+asyncpg"),
    }


@pytest.fixture(scope="module", params=["sqlite3", "psycopg"])
def stock(request: pytest.FixtureRequest, urls: dict[str, str]) -> Iterator[tuple[Database, Session]]:
    """A database under test and a plain session on the same rows."""
    engine = create_engine(urls[request.param])
    Library.metadata.create_all(engine)
    with Database(urls[request.param]) as db, Session(engine) as session:
        yield db, session
    engine.dispose()


def unread(expected: Any, found: Any) -> Any:
    """Return `expected` with None for each list that a depth leaves out; what a depth leaves out of to-one is UNSET."""
    if isinstance(expected, dict) and isinstance(found, dict):
        return {name: unread(value, found.get(name)) for name, value in expected.items()}
    if isinstance(expected, list) and isinstance(found, list):
        return [unread(a, b) for a, b in zip(expected, found, strict=False)] + expected[len(found) :]
    return None if expected == MISSING and found is None else expected


def draw_case(data: Any, *, are_nulls_large: bool) -> tuple[Any, Callable[[], Any]]:
    model = data.draw(st.sampled_from(MODELS))
    return data.draw(shapes(model, 4, are_nulls_large=are_nulls_large)), data.draw(statements(model))


@settings(QUICK, max_examples=100)
@given(data=st.data())
def test_random_shape_is_the_graph_of_plain_sqlalchemy_in_one_statement(
    stock: tuple[Database, Session], data: Any
) -> None:
    db, session = stock
    replace_rows(session, data.draw(libraries()))
    for _ in range(3):
        drawn, statement = draw_case(data, are_nulls_large=db.engine.dialect.name == "postgresql")
        expected = [drawn.walk(entity) for entity in session.scalars(statement())]
        try:
            with db.recorded() as sent:
                found = [plain(each) for each in db.all(drawn.shape, statement())]
        except TooDeep:
            assert db.engine.dialect.name == "sqlite"
            continue
        assert found == unread(expected, found), drawn.text
        assert len(sent) == 1
        plans = len(db._autocommit.plans)
        assert [plain(each) for each in db.all(drawn.shape, statement())] == found
        assert len(db._autocommit.plans) == plans, "the same statement was compiled again"
    session.rollback()
    session.expunge_all()


@settings(QUICK, max_examples=12)
@given(data=st.data())
@pytest.mark.parametrize("driver", ["aiosqlite", "psycopg_async", "asyncpg"])
def test_async_drivers_read_the_same_graph(urls: dict[str, str], driver: str, data: Any) -> None:
    engine = create_engine(urls["sqlite3" if driver == "aiosqlite" else "psycopg"], poolclass=NullPool)
    Library.metadata.create_all(engine)
    cases = [draw_case(data, are_nulls_large=driver != "aiosqlite") for _ in range(4)]

    async def read() -> None:
        async with AsyncDatabase(urls[driver]) as db:
            for drawn, statement in cases:
                expected = [drawn.walk(entity) for entity in session.scalars(statement())]
                try:
                    with db.recorded() as sent:
                        found = [plain(each) for each in await db.all(drawn.shape, statement())]
                except TooDeep:
                    assert driver == "aiosqlite"
                    continue
                assert found == unread(expected, found), drawn.text
                assert len(sent) == 1

    with Session(engine) as session:
        replace_rows(session, data.draw(libraries()))
        asyncio.run(read())
    engine.dispose()
