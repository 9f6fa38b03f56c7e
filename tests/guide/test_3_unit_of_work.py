"""Section 3: one block, one transaction; its end commits, an exception undoes it, and nothing expires."""

from __future__ import annotations

from typing import Any

import pytest
from observatory import HALE, KECK, SUBARU, Observation, Telescope, TelescopeCard
from shells import Shell, only_async, only_sync, pool_of
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError, InvalidRequestError, PendingRollbackError
from sqlalchemy.orm.exc import DetachedInstanceError

from hermetic import NotTheOwner, UnitClosed

ALL = select(Telescope)
ARECIBO = select(Telescope).where(Telescope.name == "Arecibo")


class Storm(Exception):
    pass


def arecibo() -> Telescope:
    return Telescope(name="Arecibo", observations=[Observation(target="PSR B1913+16")])


# the block


async def test_the_end_of_the_block_commits(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(arecibo())
    assert await db.exists(ARECIBO)


async def test_nothing_is_true_for_others_before_the_block_ends(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(arecibo())
        await uow.flush()
        assert not await db.exists(ARECIBO)


async def test_an_exception_undoes_all_of_the_block(db: Any) -> None:
    with pytest.raises(Storm):
        async with db.begin() as uow:
            uow.add(arecibo())
            await uow.flush()
            raise Storm
    assert not await db.exists(ARECIBO)


async def test_the_exception_leaves_the_block_as_it_was_raised(db: Any) -> None:
    storm = Storm()
    with pytest.raises(Storm) as raised:
        async with db.begin():
            raise storm
    assert raised.value is storm


async def test_several_entities_are_stored_together(db: Any) -> None:
    async with db.begin() as uow:
        uow.add_all([Telescope(name="Lovell"), Telescope(name="Gemini")])
    assert await db.count(ALL) == 5


async def test_several_entities_are_undone_together(db: Any) -> None:
    with pytest.raises(IntegrityError):
        async with db.begin() as uow:
            uow.add_all([Telescope(name="Lovell"), Telescope(id=HALE, name="a second Hale")])
    assert await db.count(ALL) == 3


async def test_a_changed_attribute_is_stored_without_a_word(db: Any) -> None:
    async with db.begin() as uow:
        (await uow.get_one(Telescope, KECK)).nickname = "Twins"
    assert (await db.get(TelescopeCard, KECK)).nickname == "Twins"


async def test_a_deleted_entity_takes_its_children_along(db: Any) -> None:
    async with db.begin() as uow:
        await uow.delete(await uow.get_one(Telescope, HALE))
    assert await db.all(select(Observation.target)) == ["NGC 891"]


async def test_deleting_an_entity_never_loads_its_children(db: Any) -> None:
    async with db.begin() as uow:
        hale = await uow.get_one(Telescope, HALE)
        with db.recorded() as statements:
            await uow.delete(hale)
            await uow.flush()
    assert [statement.sql.split()[0] for statement in statements] == ["DELETE"]


async def test_core_statements_are_part_of_the_unit(db: Any) -> None:
    with pytest.raises(Storm):
        async with db.begin() as uow:
            await uow.session.execute(update(Telescope).values(nickname="gone"))
            raise Storm
    assert (await db.get(TelescopeCard, SUBARU)).nickname == "Pleiades"


@pytest.mark.parametrize("fails", [False, True], ids=["commit", "rollback"])
async def test_the_connection_returns_to_the_pool_however_the_block_ends(db: Any, fails: bool) -> None:
    try:
        async with db.begin() as uow:
            await uow.all(ALL)
            if fails:
                raise Storm
    except Storm:
        pass
    assert pool_of(db).checkedout() == 0


async def test_the_connection_returns_to_the_pool_when_the_commit_fails(db: Any) -> None:
    with pytest.raises(IntegrityError):
        async with db.begin() as uow:
            uow.add(Telescope(id=HALE, name="a second Hale"))
    assert pool_of(db).checkedout() == 0


async def test_an_unused_unit_takes_no_connection(db: Any) -> None:
    async with db.begin():
        assert pool_of(db).checkedout() == 0


# run: the block around a use case


async def build(uow: Any, name: str, *, nickname: str | None = None) -> int:
    telescope = Telescope(name=name, nickname=nickname)
    uow.add(telescope)
    await uow.flush()
    return telescope.id


async def build_in_a_storm(uow: Any, name: str) -> None:
    await build(uow, name)
    raise Storm


async def test_run_commits_what_the_use_case_did(db: Any) -> None:
    await db.run(build, "Arecibo")
    assert await db.exists(ARECIBO)


async def test_run_returns_what_the_use_case_returns(db: Any) -> None:
    key = await db.run(build, "Arecibo")
    assert (await db.get(TelescopeCard, key)).name == "Arecibo"


async def test_run_hands_on_arguments_by_name(db: Any) -> None:
    key = await db.run(build, "Arecibo", nickname="The Dish")
    assert (await db.get(TelescopeCard, key)).nickname == "The Dish"


async def test_run_undoes_a_use_case_that_fails(db: Any) -> None:
    with pytest.raises(Storm):
        await db.run(build_in_a_storm, "Arecibo")
    assert not await db.exists(ARECIBO)


# flush, commit, expire


async def test_flush_sends_what_is_pending(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(Telescope(name="Arecibo"))
        with db.recorded() as statements:
            await uow.flush()
    assert [statement.sql.split()[0] for statement in statements] == ["INSERT"]


async def test_flush_fills_in_the_generated_key(db: Any) -> None:
    async with db.begin() as uow:
        telescope = Telescope(name="Arecibo")
        uow.add(telescope)
        await uow.flush()
        assert isinstance(telescope.id, int)


async def test_flush_does_not_commit(db: Any) -> None:
    with pytest.raises(Storm):
        async with db.begin() as uow:
            await build(uow, "Arecibo")
            raise Storm
    assert not await db.exists(ARECIBO)


async def test_the_commit_flushes_first(db: Any) -> None:
    with db.recorded() as statements:
        async with db.begin() as uow:
            uow.add(Telescope(name="Arecibo"))
            assert statements == []
    assert [statement.sql.split()[0] for statement in statements] == ["INSERT"]


async def test_a_read_of_the_same_table_flushes_first(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(Telescope(name="Arecibo"))
        assert await uow.count(ALL) == 4


async def test_a_shape_of_the_same_table_flushes_first(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(arecibo())
        card = await uow.one(TelescopeCard, ARECIBO)
    assert [line.target for line in card.observations] == ["PSR B1913+16"]


async def test_a_read_of_another_table_sends_no_half_built_entity(db: Any) -> None:
    async with db.begin() as uow:
        unfinished = Observation(target="M13")
        uow.add(unfinished)
        unfinished.telescope = await uow.get_one(Telescope, HALE)
    assert await db.count(select(Observation).where(Observation.telescope_id == HALE)) == 3


async def test_a_plain_session_expires_at_commit_and_its_entities_break(shell: Shell, db: Any) -> None:
    async with shell.plain_session(db) as session, session.begin():
        telescope = Telescope(name="Arecibo")
        session.add(telescope)
    with pytest.raises(DetachedInstanceError):
        telescope.name


async def test_an_added_entity_stays_readable_after_the_block(db: Any) -> None:
    async with db.begin() as uow:
        telescope = arecibo()
        uow.add(telescope)
    assert (telescope.name, [each.target for each in telescope.observations]) == ("Arecibo", ["PSR B1913+16"])


async def test_the_generated_key_is_readable_after_the_block(db: Any) -> None:
    async with db.begin() as uow:
        telescope = arecibo()
        uow.add(telescope)
    assert (await db.get(TelescopeCard, telescope.id)).name == "Arecibo"


async def test_a_loaded_entity_stays_readable_after_the_block(db: Any) -> None:
    async with db.begin() as uow:
        subaru = await uow.get_one(Telescope, SUBARU)
    assert (subaru.id, subaru.name, subaru.nickname) == (2, "Subaru", "Pleiades")


async def test_reading_attributes_after_the_block_sends_nothing(db: Any) -> None:
    async with db.begin() as uow:
        subaru = await uow.get_one(Telescope, SUBARU)
        subaru.nickname = "Seven Sisters"
    with db.recorded() as statements:
        assert subaru.nickname == "Seven Sisters"
    assert statements == []


async def test_a_shape_outlives_its_unit_with_everything_in_it(db: Any) -> None:
    async with db.begin() as uow:
        card = await uow.get(TelescopeCard, SUBARU)
    assert [(line.target, [each.word for each in line.keywords]) for line in card.observations] == [
        ("NGC 891", ["galaxy"])
    ]


# one owner


@pytest.mark.parametrize("verb", ["commit", "rollback", "close"])
async def test_the_session_cannot_end_the_transaction(db: Any, verb: str) -> None:
    async with db.begin() as uow:
        with pytest.raises(NotTheOwner, match=rf"{verb} was called on the session of a unit of work"):
            await getattr(uow.session, verb)()


@only_async
async def test_the_refusal_names_the_place_that_owns_the_transaction(db: Any) -> None:
    async with db.begin() as uow:
        with pytest.raises(NotTheOwner, match=r"begun at .*test_3_unit_of_work\.py:\d+ in test_the_refusal_names"):
            await uow.session.commit()


@only_sync
async def test_the_sync_refusal_names_the_place_that_owns_the_transaction(db: Any) -> None:
    with db.sync.begin() as uow:
        with pytest.raises(NotTheOwner, match=r"begun at .*test_3_unit_of_work\.py:\d+ in test_the_sync_refusal_names"):
            uow.session.commit()


async def test_the_refusal_names_the_two_verbs_to_use_instead(db: Any) -> None:
    async with db.begin() as uow:
        with pytest.raises(NotTheOwner, match=r"uow\.flush\(\).*uow\.savepoint\(\)"):
            await uow.session.commit()


async def test_the_transaction_of_the_session_cannot_be_committed_around_the_unit(db: Any) -> None:
    async with db.begin() as uow:
        with pytest.raises(NotTheOwner):
            await uow.session.run_sync(lambda session: session.get_transaction().commit())


async def test_a_refused_commit_leaves_the_unit_as_it_was(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(arecibo())
        with pytest.raises(NotTheOwner):
            await uow.session.commit()
    assert await db.exists(ARECIBO)


async def test_a_second_transaction_inside_the_unit_is_refused(db: Any) -> None:
    async with db.begin() as uow:
        with pytest.raises(InvalidRequestError, match="already begun"):
            async with uow.session.begin():
                pass


async def test_a_swallowed_flush_error_cannot_be_committed(db: Any) -> None:
    with pytest.raises(PendingRollbackError):
        async with db.begin() as uow:
            uow.add(Telescope(name="Arecibo"))
            await uow.flush()
            uow.add(Telescope(id=HALE, name="a second Hale"))
            try:
                await uow.flush()
            except IntegrityError:
                pass
    assert not await db.exists(ARECIBO)


async def test_an_ended_unit_cannot_be_entered_again(db: Any) -> None:
    async with db.begin() as uow:
        pass
    with pytest.raises(UnitClosed, match=r"open another: (async )?with db\.begin\(\) as uow"):
        async with uow:
            pass


@pytest.mark.parametrize(
    "use",
    [lambda uow: uow.add(arecibo()), lambda uow: uow.session],
    ids=["add", "session"],
)
async def test_an_ended_unit_takes_nothing(db: Any, use: Any) -> None:
    async with db.begin() as uow:
        pass
    with pytest.raises(UnitClosed, match="this unit of work has ended"):
        use(uow)


async def test_an_ended_unit_reads_nothing(db: Any) -> None:
    async with db.begin() as uow:
        pass
    with db.recorded() as statements, pytest.raises(UnitClosed):
        await uow.all(TelescopeCard, ALL)
    assert statements == []


async def test_a_unit_that_has_not_begun_says_so(db: Any) -> None:
    with pytest.raises(UnitClosed, match="this unit of work has not begun"):
        await db.begin().flush()


# a part that can be undone alone


async def test_a_savepoint_undoes_its_part_and_no_more(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(Telescope(name="Gemini"))
        with pytest.raises(IntegrityError):
            async with uow.savepoint():
                uow.add(Telescope(id=HALE, name="a second Hale"))
                await uow.flush()
    assert await db.all(select(Telescope.name).where(Telescope.id > KECK)) == ["Gemini"]


async def test_a_savepoint_that_ends_well_is_kept_with_the_unit(db: Any) -> None:
    async with db.begin() as uow:
        async with uow.savepoint():
            uow.add(arecibo())
    assert await db.exists(ARECIBO)


async def test_a_savepoint_is_no_commit(db: Any) -> None:
    with pytest.raises(Storm):
        async with db.begin() as uow:
            async with uow.savepoint():
                uow.add(arecibo())
            raise Storm
    assert not await db.exists(ARECIBO)


async def test_begin_nested_of_the_session_is_a_savepoint_too(db: Any) -> None:
    async with db.begin() as uow:
        with pytest.raises(Storm):
            async with uow.session.begin_nested():
                uow.add(arecibo())
                raise Storm
    assert not await db.exists(ARECIBO)


# what hermetic does not cover is SQLAlchemy, on the same engine


async def test_a_session_of_ones_own_works_on_the_engine(shell: Shell, db: Any) -> None:
    async with shell.plain_session(db, expire_on_commit=False) as session, session.begin():
        session.add(Telescope(name="Arecibo"))
    assert await db.exists(ARECIBO)


async def test_the_engine_takes_any_statement(db: Any) -> None:
    async with db.engine.begin() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM telescope"))).scalar_one() == 3
