"""Section 4: every loader strategy on the session of a unit, and why a shape needs none of them."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
from observatory import (
    HALE,
    M31,
    NGC891,
    LegacyTelescope,
    Observation,
    ObservationRow,
    Telescope,
    TelescopeCard,
)
from shells import Shell, only_async, only_sync
from sqlalchemy import BigInteger, ForeignKey, MetaData, String, insert, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import (
    joinedload,
    lazyload,
    mapped_column,
    raiseload,
    relationship,
    selectinload,
    subqueryload,
)

from hermetic import Base, NotLoaded

TELESCOPES = select(Telescope).order_by(Telescope.id)
OBSERVATIONS = select(Observation).order_by(Observation.id)
BY_TELESCOPE = [["M31", "M42"], ["NGC 891"], []]
OWNERS = ["Hale", "Hale", "Subaru"]


async def make_hundred(db: Any) -> None:
    """Bring the number of telescopes to 100."""
    async with db.begin() as uow:
        await uow.session.execute(insert(Telescope), [{"name": f"Dish {number}"} for number in range(97)])


def targets(telescopes: Any) -> list[list[str]]:
    return [sorted(each.target for each in telescope.observations) for telescope in telescopes]


# what N+1 is, and what a shape makes of it


async def test_a_plain_session_sends_101_statements_for_100_parents(shell: Shell, db: Any) -> None:
    await make_hundred(db)

    def touch_all(session: Any) -> list[list[str]]:
        return targets(session.scalars(TELESCOPES))

    async with shell.plain_session(db) as session:
        with db.recorded() as statements:
            await session.run_sync(touch_all)
    assert len(statements) == 101


async def test_a_shape_sends_one_statement_for_100_parents(db: Any) -> None:
    await make_hundred(db)
    with db.recorded() as statements:
        cards = await db.all(TelescopeCard, TELESCOPES)
    assert (len(cards), len(statements)) == (100, 1)


async def test_a_shape_reads_children_and_their_children_in_that_statement(db: Any) -> None:
    with db.recorded() as statements:
        cards = await db.all(TelescopeCard, TELESCOPES)
    words = [sorted(word.word for line in card.observations for word in line.keywords) for card in cards]
    assert (words, len(statements)) == ([["galaxy", "nebula"], ["galaxy"], []], 1)


async def test_a_shape_hops_to_its_parent_in_that_statement(db: Any) -> None:
    with db.recorded() as statements:
        rows = await db.all(ObservationRow, OBSERVATIONS)
    assert ([row.telescope_name for row in rows], len(statements)) == (OWNERS, 1)


async def test_reading_a_shape_to_its_leaves_sends_nothing(db: Any) -> None:
    cards = await db.all(TelescopeCard, TELESCOPES)
    with db.recorded() as statements:
        assert targets(cards) == BY_TELESCOPE
    assert statements == []


async def test_a_shape_has_no_attribute_that_could_load(db: Any) -> None:
    card = await db.get(TelescopeCard, HALE)
    with pytest.raises(AttributeError):
        card.observations[0].telescope


async def test_the_plan_of_a_shape_tells_its_statement_count_without_running(db: Any) -> None:
    with db.recorded() as statements:
        plan = db.plan(TelescopeCard, TELESCOPES)
    assert "1 statement" in str(plan) and statements == []


async def test_a_shape_equals_the_objects_of_a_plain_session(shell: Shell, db: Any) -> None:
    async with shell.plain_session(db) as session:
        loaded = list(await session.scalars(TELESCOPES.options(selectinload(Telescope.observations))))
        expected = [(each.id, each.name, each.nickname, targets([each])) for each in loaded]
    cards = await db.all(TelescopeCard, TELESCOPES)
    assert [(card.id, card.name, card.nickname, targets([card])) for card in cards] == expected


# selectinload


async def test_selectinload_costs_one_more_statement_for_all_parents(db: Any) -> None:
    await make_hundred(db)
    with db.recorded() as statements:
        async with db.begin() as uow:
            targets(await uow.session.scalars(TELESCOPES.options(selectinload(Telescope.observations))))
    assert len(statements) == 2


async def test_selectinload_fills_a_one_to_many(db: Any) -> None:
    async with db.begin() as uow:
        found = await uow.session.scalars(TELESCOPES.options(selectinload(Telescope.observations)))
        assert targets(found) == BY_TELESCOPE


async def test_selectinload_fills_a_many_to_many(db: Any) -> None:
    async with db.begin() as uow:
        found = (await uow.session.scalars(OBSERVATIONS.options(selectinload(Observation.keywords)))).all()
        assert [[each.word for each in observation.keywords] for observation in found] == [
            ["galaxy"],
            ["nebula"],
            ["galaxy"],
        ]


async def test_selectinload_through_two_levels_costs_one_statement_for_each(db: Any) -> None:
    options = selectinload(Telescope.observations).selectinload(Observation.keywords)
    async with db.begin() as uow:
        with db.recorded() as statements:
            found = (await uow.session.scalars(TELESCOPES.options(options))).all()
            words = [word.word for each in found for line in each.observations for word in line.keywords]
    assert (sorted(words), len(statements)) == (["galaxy", "galaxy", "nebula"], 3)


async def test_the_verbs_take_loader_options_too(db: Any) -> None:
    async with db.begin() as uow:
        assert targets(await uow.all(TELESCOPES.options(selectinload(Telescope.observations)))) == BY_TELESCOPE


async def test_an_eager_loaded_collection_is_readable_after_the_block(db: Any) -> None:
    async with db.begin() as uow:
        found = await uow.all(TELESCOPES.options(selectinload(Telescope.observations)))
    assert targets(found) == BY_TELESCOPE


# joinedload


async def test_joinedload_fills_a_many_to_one_in_the_same_statement(db: Any) -> None:
    async with db.begin() as uow:
        with db.recorded() as statements:
            found = (await uow.session.scalars(OBSERVATIONS.options(joinedload(Observation.telescope)))).all()
            owners = [observation.telescope.name for observation in found]
    assert (owners, len(statements)) == (OWNERS, 1)


async def test_joinedload_of_a_collection_demands_unique(db: Any) -> None:
    async with db.begin() as uow:
        result = await uow.session.execute(TELESCOPES.options(joinedload(Telescope.observations)))
        with pytest.raises(InvalidRequestError, match=r"unique\(\)"):
            result.scalars().all()


async def test_joinedload_of_a_collection_with_unique_repeats_no_parent(db: Any) -> None:
    async with db.begin() as uow:
        result = await uow.session.execute(TELESCOPES.options(joinedload(Telescope.observations)))
        found = result.scalars().unique().all()
        assert targets(found) == BY_TELESCOPE


async def test_joinedload_of_a_collection_needs_no_unique_with_a_verb(db: Any) -> None:
    async with db.begin() as uow:
        assert targets(await uow.all(TELESCOPES.options(joinedload(Telescope.observations)))) == BY_TELESCOPE


async def test_joinedload_of_a_collection_is_one_statement(db: Any) -> None:
    async with db.begin() as uow:
        with db.recorded() as statements:
            targets(await uow.all(TELESCOPES.options(joinedload(Telescope.observations))))
    assert len(statements) == 1


async def test_joinedload_with_one_does_not_take_children_for_a_second_parent(db: Any) -> None:
    with_children = select(Telescope).where(Telescope.id == HALE).options(joinedload(Telescope.observations))
    async with db.begin() as uow:
        assert targets([await uow.one(with_children)]) == [["M31", "M42"]]


# subqueryload


async def test_subqueryload_fills_a_collection(db: Any) -> None:
    async with db.begin() as uow:
        found = (await uow.session.scalars(TELESCOPES.options(subqueryload(Telescope.observations)))).all()
        assert targets(found) == BY_TELESCOPE


async def test_subqueryload_costs_one_more_statement(db: Any) -> None:
    async with db.begin() as uow:
        with db.recorded() as statements:
            targets((await uow.session.scalars(TELESCOPES.options(subqueryload(Telescope.observations)))).all())
    assert len(statements) == 2


# lazyload, the default: refused


@pytest.mark.parametrize(
    "options", [(), (lazyload(Telescope.observations),)], ids=["by default", "asked for with lazyload"]
)
async def test_a_lazy_collection_is_refused_by_name(db: Any, options: Any) -> None:
    async with db.begin() as uow:
        hale = (await uow.session.scalars(TELESCOPES.options(*options).limit(1))).one()
        with pytest.raises(NotLoaded, match=r"Telescope\.observations was read but not loaded"):
            hale.observations


async def test_a_lazy_many_to_one_is_refused_by_name(db: Any) -> None:
    async with db.begin() as uow:
        m31 = await uow.get_one(Observation, M31)
        with pytest.raises(NotLoaded, match=r"Observation\.telescope was read but not loaded"):
            m31.telescope


async def test_a_lazy_many_to_many_is_refused_by_name(db: Any) -> None:
    async with db.begin() as uow:
        m31 = await uow.get_one(Observation, M31)
        with pytest.raises(NotLoaded, match=r"Observation\.keywords was read but not loaded"):
            m31.keywords


async def test_a_refused_load_sends_nothing(db: Any) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with db.recorded() as statements, pytest.raises(NotLoaded):
            hale.observations
    assert statements == []


async def test_a_loop_over_100_parents_stops_at_the_first(db: Any) -> None:
    await make_hundred(db)
    with db.recorded() as statements:
        async with db.begin() as uow:
            found = await uow.all(TELESCOPES)
            with pytest.raises(NotLoaded):
                targets(found)
    assert len(statements) == 1


@only_async
async def test_the_refusal_tells_where_the_entity_was_loaded(db: Any) -> None:
    async with db.begin() as uow:
        hale = (await uow.all(TELESCOPES))[0]
        with pytest.raises(NotLoaded, match=r"loaded at .*test_4_loading\.py:\d+ in test_the_refusal_tells"):
            hale.observations


@only_sync
async def test_the_sync_refusal_tells_where_the_entity_was_loaded(db: Any) -> None:
    with db.sync.begin() as uow:
        hale = uow.all(TELESCOPES)[0]
        with pytest.raises(NotLoaded, match=r"loaded at .*test_4_loading\.py:\d+ in test_the_sync_refusal_tells"):
            hale.observations


async def test_the_refusal_of_a_collection_advises_selectinload(db: Any) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with pytest.raises(
            NotLoaded, match=re.escape("select(Telescope).options(selectinload(Telescope.observations))")
        ):
            hale.observations


async def test_the_refusal_of_a_many_to_one_advises_joinedload(db: Any) -> None:
    async with db.begin() as uow:
        m31 = await uow.get_one(Observation, M31)
        with pytest.raises(
            NotLoaded, match=re.escape("select(Observation).options(joinedload(Observation.telescope))")
        ):
            m31.telescope


async def test_the_refusal_advises_the_shape_first(db: Any) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with pytest.raises(NotLoaded, match=r"fix: read a shape: class TelescopeCard\(Shape\[Telescope\]\)"):
            hale.observations


async def test_the_unit_goes_on_after_a_refusal(db: Any) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with pytest.raises(NotLoaded):
            hale.observations
        hale.nickname = "200-inch"
    assert (await db.get(TelescopeCard, HALE)).nickname == "200-inch"


async def test_a_many_to_one_that_is_already_in_the_unit_is_no_load(db: Any) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        m31 = await uow.get_one(Observation, M31)
        with db.recorded() as statements:
            assert m31.telescope is hale
    assert statements == []


async def test_models_on_a_plain_declarative_base_are_guarded_too(db: Any) -> None:
    async with db.begin() as uow:
        hale = await uow.session.get(LegacyTelescope, HALE)
        with pytest.raises(NotLoaded, match=r"LegacyTelescope\.observations was read but not loaded"):
            hale.observations


# raiseload and lazy="raise_on_sql"


async def test_raiseload_turns_the_access_into_an_exception(db: Any) -> None:
    async with db.begin() as uow:
        hale = (await uow.session.scalars(TELESCOPES.options(raiseload(Telescope.observations)).limit(1))).one()
        with pytest.raises(InvalidRequestError, match=r"Telescope\.observations"):
            hale.observations


async def test_raiseload_of_everything_but_one_leaves_that_one(db: Any) -> None:
    options = (selectinload(Telescope.observations), raiseload("*"))
    async with db.begin() as uow:
        assert targets((await uow.session.scalars(TELESCOPES.options(*options))).all()) == BY_TELESCOPE


async def test_raiseload_refuses_even_what_needs_no_statement(db: Any) -> None:
    async with db.begin() as uow:
        await uow.get_one(Telescope, HALE)
        m31 = await uow.one(select(Observation).where(Observation.id == M31).options(raiseload(Observation.telescope)))
        with pytest.raises(InvalidRequestError, match=r"Observation\.telescope"):
            m31.telescope


async def test_raiseload_sql_only_allows_what_needs_no_statement(db: Any) -> None:
    option = raiseload(Observation.telescope, sql_only=True)
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        m31 = await uow.one(select(Observation).where(Observation.id == M31).options(option))
        assert m31.telescope is hale


async def test_raiseload_sql_only_refuses_what_needs_one(db: Any) -> None:
    option = raiseload(Observation.telescope, sql_only=True)
    async with db.begin() as uow:
        galaxy = await uow.one(select(Observation).where(Observation.id == NGC891).options(option))
        with pytest.raises(InvalidRequestError, match=r"Observation\.telescope"):
            galaxy.telescope


# the same strategies as the `lazy=` of the model


@functools.cache
def station_with(lazy: str) -> tuple[type[Any], type[Any]]:
    """Return two models over the tables of telescopes and observations, whose loaders are `lazy`."""

    class StationBase(Base):
        __abstract__ = True
        metadata = MetaData()

    def model(name: str, table: str, **columns: Any) -> type[Any]:
        columns["id"] = mapped_column(BigInteger, primary_key=True)
        return type(f"{name}_{lazy}", (StationBase,), {"__tablename__": table, "__module__": __name__, **columns})

    parent = mapped_column(ForeignKey("telescope.id"), index=True)

    station = model("Station", "telescope")
    sighting = model("Sighting", "observation", target=mapped_column(String), telescope_id=parent)
    station.observations = relationship(sighting, lazy=lazy, viewonly=True)
    sighting.telescope = relationship(station, lazy=lazy, viewonly=True)
    return station, sighting


@pytest.mark.parametrize(("lazy", "expected"), [("selectin", 2), ("joined", 1), ("subquery", 2)])
async def test_an_eager_lazy_setting_of_the_model_loads_with_the_parents(db: Any, lazy: str, expected: int) -> None:
    station, _ = station_with(lazy)
    async with db.begin() as uow:
        with db.recorded() as statements:
            found = await uow.all(select(station).order_by(station.id))
            assert targets(found) == BY_TELESCOPE
    assert len(statements) == expected


@pytest.mark.parametrize("lazy", ["select", "raise", "raise_on_sql"])
async def test_a_collection_that_would_load_is_refused_with_every_lazy_setting(db: Any, lazy: str) -> None:
    station, _ = station_with(lazy)
    async with db.begin() as uow:
        hale = await uow.get_one(station, HALE)
        with db.recorded() as statements, pytest.raises(InvalidRequestError, match=r"Station_\w+\.observations"):
            hale.observations
    assert statements == []


async def test_raise_on_sql_allows_a_parent_that_is_already_in_the_unit(db: Any) -> None:
    station, sighting = station_with("raise_on_sql")
    async with db.begin() as uow:
        hale = await uow.get_one(station, HALE)
        m31 = await uow.get_one(sighting, M31)
        assert m31.telescope is hale


async def test_raise_on_sql_refuses_a_parent_that_is_not(db: Any) -> None:
    _, sighting = station_with("raise_on_sql")
    async with db.begin() as uow:
        m31 = await uow.get_one(sighting, M31)
        with pytest.raises(InvalidRequestError, match=r"Sighting_\w+\.telescope"):
            m31.telescope
