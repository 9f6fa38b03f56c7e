"""MariaDB: what is cut is never returned, a read is one round trip, and its own types come back exactly."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import ForeignKey, Select, Text, event, select, text
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, Database, Pool, Shape, TruncatedAggregate, many

QUICK = settings(
    deadline=None, database=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck)
)
ONE = Pool.server(size=1, overflow=0)


class Plain(DeclarativeBase):
    """Plain: none of hermetic's conventions."""


class Album(Plain):
    __tablename__ = "album"
    id: Mapped[int] = mapped_column(primary_key=True)
    tracks: Mapped[list[Track]] = relationship(order_by="Track.id", back_populates="album")


class Track(Plain):
    __tablename__ = "track"
    id: Mapped[int] = mapped_column(primary_key=True)
    album_id: Mapped[int] = mapped_column(ForeignKey("album.id"))
    title: Mapped[str] = mapped_column(Text(2**31))
    plays: Mapped[int]
    album: Mapped[Album] = relationship(back_populates="tracks")
    moments: Mapped[list[Moment]] = relationship(order_by="Moment.id")


class Moment(Plain):
    __tablename__ = "moment"
    id: Mapped[int] = mapped_column(primary_key=True)
    track_id: Mapped[int] = mapped_column(ForeignKey("track.id"))
    second: Mapped[int]


class Owner(Plain):
    __tablename__ = "owner"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(mysql.BIGINT(unsigned=True), unique=True)
    pets: Mapped[list[Pet]] = relationship(order_by="Pet.id", foreign_keys="Pet.owner_id")
    twins: Mapped[list[Pet]] = relationship(order_by="Pet.id", foreign_keys="Pet.number", viewonly=True)


class Pet(Plain):
    __tablename__ = "pet"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("owner.id"), index=True)
    number: Mapped[int] = mapped_column(mysql.BIGINT(unsigned=True), ForeignKey("owner.number"), index=True)


class MomentLine(Shape[Moment]):
    second: int


class TrackLine(Shape[Track]):
    plays: int
    title: str
    moments: list[MomentLine]


class AlbumCard(Shape[Album]):
    id: int
    tracks: list[TrackLine]
    newest: Annotated[list[TrackLine], many(Album.tracks, order_by=Track.id.desc(), limit=2)]


class TrackTitle(Shape[Track]):
    title: str


@pytest.fixture(scope="module")
def url(new_database: Callable[..., str]) -> str:
    made = new_database("pymysql")
    with Database(made) as db:
        db.create_all(Plain)
    return made


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    """A database of one connection, with the tables of `Plain`, empty."""
    with Database(url, pool=ONE) as made:
        _empty(made)
        yield made


def _empty(db: Database) -> None:
    with db.begin() as uow:
        for table in reversed(Plain.metadata.sorted_tables):
            uow.session.execute(table.delete())


def _async_url(url: str) -> str:
    return url.replace("+pymysql", "+asyncmy")


def _questions(db: Database) -> int:
    name, status = text("variable_name = 'Questions'"), text("information_schema.session_status")
    return int(db.all(select(text("variable_value")).select_from(status).where(name))[0])


def _fill(db: Database, tracks: list[tuple[str, int, list[int]]]) -> None:
    with db.begin() as uow:
        uow.add(
            Album(
                id=1,
                tracks=[
                    Track(id=number, title=title, plays=plays, moments=[Moment(second=second) for second in seconds])
                    for number, (title, plays, seconds) in enumerate(tracks, 1)
                ],
            )
        )


# round trips


def test_a_read_is_one_round_trip_and_a_unit_adds_begin_and_commit(db: Database) -> None:
    _fill(db, [("one", 1, [])])
    before = _questions(db)
    db.all(AlbumCard, select(Album))
    after_read = _questions(db)
    with db.begin() as uow:
        uow.all(AlbumCard, select(Album))
    assert (after_read - before, _questions(db) - after_read) == (2, 4)  # 1 of each is the question itself


def test_a_read_of_several_statements_is_one_transaction_and_writes_nothing(db: Database, url: str) -> None:
    _fill(db, [("one", 1, [])])
    statement = select(Album).execution_options(hermetic_strategy="per_level")
    plan = db.plan(AlbumCard, statement)
    before = _questions(db)
    with db.recorded() as sent:
        db.all(AlbumCard, statement)
    assert len(sent) == plan.statements > 1
    # SET TRANSACTION, START TRANSACTION and COMMIT, and the question itself
    assert _questions(db) - before == plan.statements + 4


def test_a_snapshot_holds_for_the_next_transaction_only(db: Database) -> None:
    _fill(db, [("one", 1, [])])
    db.all(AlbumCard, select(Album).execution_options(hermetic_strategy="per_level"))
    assert db.all(select(text("@@tx_isolation"), text("@@tx_read_only")))[0] == ("REPEATABLE-READ", 0)
    with db.begin() as uow:
        uow.add(Album(id=2))
    assert db.count(select(Album)) == 2


def test_several_statements_see_one_snapshot_where_the_server_would_show_each_other_rows(url: str) -> None:
    statement = select(Album).execution_options(hermetic_strategy="per_level")
    with Database(url, pool=ONE) as db, Database(url) as writer:
        _empty(writer)
        _fill(writer, [("one", 1, [])])
        with db.engine.connect() as connection:  # as a server is configured where transactions re-read
            connection.execute(text("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"))
        writes = iter([True])

        def write(*_: Any) -> None:
            if next(writes, False):
                with writer.begin() as uow:
                    uow.session.execute(text("UPDATE track SET plays = 2"))

        event.listen(db.engine, "after_cursor_execute", write)  # behind the statement that finds the roots
        found = db.all(AlbumCard, statement)
        assert next(writes, None) is None
    assert [track.plays for track in found[0].tracks] == [1]


def test_uuids_and_unsigned_numbers_are_keys_of_a_read_by_levels(db: Database) -> None:
    ids = [uuid.UUID(int=1), uuid.UUID(int=2**128 - 1)]
    with db.begin() as uow:
        uow.session.execute(Owner.__table__.delete())
        uow.add_all([Owner(id=each, number=2**64 - 1 - n) for n, each in enumerate(ids)])
        uow.flush()
        uow.add_all([Pet(id=n, owner_id=ids[n % 2], number=2**64 - 1 - n % 2) for n in range(1, 5)])

    class PetLine(Shape[Pet]):
        id: int

    class OwnerCard(Shape[Owner]):
        id: uuid.UUID
        pets: list[PetLine]
        twins: list[PetLine]

    expected = [(ids[0], [2, 4], [2, 4]), (ids[1], [1, 3], [1, 3])]
    for strategy in ("correlated", "set_based", "per_level"):
        statement = select(Owner).order_by(Owner.id).execution_options(hermetic_strategy=strategy)
        found = db.all(OwnerCard, statement)
        assert [(each.id, [p.id for p in each.pets], [p.id for p in each.twins]) for each in found] == expected


def test_an_async_read_is_one_round_trip(db: Database, url: str) -> None:
    async def main() -> tuple[int, int]:
        async with AsyncDatabase(_async_url(url), pool=ONE) as other:

            async def questions() -> int:
                name, status = text("variable_name = 'Questions'"), text("information_schema.session_status")
                return int((await other.all(select(text("variable_value")).select_from(status).where(name)))[0])

            before = await questions()
            await other.all(AlbumCard, select(Album))
            return before, await questions()

    _fill(db, [("one", 1, [])])
    before, after = asyncio.run(main())
    assert after - before == 2  # 1 is the question itself


def test_what_a_failed_unit_began_is_rolled_back_before_the_connection_is_used_again(db: Database) -> None:
    _fill(db, [("one", 1, [])])
    with pytest.raises(ZeroDivisionError), db.begin() as uow:
        uow.session.execute(text("DELETE FROM track"))
        _ = 1 / 0
    with db.engine.connect() as connection:  # closed without a commit
        connection.execute(text("DELETE FROM track"))
    assert db.count(select(Track)) == 1


def test_an_isolation_level_ends_with_the_connection_that_set_it(db: Database) -> None:
    level = text("@@tx_isolation")
    with db.engine.connect().execution_options(isolation_level="READ COMMITTED") as connection:
        assert connection.scalar(select(level)) == "READ-COMMITTED"
    assert db.all(select(level)) == ["REPEATABLE-READ"]
    with db.begin() as uow:
        assert uow.all(select(level)) == ["REPEATABLE-READ"]


def test_a_connection_is_strict_in_utc_and_of_utf8(url: str) -> None:
    names = "@@time_zone, @@group_concat_max_len, @@max_error_count, @@character_set_client, @@character_set_results"
    with Database(f"{url}?charset=latin1") as db:
        assert tuple(db.all(select(*(text(name) for name in names.split(", "))))[0]) == (
            "+00:00",
            1 << 30,
            65535,
            "utf8mb4",
            "utf8mb4",
        )
        assert "STRICT_ALL_TABLES" in db.all(select(text("@@sql_mode")))[0]


# what is cut

TITLES = st.text(st.sampled_from('ab"\\[],é💣'), max_size=6)
TRACKS = st.lists(st.tuples(TITLES, st.integers(0, 10**9), st.lists(st.integers(0, 10**9), max_size=4)), max_size=5)


def _expected(tracks: list[tuple[str, int, list[int]]]) -> list[AlbumCard]:
    lines = [
        TrackLine(plays=plays, title=title, moments=[MomentLine(second=second) for second in seconds])
        for title, plays, seconds in tracks
    ]
    return [AlbumCard(id=1, tracks=lines, newest=lines[::-1][:2])]


def _squeezed(limit: int, kept: int) -> str:
    return f"SET SESSION group_concat_max_len = {limit}, max_error_count = {kept}"


def _read(db: Database, squeeze: str, statement: Select[Album]) -> list[AlbumCard] | None:
    with db.begin() as uow:
        uow.session.execute(text(squeeze))
        try:
            return uow.all(AlbumCard, statement)
        except TruncatedAggregate:
            assert uow.all(select(Album.id)) == [1]  # the unit goes on
            return None


async def _read_async(url: str, squeezes: list[str], statement: Select[Album]) -> list[list[AlbumCard] | None]:
    async with AsyncDatabase(_async_url(url), pool=Pool.serverless()) as db:
        return [await _read_squeezed(db, squeeze, statement) for squeeze in squeezes]


async def _read_squeezed(db: AsyncDatabase, squeeze: str, statement: Select[Album]) -> list[AlbumCard] | None:
    async with db.begin() as uow:
        await uow.session.execute(text(squeeze))
        try:
            return await uow.all(AlbumCard, statement)
        except TruncatedAggregate:
            assert await uow.all(select(Album.id)) == [1]
            return None


@settings(QUICK, max_examples=60)
@given(
    tracks=TRACKS,
    limit=st.integers(4, 400),
    kept=st.sampled_from([0, 1, 64]),
    strategy=st.sampled_from(["correlated", "set_based"]),
    is_async=st.booleans(),
)
def test_a_collection_is_whole_or_refused(
    url: str, tracks: list[tuple[str, int, list[int]]], limit: int, kept: int, strategy: str, is_async: bool
) -> None:
    squeeze, asked = _squeezed(limit, kept), select(Album).execution_options(hermetic_strategy=strategy)
    with Database(url, pool=Pool.serverless()) as db:
        _empty(db)
        _fill(db, tracks)
        found = asyncio.run(_read_async(url, [squeeze], asked))[0] if is_async else _read(db, squeeze, asked)
    whole = _expected(tracks)
    assert found in (None, whole)
    if limit > len(msgspec.json.encode(whole)):  # which is longer than the arrays that the server makes
        assert found == whole


@pytest.mark.parametrize(("title", "is_async"), [("x", False), ("💣é", True)])
def test_an_array_is_whole_or_refused_at_every_length(url: str, title: str, is_async: bool) -> None:
    tracks = [(title, number, [number]) for number in range(2)]
    asked, whole = select(Album).execution_options(hermetic_strategy="set_based"), _expected(tracks)
    # one of the lengths is that of an array without its last bracket, of which MariaDB does not warn
    squeezes = [_squeezed(limit, 64) for limit in range(4, len(msgspec.json.encode(whole)) + 1)]
    with Database(url, pool=Pool.serverless()) as db:
        _empty(db)
        _fill(db, tracks)
        found = (
            asyncio.run(_read_async(url, squeezes, asked))
            if is_async
            else [_read(db, each, asked) for each in squeezes]
        )
    assert found[0] is None
    assert found[-1] == whole
    assert all(each in (None, whole) for each in found)


def test_a_cut_among_many_other_warnings_is_found(db: Database) -> None:
    _fill(db, [(f"title {number}", number, []) for number in range(100)])
    # a text is no number: the server warns once for each row, and would keep 64 of its warnings
    noisy = select(Album).where(Album.id.in_(select(Track.album_id).where(Track.title == text("0"))))
    with db.begin() as uow:
        uow.session.execute(text("SET SESSION group_concat_max_len = 100"))
        with pytest.raises(TruncatedAggregate, match=r"was cut by JSON_ARRAYAGG[\s\S]*= 100 bytes"):
            uow.all(AlbumCard, noisy)


def test_a_graph_larger_than_the_servers_packet_is_refused(db: Database) -> None:
    _fill(db, [(str(number) * 6_000_000, number, []) for number in range(3)])
    with pytest.raises(TruncatedAggregate, match="max_allowed_packet = 16777216"):
        db.all(AlbumCard, select(Album))
    assert [len(each.title) for each in db.all(TrackTitle, select(Track))] == [6_000_000] * 3


def test_warnings_of_a_statement_stay_out_of_the_log(url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with AsyncDatabase(_async_url(url)) as db:
            await db.all(select(text("CAST('secret' AS INTEGER)")))

    with caplog.at_level(logging.DEBUG, "asyncmy"):
        asyncio.run(main())
    assert "secret" not in caplog.text
