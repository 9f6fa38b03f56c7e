"""Pages of random orders over random rows, put together, are what plain SQLAlchemy's ORDER BY returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shelf import DISCS, Disc, Listing, ShelfBase, Song, SongLine, listings, tracks
from sqlalchemy import create_engine, delete, insert
from sqlalchemy.orm import Session

from hermetic import Database, Page

QUICK = settings(
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
    max_examples=50,
)


@pytest.fixture(scope="module", params=["sqlite3", "psycopg", "pymysql"])
def shelf(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: Callable[..., str]
) -> Iterator[tuple[Database, Session]]:
    """A database under test and a plain session on the same rows."""
    if request.param == "sqlite3":
        file: Path = tmp_path_factory.mktemp("shelf") / "tracks.db"
        url = f"sqlite:///{file}"
    else:
        url = new_database(driver=request.param)
    engine = create_engine(url)
    ShelfBase.metadata.create_all(engine)
    with Database(url) as db, Session(engine) as session:
        session.execute(insert(Disc), DISCS)
        session.commit()
        yield db, session
    engine.dispose()


def _replace(session: Session, rows: list[dict[str, Any]]) -> None:
    session.execute(delete(Song))
    if rows:
        session.execute(insert(Song), rows)
    session.commit()


def _listing(data: st.DataObject, db: Database) -> Listing:
    return data.draw(listings(has_nulls_syntax=db.engine.dialect.name in ("postgresql", "sqlite")))


def _expected(session: Session, listing: Listing) -> list[int]:
    found = list(session.scalars(listing.oracle()))
    session.commit()
    return found


def _forward(db: Database, listing: Listing, limit: int, between: Callable[[], None] = lambda: None) -> list[Any]:
    pages: list[Page[SongLine]] = []
    token: str | None = None
    while token is not None or not pages:
        with db.recorded() as sent:
            pages.append(db.page(SongLine, listing.chosen(), after=token, limit=limit))
        assert len(sent) == 1
        token = pages[-1].next
        between()
    return pages


def _backward(db: Database, listing: Listing, limit: int, token: str | None) -> list[Any]:
    pages: list[Page[SongLine]] = []
    while token is not None:
        pages.insert(0, db.page(SongLine, listing.chosen(), after=token, limit=limit))
        token = pages[0].previous
    return pages


def _ids(pages: list[Page[SongLine]]) -> list[int]:
    return [line.id for page in pages for line in page]


@QUICK
@given(data=st.data())
def test_pages_forward_and_backward_are_the_whole_list(shelf: tuple[Database, Session], data: st.DataObject) -> None:
    db, session = shelf
    _replace(session, data.draw(tracks()))
    listing, limit = _listing(data, db), data.draw(st.integers(1, 5))
    expected = _expected(session, listing)
    pages = _forward(db, listing, limit)
    assert _ids(pages) == expected
    assert [len(page) for page in pages[:-1]] == [limit] * (len(pages) - 1)
    assert pages[0].previous is None
    before = _backward(db, listing, limit, pages[-1].previous)
    assert _ids([*before, pages[-1]]) == expected
    for page in before:
        assert page.next is not None
        assert _ids([db.page(SongLine, listing.chosen(), after=page.next, limit=1)]) == [
            expected[expected.index(page.items[-1].id) + 1]
        ]


@QUICK
@given(data=st.data())
def test_rows_that_stay_come_once_whatever_else_comes_and_goes(
    shelf: tuple[Database, Session], data: st.DataObject
) -> None:
    db, session = shelf
    staying, going = data.draw(tracks(most=8)), data.draw(tracks(first=100, most=5))
    _replace(session, [*staying, *going])
    coming = data.draw(tracks(first=200, most=5))
    listing, limit = _listing(data, db), data.draw(st.integers(1, 4))

    def between() -> None:
        if coming:
            session.execute(insert(Song), [coming.pop()])
        if going:
            session.execute(delete(Song).where(Song.id == going.pop()["id"]))
        session.commit()

    pages = _forward(db, listing, limit, between)
    stayed = {row["id"] for row in staying}
    whole = [each for each in _ids(pages) if each in stayed]
    assert whole == [each for each in _expected(session, listing) if each in stayed]
    back = _backward(db, listing, limit, pages[-1].previous)
    assert [each for each in _ids([*back, pages[-1]]) if each in stayed] == whole
