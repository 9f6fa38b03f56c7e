"""Section 2: one `select()` for everything, and one verb for each cardinality."""

from __future__ import annotations

from typing import Any

import pytest
from observatory import (
    HALE,
    KECK,
    M31,
    SUBARU,
    Observation,
    ObservationRow,
    Telescope,
    TelescopeCard,
)
from shells import Shell
from sqlalchemy import func, select
from sqlalchemy.exc import InvalidRequestError, MultipleResultsFound, NoResultFound

from hermetic import EntityOutsideUnit, NotFound, NotLoaded, TooManyFound

TWO = select(Telescope).where(Telescope.name.in_(["Hale", "Subaru"])).order_by(Telescope.id)
NONE = select(Telescope).where(Telescope.name == "Arecibo")
KECK_ONLY = select(Telescope).where(Telescope.id == KECK)


# the session's own words


async def test_scalars_iterates_entities(db: Any) -> None:
    async with db.begin() as uow:
        assert [telescope.name for telescope in await uow.session.scalars(TWO)] == ["Hale", "Subaru"]


async def test_execute_wraps_each_entity_in_a_row(db: Any) -> None:
    async with db.begin() as uow:
        rows = (await uow.session.execute(TWO)).all()
    assert [len(row) for row in rows] == [1, 1]


async def test_scalars_is_execute_followed_by_scalars(db: Any) -> None:
    async with db.begin() as uow:
        direct = (await uow.session.scalars(TWO)).all()
        assert direct == (await uow.session.execute(TWO)).scalars().all()


async def test_session_get_asks_the_identity_map_first(db: Any) -> None:
    async with db.begin() as uow:
        loaded = await uow.session.get(Telescope, SUBARU)
        with db.recorded() as statements:
            again = await uow.session.get(Telescope, SUBARU)
    assert (again is loaded, len(statements)) == (True, 0)


async def test_session_get_of_an_absent_key_is_none(db: Any) -> None:
    async with db.begin() as uow:
        assert await uow.session.get(Telescope, 404) is None


async def test_session_get_one_of_an_absent_key_raises(db: Any) -> None:
    async with db.begin() as uow:
        with pytest.raises(NoResultFound):
            await uow.session.get_one(Telescope, 404)


@pytest.mark.parametrize("word", ["one", "one_or_none"])
async def test_session_scalars_one_returns_the_only_entity(db: Any, word: str) -> None:
    async with db.begin() as uow:
        assert getattr(await uow.session.scalars(KECK_ONLY), word)().name == "Keck"


async def test_session_scalars_one_refuses_none(db: Any) -> None:
    async with db.begin() as uow:
        with pytest.raises(NoResultFound):
            (await uow.session.scalars(NONE)).one()


@pytest.mark.parametrize("word", ["one", "one_or_none"])
async def test_session_scalars_one_refuses_two(db: Any, word: str) -> None:
    async with db.begin() as uow:
        with pytest.raises(MultipleResultsFound):
            getattr(await uow.session.scalars(TWO), word)()


async def test_session_scalars_one_or_none_admits_none(db: Any) -> None:
    async with db.begin() as uow:
        assert (await uow.session.scalars(NONE)).one_or_none() is None


async def test_session_scalar_one_takes_the_entity_out_of_its_row(db: Any) -> None:
    async with db.begin() as uow:
        assert (await uow.session.execute(KECK_ONLY)).scalar_one().name == "Keck"


async def test_several_columns_come_as_named_rows(db: Any) -> None:
    async with db.begin() as uow:
        row = (
            await uow.session.execute(select(Telescope.name, Telescope.nickname).where(Telescope.id == SUBARU))
        ).one()
    assert (row.name, row.nickname) == ("Subaru", "Pleiades")


async def test_rows_unpack_as_tuples(db: Any) -> None:
    async with db.begin() as uow:
        found = (await uow.session.execute(select(Telescope.id, Telescope.name).order_by(Telescope.id))).all()
    assert [name for _, name in found] == ["Hale", "Subaru", "Keck"]


async def test_session_query_still_works(db: Any) -> None:
    async with db.begin() as uow:
        named = await uow.session.run_sync(
            lambda session: session.query(Telescope).filter(Telescope.nickname.is_not(None)).one()
        )
    assert named.id == SUBARU


async def test_what_query_loaded_is_guarded_like_everything_else(db: Any) -> None:
    async with db.begin() as uow:
        hale = await uow.session.run_sync(lambda session: session.query(Telescope).filter_by(id=HALE).one())
        with pytest.raises(NotLoaded, match=r"Telescope\.observations was read but not loaded"):
            hale.observations


# hermetic's words, one for each cardinality


async def test_all_returns_entities_inside_a_unit(db: Any) -> None:
    async with db.begin() as uow:
        assert [type(each) for each in await uow.all(TWO)] == [Telescope, Telescope]


async def test_all_returns_bare_values_for_one_column(db: Any) -> None:
    assert await db.all(select(Telescope.name).order_by(Telescope.id)) == ["Hale", "Subaru", "Keck"]


async def test_all_returns_rows_for_several_columns(db: Any) -> None:
    rows = await db.all(select(Observation.target, Telescope.name).join(Observation.telescope).order_by(Observation.id))
    assert [(row.target, row.name) for row in rows] == [("M31", "Hale"), ("M42", "Hale"), ("NGC 891", "Subaru")]


async def test_all_returns_shapes_with_the_same_statement(db: Any) -> None:
    assert [card.name for card in await db.all(TelescopeCard, TWO)] == ["Hale", "Subaru"]


async def test_a_unit_reads_shapes_too(db: Any) -> None:
    async with db.begin() as uow:
        assert [
            row.telescope_name for row in await uow.all(ObservationRow, select(Observation).order_by(Observation.id))
        ] == [
            "Hale",
            "Hale",
            "Subaru",
        ]


async def test_aggregates_are_values(db: Any) -> None:
    assert await db.one(select(func.count(Observation.id))) == 3


async def test_first_returns_the_first_in_order(db: Any) -> None:
    card = await db.first(TelescopeCard, select(Telescope).order_by(Telescope.name.desc()))
    assert card.name == "Subaru"


async def test_first_asks_the_server_for_one_row(db: Any) -> None:
    with db.recorded() as statements:
        await db.first(select(Telescope.name).order_by(Telescope.name))
    assert "LIMIT" in statements[0].sql


async def test_first_of_nothing_is_none(db: Any) -> None:
    assert await db.first(TelescopeCard, NONE) is None


async def test_one_returns_the_only_shape(db: Any) -> None:
    assert (await db.one(TelescopeCard, KECK_ONLY)).name == "Keck"


async def test_one_refuses_none_and_names_the_way_out(db: Any) -> None:
    with pytest.raises(NotFound, match="call one_or_none where absence is allowed"):
        await db.one(TelescopeCard, NONE)


async def test_one_refuses_two_and_names_the_way_out(db: Any) -> None:
    with pytest.raises(TooManyFound, match="filter by a unique column"):
        await db.one(TelescopeCard, TWO)


async def test_one_or_none_admits_none(db: Any) -> None:
    assert await db.one_or_none(TelescopeCard, NONE) is None


async def test_one_or_none_refuses_two(db: Any) -> None:
    with pytest.raises(TooManyFound, match="one_or_none promises at most one row"):
        await db.one_or_none(TelescopeCard, TWO)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(NotFound, NoResultFound), (TooManyFound, MultipleResultsFound), (NotLoaded, InvalidRequestError)],
)
def test_except_clauses_written_for_sqlalchemy_still_catch(ours: type, theirs: type) -> None:
    assert issubclass(ours, theirs)


async def test_get_returns_the_shape_of_a_key(db: Any) -> None:
    assert (await db.get(TelescopeCard, HALE)).observed == 2


async def test_get_of_an_absent_key_is_none(db: Any) -> None:
    assert await db.get(TelescopeCard, 404) is None


async def test_get_one_of_an_absent_key_names_get(db: Any) -> None:
    with pytest.raises(NotFound, match="call get where absence is allowed"):
        await db.get_one(TelescopeCard, 404)


async def test_get_of_an_entity_asks_the_identity_map_first(db: Any) -> None:
    async with db.begin() as uow:
        loaded = await uow.get_one(Observation, M31)
        with db.recorded() as statements:
            again = await uow.get(Observation, M31)
    assert (again is loaded, len(statements)) == (True, 0)


async def test_count_counts_rows(db: Any) -> None:
    assert await db.count(TWO) == 2


@pytest.mark.parametrize(("statement", "expected"), [(TWO, True), (NONE, False)], ids=["some", "none"])
async def test_exists_tells_whether_there_is_a_row(db: Any, statement: Any, expected: bool) -> None:
    assert await db.exists(statement) is expected


READS = {
    "all": lambda reader: reader.all(TelescopeCard, TWO),
    "one": lambda reader: reader.one(TelescopeCard, KECK_ONLY),
    "one_or_none": lambda reader: reader.one_or_none(TelescopeCard, KECK_ONLY),
    "first": lambda reader: reader.first(TelescopeCard, TWO),
    "get": lambda reader: reader.get(TelescopeCard, HALE),
    "get_one": lambda reader: reader.get_one(TelescopeCard, HALE),
    "count": lambda reader: reader.count(TWO),
    "exists": lambda reader: reader.exists(TWO),
}


@pytest.mark.parametrize("verb", READS)
async def test_each_verb_is_one_statement_outside_a_unit(db: Any, verb: str) -> None:
    with db.recorded() as statements:
        await READS[verb](db)
    assert len(statements) == 1


@pytest.mark.parametrize("verb", READS)
async def test_each_verb_is_one_statement_inside_a_unit(db: Any, verb: str) -> None:
    with db.recorded() as statements:
        async with db.begin() as uow:
            await READS[verb](uow)
    assert len(statements) == 1


async def test_entities_outside_a_unit_are_refused_with_both_ways_out(db: Any) -> None:
    with pytest.raises(EntityOutsideUnit) as refused:
        await db.all(TWO)
    assert "TelescopeCard" in str(refused.value) and "with db.begin() as uow" in str(refused.value)


async def test_a_refused_read_sends_nothing(db: Any) -> None:
    with db.recorded() as statements, pytest.raises(EntityOutsideUnit):
        await db.get(Telescope, HALE)
    assert statements == []


async def test_a_shape_of_another_model_is_refused_before_anything_is_sent(db: Any, shell: Shell) -> None:
    with db.recorded() as statements, pytest.raises(Exception, match="TelescopeCard"):
        await db.all(TelescopeCard, select(Observation))
    assert statements == []
