"""The corners of reading shapes: odd names, odd mappings, odd statements, rows that broke the schema's word."""

from __future__ import annotations

import decimal
import enum
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import pytest
import requires
from shapes_support import every_strategy
from sqlalchemy import (
    Column,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    PickleType,
    String,
    Table,
    bindparam,
    desc,
    exists,
    func,
    literal_column,
    select,
    text,
    tuple_,
)
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    aliased,
    column_property,
    contains_eager,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
    with_loader_criteria,
)
from sqlalchemy.types import TypeDecorator

from hermetic import Database, Shape, ShapeError, TooDeep, ValueMismatch, WrongStatement, count, many, path
from hermetic.shape.statement import order_of


class Plain(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {str: String(200)}  # MariaDB has no VARCHAR without a length


class Colour(enum.Enum):
    RED = "r"
    GREEN = "g"
    CRIMSON = "r"  # an alias


team_tag = Table(
    "team_tag",
    Plain.metadata,
    Column("team_id", ForeignKey("team.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
    Column("position", Integer),
)


class Tag(Plain):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    colour: Mapped[Colour]


class Team(Plain):
    __tablename__ = "team"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    people: Mapped[list[Person]] = relationship(back_populates="team", order_by="Person.name.desc()")
    managers: Mapped[list[Manager]] = relationship(viewonly=True)
    staff_named_b: Mapped[list[Person]] = relationship(
        primaryjoin="and_(Person.team_id == Team.id, Person.name.like('b%'))", viewonly=True
    )
    tags: Mapped[list[Tag]] = relationship(secondary=team_tag, order_by=team_tag.c.position.desc())


class Person(Plain):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str] = mapped_column(String(200))
    team_id: Mapped[int] = mapped_column(ForeignKey("team.id"))
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    notes: Mapped[str | None] = mapped_column(deferred=True)
    shout: Mapped[str] = column_property(func.upper(name))
    team: Mapped[Team] = relationship(back_populates="people", lazy="joined")
    boss: Mapped[Person | None] = relationship(remote_side="Person.id", back_populates="reports")
    reports: Mapped[list[Person]] = relationship(back_populates="boss")
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012


Team.size = column_property(
    select(func.count(Person.id)).where(Person.team_id == Team.id).correlate_except(Person).scalar_subquery()
)  # type: ignore[attr-defined]


class Manager(Person):  # single table
    budget: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "manager"}  # noqa: RUF012


class Engineer(Person):  # joined table
    __tablename__ = "engineer"
    engineer_id: Mapped[int] = mapped_column(ForeignKey("person.id"), primary_key=True)
    language: Mapped[str]
    tools: Mapped[list[Tool]] = relationship(back_populates="owner")
    __mapper_args__ = {"polymorphic_identity": "engineer"}  # noqa: RUF012


class Tool(Plain):
    __tablename__ = "tool"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("engineer.engineer_id"))
    owner: Mapped[Engineer | None] = relationship(back_populates="tools")


class Order(Plain):
    __tablename__ = "Select From"
    a: Mapped[int] = mapped_column("A%s", primary_key=True)
    b: Mapped[str] = mapped_column('b:"x"', primary_key=True)
    user: Mapped[str] = mapped_column("user")
    lines: Mapped[list[Line]] = relationship(back_populates="order")


class Line(Plain):
    __tablename__ = "LINE(s)"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_a: Mapped[int] = mapped_column()
    order_b: Mapped[str] = mapped_column()
    percent: Mapped[int] = mapped_column("100%(x)s")
    order: Mapped[Order] = relationship(back_populates="lines")
    __table_args__ = (ForeignKeyConstraint([order_a, order_b], [Order.a, Order.b]),)


class Node(Plain):
    __tablename__ = "node"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("node.id"))
    children: Mapped[list[Node]] = relationship()


class Doc(Plain):
    __tablename__ = "doc"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str | None]
    is_gone: Mapped[bool]
    pages: Mapped[list[Page]] = relationship(back_populates="doc")
    cover: Mapped[Page | None] = relationship(
        primaryjoin="and_(Page.doc_id == Doc.id, Page.is_cover)", viewonly=True, uselist=False
    )


class Page(Plain):
    __tablename__ = "page"
    id: Mapped[int] = mapped_column(primary_key=True)
    doc_id: Mapped[int] = mapped_column(ForeignKey("doc.id"))
    is_cover: Mapped[bool]
    doc: Mapped[Doc] = relationship(back_populates="pages")
    shown_doc: Mapped[Doc | None] = relationship(
        primaryjoin="and_(Page.doc_id == Doc.id, Doc.is_gone == False)", viewonly=True
    )


Index("one_cover", Page.doc_id, unique=True, postgresql_where=Page.is_cover, sqlite_where=Page.is_cover).ddl_if(
    dialect=("postgresql", "sqlite")
)  # elsewhere an index holds all rows


class WideRow(Plain):
    __table__ = Table(
        "wide",
        Plain.metadata,
        Column("id", Integer, primary_key=True),
        Column("doc_id", ForeignKey("doc.id")),
        *(Column(f"c{n}", Integer) for n in range(300)),
    )


Doc.rows = relationship(WideRow)  # type: ignore[attr-defined]


def rows() -> list[Any]:
    people = [
        Person(id=1, name="ann", team_id=1, notes="n1"),
        Manager(id=2, name="bob", team_id=1, budget=7, notes="n2"),
        Engineer(id=3, name="bea", team_id=1, boss_id=2, language="c", notes="n3"),
        Engineer(id=4, name="carl", team_id=2, boss_id=2, language="py"),
    ]
    return [
        *(Tag(id=n, name=f"t{n}", colour=Colour.GREEN if n % 2 else Colour.RED) for n in (1, 2, 3)),
        *(Team(id=n, name=name) for n, name in ((1, "x"), (2, "y"), (3, "%"))),
        *people,
        Tool(id=1, name="hammer", owner_id=3),
        Tool(id=2, name="saw", owner_id=3),
        Tool(id=3, name="none", owner_id=None),
        Order(a=1, b="x", user="u%(y)s", lines=[Line(percent=5), Line(percent=6)]),
        Order(a=1, b="y", user="u"),
        Order(a=2, b="x", user=":v", lines=[Line(percent=7)]),
        Doc(id=1, title="one", is_gone=False),
        Doc(id=2, title=None, is_gone=True),
        Page(id=1, doc_id=1, is_cover=True),
        Page(id=2, doc_id=1, is_cover=False),
        Page(id=3, doc_id=2, is_cover=False),
        Page(id=4, doc_id=1, is_cover=False),
        WideRow(id=1, doc_id=1, **{f"c{n}": n for n in range(300)}),
        WideRow(id=2, doc_id=1),
    ]


@pytest.fixture(scope="module", params=["sqlite3", "psycopg", "pymysql"])
def db(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, new_database: Callable[..., str]
) -> Iterator[Database]:
    """A database with the rows of `rows()`; the tests here only read."""
    file: Path = tmp_path_factory.mktemp("edges") / "edges.db"
    # the partial index of `one_cover` must not be there twice, and `page` breaks it on purpose nowhere
    with Database(f"sqlite:///{file}" if request.param == "sqlite3" else new_database(request.param)) as made:
        made.create_all(Plain)
        with made.begin() as uow:
            for each in rows():
                uow.add(each)
                uow.flush()
            uow.session.execute(
                team_tag.insert(),
                [{"team_id": 1, "tag_id": n, "position": n} for n in (1, 2, 3)]
                + [{"team_id": 2, "tag_id": n, "position": -n} for n in (1, 3)],
            )
        yield made


@pytest.fixture
def scratch(db: Database, sqlite_url: str, new_database: Callable[..., str]) -> Iterator[Database]:
    """An empty database that a test may fill and break."""
    with Database(sqlite_url if db.engine.dialect.name == "sqlite" else new_database(db.engine.driver)) as made:
        made.create_all(Plain)
        yield made


def read(db: Database, shape: Any, statement: Any) -> list[Any]:
    """Return the shapes as plain data; the number of statements is the plan's, and every strategy finds the same."""
    with db.recorded() as sent:
        found = msgspec.to_builtins(db.all(shape, statement))
    plan = db.plan(shape, statement)
    assert len(sent) == plan.statements
    for asked in every_strategy(db, shape, statement):
        again = msgspec.to_builtins(db.all(shape, asked))
        in_order = again if order_of(statement) else sorted(again, key=repr)
        assert in_order == (found if order_of(statement) else sorted(found, key=repr)), db.plan(shape, asked).strategy
    return found


class PersonName(Shape[Person]):
    name: str


class TagName(Shape[Tag]):
    name: str


class TeamCard(Shape[Team]):
    id: int
    people: list[PersonName]


class ToolCard(Shape[Tool]):
    name: str


def names(found: list[Any], *keys: str) -> list[Any]:
    return [[child["name"] for child in each[key]] for each in found for key in keys]


# the statement


def test_empty_tables_read_as_an_empty_list(scratch: Database) -> None:
    assert read(scratch, TeamCard, select(Team)) == []
    assert scratch.get(TeamCard, 1) is None


def test_aliased_entity_is_read_like_its_class(db: Database) -> None:
    other = aliased(Team, name="zz")
    assert read(db, TeamCard, select(other).where(other.id == 2)) == [{"id": 2, "people": [{"name": "carl"}]}]


def test_alias_of_a_subquery_is_read_like_its_class(db: Database) -> None:
    other = aliased(Team, select(Team).where(Team.id > 1).limit(5).subquery())
    assert names(read(db, TeamCard, select(other).order_by(other.id)), "people") == [["carl"], []]


def test_join_to_the_child_table_multiplies_rows_and_leaves_collections_whole(db: Database) -> None:
    joined = select(Team).join(Team.people).where(Person.name == "ann")
    assert names(read(db, TeamCard, joined), "people") == [["bob", "bea", "ann"]]
    assert len(read(db, TeamCard, select(Team).join(Team.people))) == 4


def test_any_and_has_and_exists_filter_roots_only(db: Database) -> None:
    found = read(db, TeamCard, select(Team).where(Team.people.any(Person.name == "bob")))
    assert names(found, "people") == [["bob", "bea", "ann"]]
    assert read(db, PersonName, select(Person).where(Person.team.has(Team.name == "y"))) == [{"name": "carl"}]
    assert len(read(db, TeamCard, select(Team).where(exists().where(Person.team_id == Team.id)))) == 2


def test_implicit_join_and_cte_and_window_statements_are_read(db: Database) -> None:
    assert len(read(db, TeamCard, select(Team).where(Team.id == Person.team_id, Person.name == "ann"))) == 1
    chosen = select(Person.team_id).where(Person.name == "carl").cte("chosen")
    assert names(read(db, TeamCard, select(Team).join(chosen, chosen.c.team_id == Team.id)), "people") == [["carl"]]
    assert names(read(db, TeamCard, select(Team).select_from(Person).join(Person.team).where(Person.id == 4)), "people")


def test_self_join_in_the_statement_keeps_rows_apart(db: Database) -> None:
    class Card(Shape[Person]):
        name: str
        boss: PersonName | None
        reports: list[PersonName]

    boss = aliased(Person)
    statement = select(Person).join(boss, Person.boss_id == boss.id).order_by(Person.id)
    expected = [{"name": name, "boss": {"name": "bob"}, "reports": []} for name in ("bea", "carl")]
    assert read(db, Card, statement) == expected
    bosses = select(boss).join(Person, Person.boss_id == boss.id).where(Person.name == "bea")
    assert names(read(db, Card, bosses), "reports") == [["bea", "carl"]]


def test_distinct_keeps_one_row_for_each_parent(db: Database) -> None:
    class Letter(Shape[Person]):
        team: TeamCard

    joined = select(Team).join(Team.people).distinct().order_by(Team.name)
    assert [each["id"] for each in read(db, TeamCard, joined)] == [1, 2]
    assert len(read(db, Letter, select(Person).distinct())) == 4


def test_order_by_nulls_limit_and_offset_are_the_statements_own(db: Database) -> None:
    requires.needs(db, "placed nulls")

    class Card(Shape[Doc]):
        id: int

    assert read(db, Card, select(Doc).order_by(Doc.title.nulls_first())) == [{"id": 2}, {"id": 1}]
    assert read(db, Card, select(Doc).order_by(Doc.title.nulls_last()).limit(1).offset(1)) == [{"id": 2}]


def test_order_by_a_name_in_text_means_the_entitys_column(db: Database) -> None:
    class ByName(Shape[Person]):
        id: int
        name: Annotated[str, path(Person.team, Team.name)]

    class Nameless(Shape[Person]):
        id: int

    for shape in (ByName, Nameless):
        found = read(db, shape, select(Person).order_by("name"))
        assert [each["id"] for each in found] == [1, 3, 2, 4]
        found = read(db, shape, select(Person).order_by(desc("name")))
        assert [each["id"] for each in found] == [4, 2, 3, 1]


@pytest.mark.parametrize("number", [1, 3, 1000])
def test_in_with_other_values_compiles_nothing_again(db: Database, number: int) -> None:
    def statement(keys: list[int]) -> Any:
        return select(Team).where(Team.id.in_(keys)).order_by(Team.id)

    plan = db.plan(TeamCard, statement([5]))
    assert [each["id"] for each in read(db, TeamCard, statement(list(range(1, number + 1))))] == [1, 2, 3][:number]
    assert read(db, TeamCard, statement([])) == []
    assert db.plan(TeamCard, statement([7, 8])) is plan


def test_in_of_tuples_and_columns_with_odd_names_bind_the_second_callers_values(db: Database) -> None:
    class Card(Shape[Order]):
        a: int
        b: str
        user: str
        percents: Annotated[list[LineCard], many(Order.lines, where=Line.percent > 5)]

    def statement(a: int, keys: list[tuple[int, str]], users: list[str]) -> Any:
        return select(Order).where(
            Order.a == a, Order.b != f"{a}", tuple_(Order.a, Order.b).in_(keys), Order.user.in_(users)
        )

    assert read(db, Card, statement(2, [(2, "x")], [":v"])) == [
        {"a": 2, "b": "x", "user": ":v", "percents": [{"percent": 7}]}
    ]
    assert read(db, Card, statement(1, [(1, "x"), (1, "z")], ["u%(y)s", "u"])) == [
        {"a": 1, "b": "x", "user": "u%(y)s", "percents": [{"percent": 6}]}
    ]


class LineCard(Shape[Line]):
    percent: int


def test_percent_and_colon_in_literals_reach_the_server_unchanged(db: Database) -> None:
    assert len(read(db, TeamCard, select(Team).where(Team.name == literal_column("'%'")))) == 1
    assert len(read(db, TeamCard, select(Team).where(text("name = '%' AND ':x' = ':x'".replace(":x", "\\:x"))))) == 1
    assert len(read(db, TeamCard, select(Team).where(Team.name.contains("%", autoescape=True)))) == 1


def test_named_parameters_of_the_statement_are_bound(db: Database) -> None:
    statement = select(Team).where(Team.id == bindparam("key")).params(key=2)
    assert names(read(db, TeamCard, statement), "people") == [["carl"]]
    assert names(read(db, TeamCard, select(Team).where(Team.id == bindparam("key")).params(key=1)), "people") != [
        ["carl"]
    ]
    literal = select(Team).where(Team.id == bindparam("k", 2, literal_execute=True))
    assert names(read(db, TeamCard, literal), "people") == [["carl"]]


def test_loader_options_of_the_statement_do_no_harm(db: Database) -> None:
    for option in (selectinload(Team.people), joinedload(Team.people)):
        assert len(read(db, TeamCard, select(Team).options(option))) == 3
    eager = select(Team).join(Team.people).options(contains_eager(Team.people))
    assert len(read(db, TeamCard, eager)) == 4


def test_loader_criteria_of_the_statement_hold_for_roots_and_children(db: Database) -> None:
    only = with_loader_criteria(Person, Person.name != "bob", include_aliases=True)
    assert names(read(db, TeamCard, select(Team).options(only).order_by(Team.id)), "people") == [
        ["bea", "ann"],
        ["carl"],
        [],
    ]
    assert len(read(db, PersonName, select(Person).options(only))) == 3
    other = with_loader_criteria(Person, Person.name != "ann", include_aliases=True)
    assert names(read(db, TeamCard, select(Team).options(other).limit(1).order_by(Team.id)), "people") == [
        ["bob", "bea"]
    ]
    again = with_loader_criteria(Person, Person.name != "bea", include_aliases=True)
    assert names(read(db, TeamCard, select(Team).options(again).limit(1).order_by(Team.id)), "people") == [
        ["bob", "ann"]
    ]


# the mapping


def test_two_collections_of_one_child_and_relationship_order_and_join_are_kept(db: Database) -> None:
    class Card(Shape[Team]):
        people: list[PersonName]
        staff_named_b: list[PersonName]
        by_name: Annotated[list[PersonName], many(Team.people, order_by=Person.name)]
        first: Annotated[list[PersonName], many(Team.people, limit=1)]

    found = read(db, Card, select(Team).where(Team.id == 1))
    assert names(found, "people", "by_name", "first") == [["bob", "bea", "ann"], ["ann", "bea", "bob"], ["bob"]]
    assert sorted(names(found, "staff_named_b")[0]) == ["bea", "bob"]


@pytest.mark.parametrize("limit", [None, 2])
def test_order_by_a_column_of_the_secondary_table_orders_the_children(db: Database, limit: int | None) -> None:
    class Card(Shape[Team]):
        id: int
        tags: Annotated[list[TagName], many(Team.tags, limit=limit)]
        backwards: Annotated[list[TagName], many(Team.tags, order_by=team_tag.c.position, limit=limit)]

    class Nested(Shape[Person]):
        team: Card

    class Deep(Shape[Team]):
        people: list[Nested]

    found = read(db, Card, select(Team).order_by(Team.id))
    assert names(found, "tags") == [["t3", "t2", "t1"][:limit], ["t1", "t3"], []]
    assert names(found, "backwards") == [["t1", "t2", "t3"][:limit], ["t3", "t1"], []]
    deep = read(db, Deep, select(Team).where(Team.id == 1))
    assert names([each["team"] for each in deep[0]["people"]], "tags") == [["t3", "t2", "t1"][:limit]] * 3


def test_filter_on_a_column_of_the_secondary_table_filters_the_children(db: Database) -> None:
    class Card(Shape[Team]):
        tags: Annotated[list[TagName], many(Team.tags, where=team_tag.c.position > 1)]
        tag_count: Annotated[int, count(Team.tags, where=team_tag.c.position > 1)]

    found = read(db, Card, select(Team).order_by(Team.id))
    assert [each["tag_count"] for each in found] == [2, 0, 0]
    assert names(found, "tags") == [["t3", "t2"], [], []]


def test_filter_of_a_collection_may_hold_subqueries_over_its_own_and_other_tables(db: Database) -> None:
    class Card(Shape[Team]):
        top: Annotated[
            list[PersonName], many(Team.people, where=Person.id == select(func.max(Person.id)).scalar_subquery())
        ]
        led: Annotated[list[PersonName], many(Team.people, where=Person.reports.any())]
        of_x: Annotated[list[PersonName], many(Team.people, where=Person.team.has(Team.name == "x"), limit=5)]
        bossed: Annotated[int, count(Team.people, where=Person.boss.has(Person.name == "bob"))]

    found = read(db, Card, select(Team).order_by(Team.id))
    assert names(found, "top") == [[], ["carl"], []]
    assert names(found, "led") == [["bob"], [], []]
    assert names(found, "of_x") == [["bob", "bea", "ann"], [], []]
    assert [each["bossed"] for each in found] == [1, 1, 0]


def test_filter_that_names_the_parent_is_refused() -> None:
    with pytest.raises(ShapeError, match="where names team"):

        class Card(Shape[Team]):
            people: Annotated[list[PersonName], many(Team.people, where=Person.name == Team.name)]

    with pytest.raises(ShapeError, match="order_by names team"):

        class Other(Shape[Team]):
            people: Annotated[list[PersonName], many(Team.people, order_by=Team.name)]

    with pytest.raises(ShapeError, match="where names team"):

        class Third(Shape[Team]):
            people_count: Annotated[int, count(Team.people, where=Person.name == Team.name)]


@pytest.mark.parametrize("limit", [None, 9])
def test_deferred_columns_and_column_properties_are_read(db: Database, limit: int | None) -> None:
    class Line(Shape[Person]):
        notes: str | None
        shout: str
        size: Annotated[int | None, path(Person.team, Team.size)]  # type: ignore[attr-defined]

    class Card(Shape[Team]):
        size: int | None
        people: Annotated[list[Line], many(Team.people, order_by=Person.shout, limit=limit)]

    found = read(db, Card, select(Team).where(Team.id == 1))
    line = [("n1", "ANN"), ("n3", "BEA"), ("n2", "BOB")]
    assert found == [{"size": 3, "people": [{"notes": n, "shout": s, "size": 3} for n, s in line]}]
    assert read(db, Line, select(Person).where(Person.id == 1)) == [{"notes": "n1", "shout": "ANN", "size": 3}]


@pytest.mark.parametrize("limit", [None, 2])
def test_inheritance_is_read_at_the_root_and_in_collections(db: Database, limit: int | None) -> None:
    class EngineerCard(Shape[Engineer]):
        name: str
        language: str
        tools: Annotated[list[ToolCard], many(Engineer.tools, limit=limit)]
        boss: PersonName | None

    class Owned(Shape[Tool]):
        owner: EngineerCard | None
        boss_name: Annotated[str | None, path(Tool.owner, Engineer.boss, Person.name)]

    class Managers(Shape[Team]):
        managers: Annotated[list[ManagerCard], many(Team.managers, limit=limit)]
        manager_count: Annotated[int, count(Team.managers)]

    bea = {"name": "bea", "language": "c", "tools": [{"name": "hammer"}, {"name": "saw"}], "boss": {"name": "bob"}}
    assert read(db, EngineerCard, select(Engineer).where(Engineer.name == "bea")) == [bea]
    tools = read(db, Owned, select(Tool).order_by(Tool.id))
    assert tools == [{"owner": bea, "boss_name": "bob"}] * 2 + [{"owner": None, "boss_name": None}]
    assert read(db, ManagerCard, select(Manager)) == [{"name": "bob", "budget": 7}]
    one = [{"name": "bob", "budget": 7}]
    found = read(db, Managers, select(Team).order_by(Team.id))
    assert [(each["managers"], each["manager_count"]) for each in found] == [(one, 1), ([], 0), ([], 0)]


class ManagerCard(Shape[Manager]):
    name: str
    budget: int | None


@pytest.mark.parametrize("limit", [None, 5])
def test_joined_inheritance_children_are_read(db: Database, limit: int | None) -> None:
    class Line(Shape[Engineer]):
        name: str
        language: str
        team_name: Annotated[str, path(Engineer.team, Team.name)]

    class ToolLine(Shape[Tool]):
        name: str
        owner: Line | None

    class Deep(Shape[Engineer]):
        id: int
        tools: Annotated[list[ToolLine], many(Engineer.tools, order_by=Tool.name.desc(), limit=limit)]

    bea = {"name": "bea", "language": "c", "team_name": "x"}
    found = read(db, Deep, select(Engineer).order_by(Engineer.id))
    assert found == [
        {"id": 3, "tools": [{"name": "saw", "owner": bea}, {"name": "hammer", "owner": bea}]},
        {"id": 4, "tools": []},
    ]


def test_single_table_class_reads_only_its_rows_whatever_the_fields(db: Database) -> None:
    class Counted(Shape[Manager]):
        report_count: Annotated[int, count(Manager.reports)]

    class Listed(Shape[Manager]):
        reports: list[PersonName]

    assert read(db, Counted, select(Manager)) == [{"report_count": 2}]
    assert names(read(db, Listed, select(Manager)), "reports") == [["bea", "carl"]]
    assert read(db, Counted, select(aliased(Manager))) == [{"report_count": 2}]


def test_composite_keys_and_names_with_every_quote_are_read(db: Database) -> None:
    class OrderCard(Shape[Order]):
        a: int
        user: str
        lines: list[LineWithOrder]
        line_count: Annotated[int, count(Order.lines, where=Line.percent != 6)]

    assert msgspec.to_builtins(db.get_one(OrderCard, (1, "x"))) == {
        "a": 1,
        "user": "u%(y)s",
        "lines": [{"percent": 5, "b": "x", "order": {"b": "x"}}, {"percent": 6, "b": "x", "order": {"b": "x"}}],
        "line_count": 1,
    }
    found = read(db, LineWithOrder, select(Line).where(Line.percent == 7))
    assert found == [{"percent": 7, "b": "x", "order": {"b": "x"}}]


class OrderKey(Shape[Order]):
    b: str


class LineWithOrder(Shape[Line]):
    percent: int
    b: Annotated[str, path(Line.order, Order.b)]
    order: OrderKey


def test_to_one_with_a_condition_may_be_absent_and_its_type_must_say_so(db: Database) -> None:
    class DocKey(Shape[Doc]):
        id: int

    class Card(Shape[Page]):
        id: int
        shown_doc: DocKey | None

    class Book(Shape[Doc]):
        pages: list[Card]

    expected = [{"id": n, "shown_doc": {"id": 1} if n != 3 else None} for n in (1, 2, 3, 4)]
    assert read(db, Card, select(Page).order_by(Page.id)) == expected
    assert read(db, Book, select(Doc).where(Doc.id == 2)) == [{"pages": [expected[2]]}]
    with pytest.raises(ShapeError, match="may be absent"):

        class Wrong(Shape[Page]):
            shown_doc: DocKey


def test_partial_unique_index_does_not_make_a_relationship_to_one() -> None:
    class PageKey(Shape[Page]):
        id: int

    with pytest.raises(ShapeError, match="doc_id is not unique"):

        class Card(Shape[Doc]):
            cover: PageKey | None


def test_enum_with_an_alias_is_read_in_collections(db: Database) -> None:
    class Card(Shape[Tag]):
        colour: Colour

    class TeamColours(Shape[Team]):
        tags: list[Card]

    found = db.one(TeamColours, select(Team).where(Team.id == 1))
    assert [tag.colour for tag in found.tags] == [Colour.GREEN, Colour.RED, Colour.GREEN]
    assert db.all(Card, select(Tag).where(Tag.id == 1))[0].colour is Colour.GREEN


# size and shape


@pytest.mark.parametrize("width", [100, 101, 128, 300])
def test_collection_of_many_fields_is_read(db: Database, width: int) -> None:
    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {"id": int} | {f"c{n}": int | None for n in range(width - 1)}

    line = types.new_class("WideLine", (Shape[WideRow],), {}, body)

    class Card(Shape[Doc]):
        rows: list[line]  # type: ignore[valid-type]

    full, empty = read(db, Card, select(Doc).where(Doc.id == 1))[0]["rows"]
    assert full == {"id": 1} | {f"c{n}": n for n in range(width - 1)}
    assert empty == {"id": 2} | {f"c{n}": None for n in range(width - 1)}


class Branch(Shape[Node]):
    id: int
    children: Annotated[list[Branch] | None, many(Node.children, depth=8)] = None


class Twig(Shape[Node]):
    id: int
    children: Annotated[list[Twig] | None, many(Node.children, depth=5)] = None


def test_deep_nesting_is_read_or_refused_with_the_way_out(scratch: Database) -> None:
    with scratch.begin() as uow:
        for n in range(1, 11):
            uow.add(Node(id=n, parent_id=n - 1 if n > 1 else None))
            uow.flush()

    def depth(node: Any) -> int:
        return 1 + (depth(node.children[0]) if node.children else 0)

    assert depth(scratch.get_one(Twig, 1)) == 6
    assert depth(scratch.get_one(Branch, 1)) == 9
    nested = select(Node).where(Node.id == 1).execution_options(hermetic_strategy="correlated")
    if not requires.has(scratch.engine.dialect.name, "deep nesting"):
        assert scratch.plan(Branch, select(Node).where(Node.id == 1)).strategy == "set_based"
        with pytest.raises(TooDeep, match="fix: lower depth"):
            scratch.one(Branch, nested)
    else:
        assert depth(scratch.one(Branch, nested)) == 9


def test_five_thousand_roots_are_one_statement(scratch: Database) -> None:
    with scratch.begin() as uow:
        uow.session.execute(Node.__table__.insert(), [{"id": n, "parent_id": None} for n in range(1, 5001)])
        uow.session.execute(Node.__table__.insert(), [{"id": 5000 + n, "parent_id": n} for n in range(1, 5001)])

    class Leaf(Shape[Node]):
        id: int

    class Root(Shape[Node]):
        id: int
        children: list[Leaf]

    found = read(scratch, Root, select(Node).where(Node.parent_id.is_(None)).order_by(Node.id))
    assert found == [{"id": n, "children": [{"id": 5000 + n}]} for n in range(1, 5001)]


# rows that broke the schema's word


class Drift(DeclarativeBase):
    pass


class Owner(Drift):
    __tablename__ = "owner"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(nullable=False)
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour, native_enum=False, create_constraint=False))
    pets: Mapped[list[Pet]] = relationship(back_populates="owner")


class Pet(Drift):
    __tablename__ = "pet"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    colour: Mapped[Colour | None] = mapped_column(Enum(Colour, native_enum=False, create_constraint=False))
    owner_id: Mapped[int] = mapped_column(ForeignKey("owner.id"))
    owner: Mapped[Owner] = relationship(back_populates="pets")


class PetCard(Shape[Pet]):
    name: str


class PetColour(Shape[Pet]):
    colour: Colour | None


class OwnerName(Shape[Owner]):
    name: str


class OwnerColour(Shape[Owner]):
    colour: Colour | None


class OwnerPets(Shape[Owner]):
    pets: list[PetCard]


class OwnerPetColours(Shape[Owner]):
    pets: list[PetColour]


class PetOwner(Shape[Pet]):
    owner: OwnerName


@pytest.fixture(scope="module")
def drifted(
    db: Database, tmp_path_factory: pytest.TempPathFactory, new_database: Callable[..., str]
) -> Iterator[Database]:
    file = tmp_path_factory.mktemp("drift") / "drift.db"
    with Database(
        f"sqlite:///{file}" if db.engine.dialect.name == "sqlite" else new_database(db.engine.driver)
    ) as made:
        with made.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE owner (id int, name text, colour text)")
            connection.exec_driver_sql("CREATE TABLE pet (id int, name text, colour text, owner_id int)")
            connection.exec_driver_sql("INSERT INTO owner VALUES (1, NULL, 'PURPLE')")
            connection.exec_driver_sql("INSERT INTO pet VALUES (1, NULL, 'PURPLE', 1), (2, 'x', 'RED', NULL)")
        yield made


@pytest.mark.parametrize(
    ("shape", "statement"),
    [
        (OwnerName, select(Owner)),
        (OwnerColour, select(Owner)),
        (OwnerPets, select(Owner)),
        (OwnerPetColours, select(Owner)),
        (PetOwner, select(Pet).where(Pet.id == 1)),
        (PetOwner, select(Pet).where(Pet.id == 2)),
    ],
)
def test_value_that_the_type_cannot_hold_is_a_mismatch(drifted: Database, shape: Any, statement: Any) -> None:
    with pytest.raises(ValueMismatch) as raised:
        drifted.all(shape, statement)
    assert "fix:" in str(raised.value)


# definition


def test_local_shapes_name_each_other_in_any_order(db: Database) -> None:
    class Card(Shape[Team]):
        people: list[Later]

    class Later(Shape[Person]):
        name: str
        team: Last

    class Last(Shape[Team]):
        name: str

    found = read(db, Card, select(Team).where(Team.id == 2))
    assert found == [{"people": [{"name": "carl", "team": {"name": "y"}}]}]


def test_shape_is_checked_when_the_target_of_its_model_arrives(sqlite_url: str) -> None:
    class Late(DeclarativeBase):
        pass

    class Parent(Late):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        kids: Mapped[list[Kid]] = relationship()

    class ParentCard(Shape[Parent]):
        id: int
        kids: list[KidCard]

    class Kid(Late):
        __tablename__ = "kid"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))

    class KidCard(Shape[Kid]):
        id: int

    with Database(sqlite_url) as db:
        db.create_all(Late)
        with db.begin() as uow:
            uow.add(Parent(id=1, kids=[Kid(id=1)]))
        assert read(db, ParentCard, select(Parent)) == [{"id": 1, "kids": [{"id": 1}]}]


def test_renamed_fields_of_msgspec_are_read_in_collections(db: Database) -> None:
    class Line(Shape[Person], rename="camel"):
        team_id: int

    class Card(Shape[Team], rename="camel"):
        staff_named_b: list[Line]
        people_count: Annotated[int, count(Team.people)]

    found = db.one(Card, select(Team).where(Team.id == 2))
    assert msgspec.json.encode(found) == b'{"staffNamedB":[],"peopleCount":1}'
    assert msgspec.to_builtins(db.one(Card, select(Team).where(Team.id == 1)))["staffNamedB"][0] == {"teamId": 1}


def test_tagged_shapes_are_read_in_collections(db: Database) -> None:
    class Line(Shape[Person], tag="line"):
        name: str

    class Card(Shape[Team], tag=True):
        people: list[Line]

    found = read(db, Card, select(Team).where(Team.id == 2))
    assert found == [{"type": "Card", "people": [{"type": "line", "name": "carl"}]}]


class Upper(TypeDecorator[str]):
    impl = String
    cache_ok = True

    def column_expression(self, column: Any) -> Any:
        return func.upper(column)


class Odd(DeclarativeBase):
    pass


class OddParent(Odd):
    __tablename__ = "odd_parent"
    id: Mapped[int] = mapped_column(primary_key=True)
    children: Mapped[list[OddChild]] = relationship()
    elders: Mapped[list[OddChild]] = relationship(
        primaryjoin="and_(OddChild.parent_id == OddParent.id, OddChild.id < OddParent.id)", viewonly=True
    )


class OddChild(Odd):
    __tablename__ = "odd_child"
    id: Mapped[int] = mapped_column(primary_key=True)
    pickled: Mapped[dict[str, int]] = mapped_column(PickleType)
    loud: Mapped[str] = mapped_column(Upper(20))
    whole: Mapped[decimal.Decimal] = mapped_column(Numeric(30, 0))
    parent_id: Mapped[int] = mapped_column(ForeignKey("odd_parent.id"))


@pytest.mark.parametrize(("field", "kind"), [("pickled", dict[str, int]), ("loud", str)])
def test_type_that_python_or_sql_converts_is_read_by_the_level_of_its_own(
    field: str, kind: Any, scratch: Database
) -> None:
    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = {field: kind}

    line = types.new_class("OddLine", (Shape[OddChild],), {}, body)

    class Card(Shape[OddParent]):
        children: list[line]  # type: ignore[valid-type]

    scratch.create_all(Odd)
    with scratch.begin() as uow:
        uow.add(OddParent(id=1, children=[OddChild(pickled={"a": 1}, loud="x", whole=decimal.Decimal(1))]))
        uow.add(OddParent(id=2))
    plan = scratch.plan(Card, select(OddParent))
    assert (plan.strategy, plan.statements) == ("per_level", 2)
    assert f"Card.children[].{field}" in plan.reason
    found = read(scratch, Card, select(OddParent).order_by(OddParent.id))
    assert found == [{"children": [{field: {"a": 1} if field == "pickled" else "X"}]}, {"children": []}]
    if requires.has(
        scratch.engine.dialect.name, "read committed"
    ):  # where each statement of a unit has a snapshot of its own
        with scratch.begin() as uow, pytest.raises(WrongStatement, match="each sees other rows"):
            uow.all(Card, select(OddParent))


def test_type_without_form_in_json_is_refused_where_json_is_the_only_way() -> None:
    class Loud(Shape[OddChild]):
        loud: str

    with pytest.raises(ShapeError, match="its condition is more than equality"):

        class Card(Shape[OddParent]):
            elders: list[Loud]


def test_one_plan_serves_eight_threads(db: Database) -> None:
    class Card(Shape[Team]):
        id: int
        people: list[PersonName]

    def once(n: int) -> Any:
        return msgspec.to_builtins(db.all(Card, select(Team).where(Team.id == n % 3 + 1)))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(once, range(240)))
    assert [each[0]["id"] for each in found] == [n % 3 + 1 for n in range(240)]
    assert names(found[0], "people") == [["bob", "bea", "ann"]]
    assert found[:3] * 80 == found
