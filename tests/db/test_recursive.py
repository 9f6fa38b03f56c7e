"""Trees of any depth: the whole tree by one recursive statement, cycles and endless ones refused."""

from __future__ import annotations

import asyncio
import types
from dataclasses import dataclass
from typing import Annotated, Any, ForwardRef

import msgspec
import pydantic
import pytest
import requires
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shapes_support import plain
from sqlalchemy import ForeignKey, Select, String, delete, select, update
from sqlalchemy.orm import Mapped, Session, aliased, mapped_column, relationship, with_loader_criteria

from hermetic import (
    AsyncDatabase,
    CycleFound,
    Database,
    Shape,
    ShapeError,
    TreeTooDeep,
    WrongStatement,
    many,
    path,
    prepared,
    recursive,
    shape_of,
)
from shop import Base


class Gear(Base):
    __tablename__ = "gear"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    rank: Mapped[int]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("gear.id", ondelete="CASCADE"), index=True)
    parent: Mapped[Gear | None] = relationship(back_populates="parts", remote_side=[id])
    parts: Mapped[list[Gear]] = relationship(back_populates="parent", passive_deletes=True)
    notes: Mapped[list[GearNote]] = relationship(back_populates="part", passive_deletes="all")
    young: Mapped[list[GearNote]] = relationship(
        primaryjoin="and_(GearNote.part_id == Gear.id, GearNote.id > Gear.rank)", viewonly=True
    )


class GearNote(Base):
    __tablename__ = "gear_note"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(40))
    part_id: Mapped[int] = mapped_column(ForeignKey("gear.id", ondelete="CASCADE"), index=True)
    part: Mapped[Gear] = relationship(back_populates="notes")


class NoteLine(Shape[GearNote]):
    text: str


class Branch(Shape[Gear]):
    name: str
    above: Annotated[str | None, path(Gear.parent, Gear.name)]
    notes: list[NoteLine]
    parts: Annotated[list[Branch], recursive(Gear.parts, order_by=Gear.rank.desc(), max_depth=9)]


class GearLine(Shape[Gear]):
    name: str
    notes: list[NoteLine]


class Leafward(Shape[Gear]):
    name: str
    way: Annotated[list[GearLine], recursive(Gear.parent, where=Gear.rank >= 0, max_depth=9)]


class NoteCard(Shape[GearNote]):
    text: str
    part: Branch


class Ranked(Shape[Gear]):
    id: int
    high: Annotated[list[Ranked], recursive(Gear.parts, where=Gear.rank > 0)]


@dataclass
class BranchData:
    name: str
    parts: Annotated[list[BranchData], recursive(Gear.parts)]


class BranchModel(pydantic.BaseModel):
    name: str
    parts: Annotated[list[BranchModel], recursive(Gear.parts)]


# the same of entities


def notes(part: Gear) -> list[Any]:
    return [{"text": each.text} for each in sorted(part.notes, key=lambda each: each.id)]


def branch(part: Gear) -> Any:
    below = sorted(part.parts, key=lambda each: (-each.rank, each.id))
    above = part.parent.name if part.parent is not None else None
    return {"name": part.name, "above": above, "notes": notes(part), "parts": [branch(each) for each in below]}


def leafward(part: Gear) -> Any:
    way, above = [], part.parent
    while above is not None and above.rank >= 0:
        way.append({"name": above.name, "notes": notes(above)})
        above = above.parent
    return {"name": part.name, "way": way}


def ranked(part: Gear) -> Any:
    below = sorted((each for each in part.parts if each.rank > 0), key=lambda each: each.id)
    return {"id": part.id, "high": [ranked(each) for each in below]}


def bare(part: Any) -> Any:
    return {"name": part.name, "parts": [bare(each) for each in part.parts]}


@st.composite
def forests(draw: st.DrawFn) -> list[Gear]:
    made: list[Gear] = []
    for key in range(1, draw(st.integers(0, 9)) + 1):
        above = draw(st.none() | st.sampled_from(made)) if made else None
        texts = [GearNote(id=10 * key + n, text=f"t{n}") for n in range(draw(st.integers(0, 2)))]
        made.append(Gear(id=key, name=f"p{key}", rank=draw(st.integers(-1, 2)), parent=above, notes=texts))
    return made


@settings(
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    database=None,
    suppress_health_check=list(HealthCheck),
    max_examples=15,
)
@given(rows=forests())
def test_a_tree_is_the_entities_of_plain_sqlalchemy_in_a_stated_number_of_statements(
    db: Database, rows: list[Gear]
) -> None:
    with Session(db.engine) as session:
        session.execute(delete(GearNote))
        session.execute(update(Gear).values(parent_id=None))
        session.execute(delete(Gear))
        session.add_all(rows)
        session.commit()
        cases = [(Branch, Gear, branch, 4), (Leafward, Gear, leafward, 3), (Ranked, Gear, ranked, 2)]
        for shape, model, walk, statements in cases:
            for entity in (model, aliased(model)):
                statement = select(entity).order_by(entity.id)
                with db.recorded() as sent:
                    found = db.all(shape, statement)
                assert [plain(each) for each in found] == [walk(each) for each in session.scalars(statement)]
                assert len(sent) == statements == db.plan(shape, statement).statements
        expected = [
            {"text": each.text, "part": branch(each.part)}
            for each in session.scalars(select(GearNote).order_by(GearNote.id))
        ]
        assert [plain(each) for each in db.all(NoteCard, select(GearNote).order_by(GearNote.id))] == expected


def chain(db: Database, levels: int) -> None:
    with db.begin() as uow:
        uow.add_all([Gear(id=n, name=f"p{n}", rank=n, parent_id=n - 1 or None) for n in range(1, levels + 1)])


def test_dataclasses_and_pydantic_models_hold_whole_trees(db: Database) -> None:
    chain(db, 4)
    root = select(Gear).where(Gear.id == 1)
    expected = {
        "name": "p1",
        "parts": [{"name": "p2", "parts": [{"name": "p3", "parts": [{"name": "p4", "parts": []}]}]}],
    }
    assert bare(db.one(shape_of(Gear, BranchData), root)) == expected
    assert db.one(shape_of(Gear, BranchModel), root).model_dump() == expected


def test_the_plan_says_why(db: Database) -> None:
    plan = db.plan(Ranked, select(Gear))
    assert (plan.strategy, plan.statements) == ("per_level", 2)
    assert plan.reason == "Ranked.high is read to its end, by one recursive statement"
    assert "WITH RECURSIVE" in str(plan)
    with pytest.raises(WrongStatement, match=r"Ranked\.high is read to its end by a statement of its own"):
        db.all(Ranked, select(Gear).execution_options(hermetic_strategy="correlated"))


def test_a_tree_of_the_allowed_depth_is_read_and_one_level_more_is_refused(db: Database) -> None:
    chain(db, 11)
    below = db.one(Branch, select(Gear).where(Gear.id == 2))
    assert plain(below)["parts"][0]["name"] == "p3"
    with pytest.raises(TreeTooDeep, match=r"Branch\.parts has more than 9 levels"):
        db.one(Branch, select(Gear).where(Gear.id == 1))
    assert len(db.get_one(Leafward, 10).way) == 9
    with pytest.raises(TreeTooDeep, match=r"Leafward\.way has more than 9 levels"):
        db.get(Leafward, 11)


@pytest.mark.parametrize(("below", "start"), [(1, 1), (3, 1), (3, 2), (2, 1)])
def test_a_cycle_is_found_and_nothing_is_cut(db: Database, below: int, start: int) -> None:
    chain(db, 4)
    with db.begin() as uow:
        uow.get_one(Gear, start).parent_id = below
    with pytest.raises(CycleFound, match=r"Branch\.parts goes round in a cycle"):
        db.get(Branch, start)
    with pytest.raises(CycleFound, match=r"Leafward\.way goes round in a cycle"):
        db.get(Leafward, 4 if below < 4 and start <= below else start)


def test_filters_of_every_read_reach_every_level(db: Database) -> None:
    chain(db, 4)
    kept = select(Gear).where(Gear.id == 1).options(with_loader_criteria(Gear, Gear.rank != 3, include_aliases=True))
    assert bare(db.one(shape_of(Gear, BranchData), kept)) == {"name": "p1", "parts": [{"name": "p2", "parts": []}]}


ROOTS = select(Gear).where(Gear.parent_id.is_(None)).order_by(Gear.id)


@prepared(Branch)
def root_number(number: int) -> Select[Gear]:
    return select(Gear).where(Gear.id == number)


def grove(db: Database, roots: int) -> None:
    """Plant trees of three levels, with a note on each row."""
    with db.begin() as uow:
        for n in range(1, roots + 1):
            inner = [Gear(id=100 * n + k, name=f"i{k}", rank=k, notes=[GearNote(text=f"n{k}")]) for k in (1, 2)]
            inner[0].parts = [Gear(id=1000 * n, name="leaf", rank=1)]
            uow.add(Gear(id=n, name=f"r{n}", rank=1, parts=inner, notes=[GearNote(text="root")]))


def test_pages_hold_whole_trees(db: Database) -> None:
    grove(db, 5)
    whole = db.all(Branch, ROOTS)
    assert [len(each.parts[1].parts) for each in whole] == [1] * 5
    found: list[Branch] = []
    token: str | None = None
    while True:
        with db.recorded() as sent:
            page = db.page(Branch, ROOTS, after=token, limit=2)
        assert len(sent) == db.plan(Branch, ROOTS).statements
        found += page.items
        token = page.next
        if token is None:
            break
    assert found == whole
    assert db.page(Branch, ROOTS, after=page.previous, limit=2).items == whole[2:4]
    empty = ROOTS.where(Gear.id > 5)
    assert db.page(Branch, empty).items == []


def test_a_stream_holds_whole_trees(db: Database) -> None:
    requires.needs(db, "streamed collections")
    grove(db, 70)  # more than the first batch
    assert list(db.stream(Branch, ROOTS)) == db.all(Branch, ROOTS)
    assert list(db.stream(Leafward, ROOTS)) == db.all(Leafward, ROOTS)
    assert list(db.stream(root_number(3))) == db.all(root_number(3))
    with db.begin() as uow:
        uow.get_one(Gear, 70).parent_id = 70_000
    stream = db.stream(Branch, select(Gear).where(Gear.id.in_([1, 70])).order_by(Gear.id))
    with pytest.raises(CycleFound):
        list(stream)
    assert db.count(select(Gear)) == 280  # the connection is back


def test_a_body_is_the_encoded_trees(db: Database) -> None:
    grove(db, 3)
    assert db.json(Branch, ROOTS) == msgspec.json.encode(db.all(Branch, ROOTS))
    assert db.json(Leafward, ROOTS) == msgspec.json.encode(db.all(Leafward, ROOTS))
    assert db.json(root_number(2)) == msgspec.json.encode(db.all(root_number(2)))


def test_a_prepared_read_holds_whole_trees(db: Database) -> None:
    grove(db, 3)
    for number in (1, 2, 3, 4):
        with db.recorded() as sent:
            found = db.all(root_number(number))
        assert found == db.all(Branch, select(Gear).where(Gear.id == number))
        assert len(sent) == db.plan(root_number(number)).statements == 4
        assert db.one_or_none(root_number(number)) == (found[0] if found else None)


def test_a_unit_of_one_snapshot_reads_trees_with_its_own_changes(db: Database) -> None:
    requires.needs(db, "units of one snapshot")
    grove(db, 2)
    with db.begin() as uow:
        uow.add(Gear(id=9, name="new", rank=5, parent_id=1))
        read = uow.get_one(Branch, 1)
        assert [each.name for each in read.parts] == ["new", "i2", "i1"]
        assert uow.all(root_number(1)) == [read]
        assert uow.page(Branch, ROOTS, limit=1).items == [read]
        assert uow.json(root_number(1)) == msgspec.json.encode([read])
        if requires.has(db.engine.dialect.name, "streamed collections"):
            assert next(uow.stream(Branch, ROOTS)) == read


def test_a_unit_that_sees_what_others_commit_refuses_a_tree_and_says_where_to_read_it(db: Database) -> None:
    requires.needs(db, "read committed")
    grove(db, 1)
    with db.begin() as uow:
        for read in (
            lambda: uow.get(Branch, 1),
            lambda: uow.all(root_number(1)),
            lambda: uow.page(Branch, ROOTS),
            lambda: uow.json(Branch, ROOTS),
            lambda: next(uow.stream(Branch, ROOTS)),
        ):
            with pytest.raises(WrongStatement, match="read it on the Database, outside the unit"):
                read()
        assert uow.get_one(Gear, 1).name == "r1"  # the unit goes on


def test_the_async_shell_has_trees_in_every_verb(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            await db.create_all(Gear)
            async with db.begin() as uow:
                uow.add(Gear(id=1, name="a", rank=1, parts=[Gear(id=2, name="b", rank=1)]))
            whole = await db.all(Branch, ROOTS)
            assert (await db.page(Branch, ROOTS)).items == whole
            assert await db.json(Branch, ROOTS) == msgspec.json.encode(whole)
            for _ in range(2):
                assert await db.all(root_number(1)) == whole
            if "mariadb" not in async_url:
                assert [each async for each in db.stream(Branch, ROOTS)] == whole

    asyncio.run(main())


def test_the_async_shell_reads_the_same(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            await db.create_all(Gear)
            async with db.begin() as uow:
                uow.add(Gear(id=1, name="a", rank=1, parts=[Gear(id=2, name="b", rank=1)]))
            assert plain(await db.get_one(Ranked, 1)) == {"id": 1, "high": [{"id": 2, "high": []}]}

    asyncio.run(main())


# refused


def problem(body: dict[str, Any]) -> str:
    with pytest.raises(ShapeError) as refused:
        types.new_class(
            "Wrong", (Shape[Gear],), {}, lambda names: names.update({"__module__": __name__, "__annotations__": body})
        )
    return str(refused.value.problems[0])


def test_what_is_no_tree_is_refused_with_the_line_to_write() -> None:
    assert problem({"notes": Annotated[list[NoteLine], recursive(Gear.notes)]}) == (
        "Wrong.notes  Gear.notes does not lead from a class to itself\n"
        "  fix: many(...), or the nested shape without a marker"
    )
    assert problem({"parts": Annotated[list[GearLine], recursive(Gear.parts)]}) == (
        'Wrong.parts  the rows below are a list of Wrong itself\n  fix: Annotated[list["Wrong"], recursive(Gear.parts)]'
    )
    two = {name: Annotated[list[ForwardRef("Wrong")], recursive(Gear.parts)] for name in ("parts", "again")}
    assert problem(two) == "Wrong  has 2 trees (parts, again), each inside the other\n  fix: one shape for each tree"
    young = Annotated[list[NoteLine], many(Gear.young)]
    assert problem({"young": young, "way": Annotated[list[GearLine], recursive(Gear.parent)]}).startswith(
        "Wrong.way  is read by keys, level by level; a relationship of this shape has a condition of more than equality"
    )
    assert problem({"way": Annotated[list[str], recursive(Gear.parent)]}) == (
        "Wrong.way  the rows above are a list of another shape, not list[str]\n"
        "  fix: Annotated[list[GearLine], recursive(Gear.parent)]  # class GearLine(Shape[Gear])"
    )
    assert problem({"way": Annotated[list[GearLine], recursive(Gear.parent, max_depth=0)]}) == (
        "Wrong.way  max_depth=0 is not 1 to 400\n  fix: max_depth=100"
    )
