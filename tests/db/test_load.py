"""`load` fills entities that are already here: what lazy loading would give, in one statement for each step."""

from __future__ import annotations

import asyncio
import datetime
import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from load_models import Blob, Code, Guest, Manager, Mark, Office, Person, Room, Skill, Stamp, Task, Thing, person_skill
from sqlalchemy import (
    Connection,
    Engine,
    ForeignKey,
    create_engine,
    delete,
    event,
    insert,
    inspect,
    select,
    text,
    update,
)
from sqlalchemy.exc import SAWarning
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    mapped_column,
    relationship,
    selectinload,
    with_loader_criteria,
)
from sqlalchemy.pool import NullPool

from hermetic import (
    AsyncDatabase,
    AsyncRepository,
    CannotLoad,
    Database,
    NotLoaded,
    Repository,
    UnitClosed,
    UnitOfWork,
    path,
)
from shop import Address, User, opened

QUICK = settings(
    deadline=None, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck), print_blob=False
)
MODELS: list[type[Any]] = [Person, Manager, Guest, Room, Thing, Task, Skill]
Way = tuple[Any, ...]


# rows and the oracle


def fill(connection: Connection, pick: random.Random) -> None:
    """Replace all rows by a random graph."""
    for table in reversed(Office.metadata.sorted_tables):
        if table.name == "office_person":
            connection.execute(update(table).values(boss_id=None, host_id=None))
        connection.execute(delete(table))
    rooms = [{"building": b, "number": n} for b in "ab" for n in range(pick.randint(1, 3))]
    connection.execute(insert(Room), rooms)

    def place() -> dict[str, Any]:
        return pick.choice([*rooms, {"building": None, "number": None}])

    count = pick.randint(1, 9)
    kinds = {i: pick.choice(["person", "manager", "guest"]) for i in range(1, count + 1)}
    ids = [*kinds, None]
    for i, kind in kinds.items():
        row = {"id": i, "kind": kind, "name": f"p{i}", "bio": pick.choice([None, f"bio {i}"]), **place()}
        connection.execute(insert(Person.__table__), row)
        if kind == "manager":
            connection.execute(insert(Manager.__table__), {"id": i, "title": f"t{i}", "memo": f"m{i}"})
    for i, kind in kinds.items():
        values = {"boss_id": pick.choice(ids), "host_id": pick.choice(ids) if kind == "guest" else None}
        connection.execute(update(Person.__table__).where(Person.id == i).values(values))
    managers = [None, *(i for i, kind in kinds.items() if kind == "manager")]
    for i in range(1, pick.randint(1, 12)):
        row = {"id": i, "title": f"task {i}", "priority": pick.randint(0, 5), "owner_id": pick.choice(ids)}
        connection.execute(insert(Task), {**row, "watcher_id": pick.choice(managers)})
    for i in range(1, pick.randint(1, 6)):
        connection.execute(insert(Thing), {"id": i, "label": f"thing {i}", **place()})
    for i in range(1, pick.randint(1, 5)):
        connection.execute(insert(Skill), {"id": i, "label": f"skill {i}"})
        for person in pick.sample(list(kinds), pick.randint(0, count)):
            link = {"person_id": person, "skill_id": i, "rank": 100 * person - i}
            connection.execute(insert(person_skill), link)


def ways_of(model: type[Any]) -> list[Any]:
    """Return the relationships of a class that hold something."""
    return [getattr(model, way.key) for way in inspect(model).relationships if way.lazy != "write_only"]


@st.composite
def ways(draw: Any, model: type[Any]) -> Way:
    steps: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        attribute = draw(st.sampled_from(ways_of(model)))
        steps.append(attribute)
        model = attribute.property.mapper.class_
        if model is Person:
            model = draw(st.sampled_from([Person, Manager, Guest]))
    return tuple(steps)


def name_of(entity: object) -> Any:
    return None if entity is None else (type(entity).__name__, inspect(entity).identity)


def behind(entity: Any, attribute: Any) -> list[Any]:
    value = getattr(entity, attribute.key)
    if not attribute.property.uselist:
        return [] if value is None else [value]
    found = list(value.values() if isinstance(value, dict) else value)
    return found if attribute.property.order_by else sorted(found, key=lambda each: inspect(each).identity)


def graph(entities: Iterable[Any], way: Way) -> Any:
    """Return what attribute access finds along a way: loaded by plain SQLAlchemy at each access, or there already."""
    first, *rest = way
    return [
        (
            name_of(entity),
            graph(behind(entity, first), tuple(rest)) if rest else list(map(name_of, behind(entity, first))),
        )
        for entity in entities
        if isinstance(entity, first.class_)
    ]


def steps_in(chosen: list[Way]) -> int:
    return len({tuple(str(step) for step in way[:end]) for way in chosen for end in range(1, len(way) + 1)})


def roots(model: type[Any]) -> Any:
    return select(model).order_by(*inspect(model).primary_key)


@pytest.fixture
def office(db: Database) -> Database:
    db.create_all(Office)
    return db


@settings(QUICK, max_examples=60)
@given(data=st.data(), pick=st.integers(0, 10**6))
def test_a_random_graph_is_what_lazy_loading_finds(office: Database, data: Any, pick: int) -> None:
    model = data.draw(st.sampled_from(MODELS))
    chosen = data.draw(st.lists(ways(model), min_size=1, max_size=3))
    with office.engine.begin() as connection:
        fill(connection, random.Random(pick))
    with Session(office.engine) as plain:
        entities = plain.scalars(roots(model)).all()
        expected = [graph(entities, way) for way in chosen]
    with office.begin() as uow:
        held = uow.all(roots(model))
        with office.recorded() as sent:
            uow.load(held, *[path(*way) for way in chosen])
        assert [graph(held, way) for way in chosen] == expected
        assert len(sent) <= steps_in(chosen)
        with office.recorded() as again:
            uow.load(held, *[path(*way) for way in chosen])
        assert again == []


@settings(QUICK, max_examples=8)
@given(data=st.data(), pick=st.integers(0, 10**6))
def test_async_drivers_fill_the_same_graph(async_url: str, data: Any, pick: int) -> None:
    model = data.draw(st.sampled_from(MODELS))
    chosen = data.draw(st.lists(ways(model), min_size=1, max_size=3))
    engine = plain_engine(async_url)
    with engine.begin() as connection:
        Office.metadata.create_all(connection)
        fill(connection, random.Random(pick))
    with Session(engine) as plain:
        entities = plain.scalars(roots(model)).all()
        expected = [graph(entities, way) for way in chosen]

    async def main() -> None:
        async with AsyncDatabase(async_url) as db, db.begin() as uow:
            held = await uow.all(roots(model))
            with db.recorded() as sent:
                await uow.load(held, *[path(*way) for way in chosen])
            assert [graph(held, way) for way in chosen] == expected
            assert len(sent) <= steps_in(chosen)

    asyncio.run(main())


def plain_engine(url: str) -> Engine:
    """Return an engine of plain SQLAlchemy, sync, on the same database."""
    for driver, sync in (("+asyncpg", "+psycopg"), ("+asyncmy", "+pymysql"), ("+aiosqlite", "")):
        url = url.replace(driver, sync)
    return create_engine(url, poolclass=NullPool)


# statements


def small(office: Database) -> None:
    with office.engine.begin() as connection:
        connection.execute(insert(Room), {"building": "a", "number": 1})
        people = [
            {"id": i, "kind": "person", "name": f"p{i}", "bio": f"bio {i}", "boss_id": i - 1 or None}
            for i in range(1, 5)
        ]
        for row in people:
            connection.execute(insert(Person.__table__), {**row, "building": "a", "number": 1})
        connection.execute(insert(Person.__table__), {"id": 5, "kind": "manager", "name": "p5", "boss_id": 4})
        connection.execute(insert(Manager.__table__), {"id": 5, "title": "chief", "memo": "secret"})
        tasks = [{"id": i, "title": f"t{i}", "priority": i, "owner_id": i, "watcher_id": 5} for i in range(1, 6)]
        connection.execute(insert(Task), tasks)


@pytest.fixture
def stocked(office: Database) -> Database:
    small(office)
    return office


def test_a_common_beginning_is_loaded_once(stocked: Database) -> None:
    with stocked.begin() as uow:
        people = uow.all(select(Person))
        with stocked.recorded() as sent:
            uow.load(
                people, path(Person.room, Room.things), path(Person.room, Room.people), Person.bio, Person.settings
            )
        # room, its things, its people, and both columns
        assert len(sent) == 4
        assert all(statement.sql.startswith("SELECT") for statement in sent)


def test_one_entity_stands_for_itself(stocked: Database) -> None:
    with stocked.begin() as uow:
        person = uow.get_one(Person, 1)
        with stocked.recorded() as sent:
            uow.load(person, Person.tasks)
        assert [task.id for task in person.tasks] == [1]
        assert len(sent) == 1


@pytest.mark.parametrize("nothing", [[], (), set(), iter([])], ids=repr)
def test_no_entity_is_no_statement(stocked: Database, nothing: Any) -> None:
    with stocked.begin() as uow, stocked.recorded() as sent:
        uow.load(nothing, path(Person.room, Room.things), Person.bio)
    assert sent == []


def test_a_depth_follows_the_last_step_that_often(stocked: Database) -> None:
    with stocked.begin() as uow:
        first = uow.get_one(Person, 1)
        with stocked.recorded() as sent:
            uow.load(first, path(Person.reports, depth=3))
        assert first.reports[0].reports[0].reports[0].id == 4
        with pytest.raises(NotLoaded, match=r"it was loaded at tests/db/test_load\.py:\d+ in test_a_depth"):
            _ = first.reports[0].reports[0].reports[0].reports
    assert len(sent) == 3


MANY = 33_000  # a statement of PostgreSQL has at most 32,767 parameters, one of SQLite 32,766


def numbers(database: str, first: int) -> str:
    """Return the FROM item that yields `MANY` numbers as `i`."""
    last = first + MANY - 1
    if database.startswith("mysql") or "maria" in database:
        return f"(SELECT seq AS i FROM seq_{first}_to_{last}) AS n"
    if "sqlite" not in database:
        return f"generate_series({first}, {last}) AS n(i)"
    return f"(WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT i FROM n)"


@pytest.mark.timeout(60)
def test_more_entities_than_a_statement_has_parameters(stocked: Database) -> None:
    source = numbers(stocked.engine.dialect.name, 100)
    with stocked.engine.begin() as connection:
        connection.execute(text(f"INSERT INTO office_room (building, number) SELECT 'm', i FROM {source}"))
        connection.execute(
            text(f"INSERT INTO office_thing (id, label, building, number) SELECT i, 'x', 'm', i FROM {source}")
        )
    with stocked.begin() as uow:
        things = uow.all(select(Thing))
        assert len(things) == MANY
        with stocked.recorded() as sent:
            uow.load(things, path(Thing.room, Room.things))  # a key of one column, then one of two
        assert all(thing.room is not None and thing.room.things == {thing} for thing in things)
    assert len(sent) == 2


@pytest.mark.timeout(60)
def test_more_entities_than_an_async_driver_has_parameters(async_url: str) -> None:
    source = numbers(async_url, 1)

    async def main() -> None:
        async with await opened(async_url) as db:
            async with db.begin() as uow:
                await uow.session.execute(text(f"INSERT INTO user_account (id, name) SELECT i, 'u' FROM {source}"))
                await uow.session.execute(
                    text(f"INSERT INTO address (id, email_address, user_id) SELECT i, 'e', i FROM {source}")
                )
            async with db.begin() as uow:
                users = await uow.all(select(User))
                with db.recorded() as sent:
                    await uow.load(users, User.addresses)
                assert sum(len(user.addresses) for user in users) == MANY
                assert len(sent) == 1

    asyncio.run(main())


# what is here stays


def test_what_is_loaded_stays_and_is_not_asked_for_again(stocked: Database) -> None:
    with stocked.begin() as uow:
        people = uow.all(select(Person).options(selectinload(Person.tasks)).order_by(Person.id))
        kept = people[0].tasks
        with stocked.recorded() as sent:
            uow.load(people, path(Person.tasks, Task.watcher))
        assert people[0].tasks is kept
        assert len(sent) == 1
        assert people[0].tasks[0].watcher is people[4]


def test_only_the_entities_that_lack_it_are_filled(stocked: Database) -> None:
    with stocked.begin() as uow:
        first = uow.get_one(Person, 1)
        uow.load(first, Person.tasks)
        stale = first.tasks
        people = uow.all(select(Person).order_by(Person.id))
        uow.load(people, Person.tasks)
        assert people[0] is first
        assert first.tasks is stale
        assert [task.id for person in people for task in person.tasks] == [1, 2, 3, 4, 5]


def test_an_entity_that_is_here_already_is_that_object_with_its_changes(stocked: Database) -> None:
    with stocked.begin() as uow:
        task = uow.get_one(Task, 1)
        person = uow.get_one(Person, 1)
        task.title = "changed here"
        uow.load(person, Person.tasks)
        assert person.tasks == [task]
        assert task.title == "changed here"


def test_pending_changes_to_the_tables_are_sent_first_and_others_are_not(stocked: Database) -> None:
    with stocked.begin() as uow:
        person = uow.get_one(Person, 1)
        uow.add(Skill(id=7, label="sql"))
        with stocked.recorded() as sent:
            uow.load(person, Person.tasks)
        assert [statement.sql.split()[0] for statement in sent] == ["SELECT"]
        uow.add(Task(id=9, title="new", priority=1, owner_id=1))
        uow.session.expire(person, ["tasks"])
        with stocked.recorded() as sent:
            uow.load(person, Person.tasks)
        assert [task.id for task in person.tasks] == [1, 9]
        assert [statement.sql.split()[0] for statement in sent] == ["INSERT", "INSERT", "SELECT"]


def test_a_child_given_by_its_parent_is_in_the_collection_once(stocked: Database) -> None:
    with stocked.begin() as uow:
        person = uow.get_one(Person, 1)
        task = Task(id=9, title="new", priority=1, owner=person)
        uow.add(task)
        uow.load(person, Person.tasks)
        assert [each.id for each in person.tasks] == [1, 9]


def test_a_new_entity_behind_a_step_is_sent_and_filled(stocked: Database) -> None:
    with stocked.begin() as uow:
        person = uow.get_one(Person, 1)
        uow.load(person, Person.tasks)
        person.tasks.append(Task(id=9, title="new", priority=1, watcher_id=5))
        uow.load(person, path(Person.tasks, Task.watcher))
        assert [task.watcher.id for task in person.tasks if task.watcher] == [5, 5]


def test_a_deleted_child_is_not_in_the_collection(stocked: Database) -> None:
    with stocked.begin() as uow:
        uow.delete(uow.get_one(Task, 1))
        person = uow.get_one(Person, 1)
        uow.load(person, Person.tasks)
        assert person.tasks == []


def test_loading_marks_nothing_as_changed(stocked: Database) -> None:
    with stocked.begin() as uow:
        people = uow.all(select(Person))
        uow.load(people, Person.tasks, Person.room, Person.bio, Person.skills, Person.by_title)
        assert not uow.session.dirty
        with stocked.recorded() as sent:
            uow.flush()
        assert sent == []


def test_a_criterion_of_the_session_holds_for_what_is_loaded(stocked: Database) -> None:
    with stocked.begin() as uow:

        @event.listens_for(uow.session, "do_orm_execute")
        def _hide(state: Any) -> None:
            state.statement = state.statement.options(with_loader_criteria(Task, Task.id != 2))

        people = uow.all(select(Person))
        uow.load(people, Person.tasks)
        assert sorted(task.id for person in people for task in person.tasks) == [1, 3, 4, 5]


# columns


def test_a_deferred_column_is_one_statement_and_leaves_changes_alone(stocked: Database) -> None:
    with stocked.begin() as uow:
        people = uow.all(select(Person).order_by(Person.id))
        people[0].bio = "mine"
        people[1].name = "renamed"
        with stocked.recorded() as sent:
            uow.load(people, Person.bio)
        assert [person.bio for person in people] == ["mine", "bio 2", "bio 3", "bio 4", None]
        assert people[1].name == "renamed"
        assert [statement.sql.split()[0] for statement in sent if "UPDATE" not in statement.sql] == ["SELECT"]


def test_a_column_behind_a_path_is_one_statement_more(stocked: Database) -> None:
    with stocked.begin() as uow:
        tasks = uow.all(select(Task))
        with stocked.recorded() as sent:
            uow.load(tasks, path(Task.owner, Person.bio))
        assert sorted(task.owner.bio or "" for task in tasks if task.owner) == ["", "bio 1", "bio 2", "bio 3", "bio 4"]
    assert len(sent) == 2


def test_a_mutable_column_is_still_tracked(stocked: Database) -> None:
    with stocked.begin() as uow:
        person = uow.get_one(Person, 1)
        person.settings = {"theme": "dark"}
    with stocked.begin() as uow:
        person = uow.get_one(Person, 1)
        uow.load(person, Person.settings)
        assert person.settings is not None
        person.settings["theme"] = "light"
    assert stocked.all(select(Person.settings).where(Person.id == 1)) == [{"theme": "light"}]


def test_expired_attributes_are_read_again(stocked: Database) -> None:
    with stocked.begin() as uow:
        people = uow.all(select(Person).order_by(Person.id))
        for person in people:
            uow.session.expire(person)
        with stocked.recorded() as sent:
            uow.load(people, Person.name, Person.tasks)
        assert [person.name for person in people] == ["p1", "p2", "p3", "p4", "p5"]
        assert len(people[0].tasks) == 1
    assert len(sent) == 2


def test_a_row_that_is_gone_is_refused_and_not_left_unloaded(stocked: Database) -> None:
    with stocked.begin() as uow:
        uow.session.execute(delete(Task))
        uow.add(Task(id=1, title="t", priority=1))
        uow.flush()
        task = uow.get_one(Task, 1)
        uow.session.expire(task, ["title"])
        uow.session.execute(delete(Task).execution_options(synchronize_session=False))
        with pytest.raises(CannotLoad, match="a row of Task is not in the database any more"):
            uow.load(task, Task.title)


# inheritance, keys, cardinality


def test_an_attribute_of_a_subclass_is_filled_where_it_is(stocked: Database) -> None:
    with stocked.begin() as uow:
        people = uow.all(select(Person).order_by(Person.id))
        with stocked.recorded() as sent:
            uow.load(people, path(Manager.watched, Task.owner), Manager.memo)
        chief = people[4]
        assert isinstance(chief, Manager)
        assert chief.memo == "secret"
        assert [task.owner for task in chief.watched] == people
    assert len(sent) == 3


def test_keys_of_every_type_are_found(office: Database) -> None:
    noon = datetime.datetime(2026, 1, 2, 12, 0, 0, 123456)  # noqa: DTZ001  # the column of a plain base has no zone
    stamps = [
        {
            "uid": uuid.UUID(int=i),
            "digest": bytes([0, i, 255]),
            "at": noon,
            "cost": Decimal("1.10"),
            "text": f"ü'\"\\{i}",
        }
        for i in range(3)
    ]
    with office.engine.begin() as connection:
        connection.execute(insert(Stamp), stamps)
        connection.execute(insert(Mark), [{"id": i, **stamps[i % 2]} for i in range(1, 5)])
        connection.execute(insert(Blob), [{"digest": bytes([0, i]), "note": f"n{i}"} for i in range(3)])
    with office.begin() as uow:
        found = uow.all(select(Stamp).order_by(Stamp.text))
        with office.recorded() as sent:
            uow.load(found, path(Stamp.marks, Mark.stamp))
        assert [[mark.id for mark in stamp.marks] for stamp in found] == [[2, 4], [1, 3], []]
        assert len(sent) == 2
        blobs = uow.all(select(Blob).order_by(Blob.digest))
        uow.load(blobs, Blob.note)
        assert [blob.note for blob in blobs] == ["n0", "n1", "n2"]


def test_a_key_whose_parameters_are_wrapped_in_sql_is_found(office: Database) -> None:
    with office.engine.begin() as connection:
        connection.execute(insert(Code), [{"code": code, "note": f"about {code}"} for code in ("A", "B")])
    with office.begin() as uow:
        codes = uow.all(select(Code).order_by(Code.code))
        with office.recorded() as sent:
            uow.load(codes, Code.note)
        assert [code.note for code in codes] == ["about A", "about B"]
    assert len(sent) == 1
    assert sent[0].sql.lower().count("upper(") == 2


def test_a_key_given_in_another_type_is_refused_and_not_taken_for_empty(tmp_path: Any) -> None:
    with Database(f"sqlite:///{tmp_path / 'keys.db'}") as db:
        db.create_all(Office)
        with db.begin() as uow:
            skill = Skill(id="7", label="x")
            uow.add(skill)
            uow.flush()
            uow.session.expire(skill, ["people"])
            uow.session.execute(
                insert(Person.__table__),
                {"id": 1, "kind": "person", "name": "p", "building": None},
            )
            uow.session.execute(insert(person_skill), {"person_id": 1, "skill_id": 7, "rank": 1})
            with pytest.raises(CannotLoad, match="its key has another type here than in the database"):
                uow.load(skill, Skill.people)


def test_a_to_one_with_several_rows_warns_as_sqlalchemy_does(db: Database) -> None:
    class Loose(DeclarativeBase):
        pass

    class Parent(Loose):
        __tablename__ = "loose_parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        child: Mapped[Child | None] = relationship(order_by="Child.id.desc()")

    class Child(Loose):
        __tablename__ = "loose_child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("loose_parent.id"))

    db.create_all(Loose)
    with db.engine.begin() as connection:
        connection.execute(insert(Parent), {"id": 1})
        connection.execute(insert(Child), [{"id": i, "parent_id": 1} for i in (1, 2)])
    with db.begin() as uow:
        parent = uow.get_one(Parent, 1)
        with pytest.warns(SAWarning, match="Multiple rows for Parent.child"):
            uow.load(parent, Parent.child)
        assert parent.child is not None
        assert parent.child.id == 2


# refusals: before anything is sent, so that one database stands for all


@pytest.fixture
def local() -> Iterator[Database]:
    with Database("sqlite:///:memory:") as made:
        made.create_all(Office)
        small(made)
        yield made


def _transient(uow: UnitOfWork) -> object:
    return Person(name="x")


def _pending(uow: UnitOfWork) -> object:
    person = Person(name="x")
    uow.add(person)
    return person


def _marked(uow: UnitOfWork) -> object:
    person = uow.get_one(Person, 1)
    uow.delete(person)
    return person


def _deleted(uow: UnitOfWork) -> object:
    manager = Manager(id=9, name="x", title="t")
    uow.add(manager)
    uow.flush()
    uow.delete(manager)
    uow.flush()
    return manager


def _expunged(uow: UnitOfWork) -> object:
    person = uow.get_one(Person, 1)
    uow.session.expunge(person)
    return person


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_transient, r"it is new, and was not added to this unit of work\nfix: uow.add\(entity\), then uow.flush\(\)"),
        (_pending, r"it is new, and was not sent yet\nfix: uow.flush\(\) first"),
        (_marked, r"it is deleted in this unit of work\nfix: load before uow.delete\(entity\)"),
        (_deleted, "it is deleted in this unit of work"),
        (_expunged, r"its unit of work has ended\nfix: .*uow.get\(Person, key\)"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_entity_that_is_not_stored_here_is_refused_before_anything_is_sent(
    local: Database, make: Callable[[UnitOfWork], object], why: str
) -> None:
    with pytest.raises(ZeroDivisionError), local.begin() as uow:
        stored = uow.get_one(Person, 2)
        entity = make(uow)
        with local.recorded() as sent, pytest.raises(CannotLoad, match=why):
            uow.load([stored, entity], Person.tasks)
        assert sent == []
        _ = 1 / 0


def test_an_entity_of_another_unit_is_refused(local: Database) -> None:
    with local.begin() as other, local.begin() as uow:
        person = other.get_one(Person, 1)
        with pytest.raises(CannotLoad, match="it belongs to another unit of work"):
            uow.load(person, Person.tasks)
    with local.begin() as uow, pytest.raises(CannotLoad, match="its unit of work has ended"):
        uow.load(person, Person.tasks)


def test_a_unit_that_is_not_open_says_so(local: Database) -> None:
    with local.begin() as uow:
        person = uow.get_one(Person, 1)
    for entities in (person, [person], []):
        with pytest.raises(UnitClosed):
            uow.load(entities, Person.tasks)


@pytest.mark.parametrize(
    ("paths", "what"),
    [
        (["tasks"], "a path of str cannot be loaded"),
        ([selectinload(Person.tasks)], "a path of Load cannot be loaded"),
        ([path()], r"an empty path\(\) cannot be loaded"),
        ([path(Person.reports, depth=0)], "depth=0 loads nothing"),
        ([User.addresses], r"User.addresses cannot be loaded\nwhy: the entities are of Person"),
        (
            [path(Person.tasks, Task.owner, Task.title)],
            r"Task.title cannot be loaded\nwhy: the step before leads to Person",
        ),
        ([path(Person.name, Person.tasks)], "Person.name cannot be loaded\nwhy: it is a column"),
        (
            [Person.tasks.and_(Task.priority > 1)],
            "Person.tasks cannot be loaded\nwhy: it is not the attribute of the class",
        ),
        ([Person.boss.of_type(Manager)], "it is not the attribute of the class itself"),
        ([aliased(Person).tasks], "it is not the attribute of the class itself"),
        ([Person.alias], "it is not the attribute of the class itself"),
        ([Person.shout], "Person.shout cannot be loaded\nwhy: it is not the attribute of the class itself"),
        ([Person.task_titles], "a path of .*AssociationProxy.* cannot be loaded"),
        ([path(Person.room, Room.things, Thing.place)], "Thing.place cannot be loaded\nwhy: it is a Composite"),
        ([Person.feed], r"lazy='write_only'[\s\S]*uow.all\(entity.feed.select\(\)\)"),
        ([Person], "a path of DeclarativeAttributeIntercept cannot be loaded"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_before_anything_is_sent(
    local: Database, paths: list[Any], what: str
) -> None:
    with local.begin() as uow:
        person = uow.get_one(Person, 1)
        with local.recorded() as sent, pytest.raises(CannotLoad, match=what):
            uow.load(person, *paths)
        assert sent == []


@pytest.mark.parametrize("entities", [None, 5, "ab", Person, [None], [5], select(Person)], ids=repr)
def test_what_is_no_entity_is_refused(local: Database, entities: Any) -> None:
    with local.begin() as uow, pytest.raises(CannotLoad, match="is not a mapped class"):
        uow.load(entities, Person.tasks)


# shells


async def _two(db: AsyncDatabase) -> None:
    async with db.begin() as uow:
        for name in ("ann", "bob"):
            uow.add(User(name=name, bio=f"{name}'s", addresses=[Address(email_address=f"{name}@x")]))


def test_async_load_awaits_what_it_sends_and_attributes_stay_refused(async_url: str) -> None:
    async def main() -> None:
        async with await opened(async_url) as db:
            await _two(db)
            async with db.begin() as uow:
                users = await uow.all(select(User).order_by(User.id))
                with db.recorded() as sent:
                    with pytest.raises(NotLoaded, match=r"await uow.load\(entities, User.addresses\)"):
                        await uow.load((a for user in users for a in user.addresses), Address.user)
                assert sent == []
                with db.recorded() as sent:
                    await uow.load(users, path(User.addresses, Address.user), User.bio)
                assert len(sent) == 3
                assert [(user.bio, user.addresses[0].user is user) for user in users] == [
                    ("ann's", True),
                    ("bob's", True),
                ]
            with pytest.raises(UnitClosed):
                await uow.load(users, User.addresses)

    asyncio.run(main())


def test_a_repository_loads_too(stocked: Database, async_url: str) -> None:
    class People(Repository[Person]):
        def busy(self) -> list[Person]:
            found = self.all(select(Person).order_by(Person.id))
            self.load(found, Person.tasks)
            return found

    with stocked.begin() as unit:
        assert [len(person.tasks) for person in People(unit).busy()] == [1, 1, 1, 1, 1]

    class Users(AsyncRepository[User]):
        async def full(self) -> list[User]:
            found = await self.all(select(User))
            await self.load(found, User.addresses)
            return found

    async def main() -> None:
        async with await opened(async_url) as db:
            await _two(db)
            async with db.begin() as uow:
                assert [len(user.addresses) for user in await Users(uow).full()] == [1, 1]

    asyncio.run(main())
