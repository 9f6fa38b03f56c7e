"""Section 7: the repository knows the SQL, the use case is one transaction, and only its end commits."""

from __future__ import annotations

from typing import Any

import pytest
from observatory import HALE, KECK, SUBARU, Keyword, Observation, Telescope, TelescopeCard
from shells import TWINS, Awaited, finish
from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload

from hermetic import AsyncRepository, AsyncUnitOfWork, NotFound, Repository, UnitClosed, UnitOfWork

LISTED = select(Telescope).order_by(Telescope.id)
WITH_OBSERVATIONS = LISTED.options(selectinload(Telescope.observations))


class Telescopes(Repository[Telescope]):
    def find(self, key: int) -> Telescope | None:
        return self.get(Telescope, key)

    def with_observations(self, limit: int = 100) -> list[Telescope]:
        return self.all(WITH_OBSERVATIONS.limit(limit))

    def cards(self, limit: int = 100) -> list[TelescopeCard]:
        return self.all(TelescopeCard, LISTED.limit(limit))


class AsyncTelescopes(AsyncRepository[Telescope]):
    async def find(self, key: int) -> Telescope | None:
        return await self.get(Telescope, key)

    async def with_observations(self, limit: int = 100) -> list[Telescope]:
        return await self.all(WITH_OBSERVATIONS.limit(limit))

    async def cards(self, limit: int = 100) -> list[TelescopeCard]:
        return await self.all(TelescopeCard, LISTED.limit(limit))


class Keywords(Repository[Keyword]):
    pass


class AsyncKeywords(AsyncRepository[Keyword]):
    pass


TWINS.update({Telescopes: AsyncTelescopes, Keywords: AsyncKeywords})


def telescopes(uow: Any) -> Any:
    """Return the repository of the shell that `uow` belongs to."""
    return Awaited(Telescopes(uow.sync)) if isinstance(uow, Awaited) else AsyncTelescopes(uow)


def keywords(uow: Any) -> Any:
    return Awaited(Keywords(uow.sync)) if isinstance(uow, Awaited) else AsyncKeywords(uow)


# the use cases


async def commission(uow: Any, name: str, first_target: str) -> int:
    telescope = Telescope(name=name, observations=[Observation(target=first_target)])
    telescopes(uow).add(telescope)
    await uow.flush()
    return telescope.id


async def commission_with_keyword(uow: Any, name: str, word: str) -> None:
    telescopes(uow).add(Telescope(name=name))
    await uow.flush()
    keywords(uow).add(Keyword(word=word))


async def nickname(repository: Any, key: int, name: str) -> bool:
    """Return whether there was a telescope to name; a use case of one aggregate needs its repository only."""
    telescope = await repository.find(key)
    if telescope is None:
        return False
    telescope.nickname = name
    return True


# the repository reads


async def test_a_repository_finds_by_key(db: Any) -> None:
    async with db.begin() as uow:
        assert (await telescopes(uow).find(SUBARU)).name == "Subaru"


async def test_a_repository_finds_none_for_an_absent_key(db: Any) -> None:
    async with db.begin() as uow:
        assert await telescopes(uow).find(404) is None


async def test_a_repository_looks_into_the_unit_before_the_database(db: Any) -> None:
    async with db.begin() as uow:
        loaded = await uow.get_one(Telescope, SUBARU)
        with db.recorded() as statements:
            found = await telescopes(uow).find(SUBARU)
    assert (found is loaded, len(statements)) == (True, 0)


@pytest.mark.parametrize(("method", "expected"), [("with_observations", 2), ("cards", 1)])
@pytest.mark.parametrize("rows", [3, 60])
async def test_a_list_costs_the_same_statements_however_long(db: Any, method: str, expected: int, rows: int) -> None:
    async with db.begin() as uow:
        if rows > 3:
            await uow.session.execute(insert(Telescope), [{"name": f"Dish {number}"} for number in range(rows - 3)])
        with db.recorded() as statements:
            found = await getattr(telescopes(uow), method)()
            children = sum(len(telescope.observations) for telescope in found)
    assert (len(found), children, len(statements)) == (rows, 3, expected)


async def test_a_list_has_the_limit_that_was_asked_for(db: Any) -> None:
    async with db.begin() as uow:
        assert [card.id for card in await telescopes(uow).cards(limit=2)] == [HALE, SUBARU]


READS: dict[str, Any] = {
    "all": lambda repository: repository.all(TelescopeCard, LISTED),
    "one": lambda repository: repository.one(TelescopeCard, LISTED.where(Telescope.id == KECK)),
    "one_or_none": lambda repository: repository.one_or_none(TelescopeCard, LISTED.where(Telescope.id == KECK)),
    "first": lambda repository: repository.first(TelescopeCard, LISTED),
    "get": lambda repository: repository.get(TelescopeCard, HALE),
    "get_one": lambda repository: repository.get_one(TelescopeCard, HALE),
    "count": lambda repository: repository.count(LISTED),
    "exists": lambda repository: repository.exists(LISTED),
}


@pytest.mark.parametrize("verb", READS)
async def test_a_repository_reads_as_its_unit_does(db: Any, verb: str) -> None:
    async with db.begin() as uow:
        assert await READS[verb](telescopes(uow)) == await READS[verb](uow)


async def test_a_repository_names_the_way_out_of_an_absent_key(db: Any) -> None:
    async with db.begin() as uow:
        with pytest.raises(NotFound, match="call get where absence is allowed"):
            await telescopes(uow).get_one(TelescopeCard, 404)


# the repository writes, and cannot commit


async def test_add_sends_nothing_by_itself(db: Any) -> None:
    async with db.begin() as uow:
        with db.recorded() as statements:
            telescopes(uow).add(Telescope(name="Arecibo"))
        assert statements == []


async def test_what_a_repository_added_is_stored_when_the_unit_ends(db: Any) -> None:
    async with db.begin() as uow:
        telescopes(uow).add(Telescope(name="Arecibo"))
    assert await db.exists(select(Telescope).where(Telescope.name == "Arecibo"))


async def test_what_a_repository_deleted_is_gone_when_the_unit_ends(db: Any) -> None:
    async with db.begin() as uow:
        repository = telescopes(uow)
        await repository.delete(await repository.find(KECK))
    assert await db.get(TelescopeCard, KECK) is None


async def test_a_repository_finds_what_it_added(db: Any) -> None:
    async with db.begin() as uow:
        repository = telescopes(uow)
        repository.add(Telescope(name="Arecibo"))
        assert [card.name for card in await repository.cards()][-1] == "Arecibo"


@pytest.mark.parametrize("kind", [Repository, AsyncRepository])
@pytest.mark.parametrize("name", ["commit", "rollback", "close", "begin", "session", "flush"])
def test_a_repository_has_no_way_to_end_the_transaction(kind: type[Any], name: str) -> None:
    assert not hasattr(kind, name)


@pytest.mark.parametrize("kind", [UnitOfWork, AsyncUnitOfWork])
@pytest.mark.parametrize("name", ["commit", "rollback"])
def test_a_unit_of_work_has_no_word_for_it_either(kind: type[Any], name: str) -> None:
    assert not hasattr(kind, name)


async def test_a_repository_ends_with_its_unit(db: Any) -> None:
    async with db.begin() as uow:
        repository = telescopes(uow)
    with pytest.raises(UnitClosed, match="this unit of work has ended"):
        await repository.cards()


# the use case


async def test_a_use_case_commits_by_ending(db: Any) -> None:
    key = await db.run(commission, "Arecibo", "Mercury")
    assert [line.target for line in (await db.get(TelescopeCard, key)).observations] == ["Mercury"]


async def test_a_use_case_over_two_repositories_is_stored_together(db: Any) -> None:
    await db.run(commission_with_keyword, "Arecibo", "planet")
    assert (await db.count(select(Telescope)), await db.count(select(Keyword))) == (4, 3)


async def test_a_use_case_that_fails_in_its_second_repository_leaves_nothing_of_the_first(db: Any) -> None:
    with pytest.raises(IntegrityError):
        await db.run(commission_with_keyword, "Arecibo", "galaxy")
    assert await db.count(select(Telescope)) == 3


async def test_use_cases_can_share_one_transaction(db: Any) -> None:
    async def both(uow: Any) -> None:
        await commission(uow, "Arecibo", "Mercury")
        await commission_with_keyword(uow, "Lovell", "galaxy")

    with pytest.raises(IntegrityError):
        await db.run(both)
    assert await db.count(select(Telescope)) == 3


async def test_a_use_case_changes_what_its_repository_found(db: Any) -> None:
    async with db.begin() as uow:
        await nickname(telescopes(uow), KECK, "Twins")
    assert (await db.get(TelescopeCard, KECK)).nickname == "Twins"


def test_a_use_case_can_be_tried_without_a_database() -> None:
    class InMemory:
        def __init__(self) -> None:
            self.rows = {KECK: Telescope(id=KECK, name="Keck")}

        async def find(self, key: int) -> Telescope | None:
            return self.rows.get(key)

    repository = InMemory()
    assert (finish(nickname(repository, KECK, "Twins")), repository.rows[KECK].nickname) == (True, "Twins")
