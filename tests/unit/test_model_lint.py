"""The definition lint: what is refused, with which fix, and what is left alone."""

from __future__ import annotations

import datetime
import decimal
import enum
import gc
import os
import pickle
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
from sqlalchemy import (
    TIMESTAMP,
    Column,
    DateTime,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    String,
    Table,
    UniqueConstraint,
    func,
)
from sqlalchemy.orm import DeclarativeBase, DynamicMapped, Mapped, configure_mappers, mapped_column, relationship

from hermetic import Shape
from hermetic.errors import ModelError, Problem
from hermetic.model import Base, Json, lint_models

GOLDEN = Path(__file__).parents[1] / "golden" / "errors"
MaybeText = Optional[str]  # noqa: UP045  # the older spelling is what is tested


class Color(enum.Enum):
    RED = "red"


class Muddled(enum.Enum):
    ONE = 1
    TEXT = "1"


@pytest.fixture(autouse=True)
def _forget_models() -> Iterator[None]:
    """Take the models of a test out of the shared metadata and registry."""
    before = set(Base.metadata.tables)
    yield
    for name in set(Base.metadata.tables) - before:
        Base.metadata.remove(Base.metadata.tables[name])
    gc.collect()


def refused(define: Callable[[], object]) -> list[Problem]:
    """Return the problems that a definition is refused for."""
    with pytest.raises(ModelError) as caught:
        define()
    return list(caught.value.problems)


def refused_at_configuration(define: Callable[[], object]) -> list[Problem]:
    classes = define()
    problems = refused(configure_mappers)
    del classes
    return problems


def accepted(define: Callable[[], object]) -> bool:
    classes = define()
    configure_mappers()
    del classes
    return True


def check_golden(name: str, error: ModelError) -> None:
    text = re.sub(r"\([^()\n]*\.py:\d+\)", "(app/models.py:12)", str(error)) + "\n"
    path = GOLDEN / f"model-{name}.txt"
    if os.environ.get("BLESS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"the text of {path.name} changed; BLESS=1 rewrites it"


def define_all_wrong() -> type[Any]:
    class Ledger(Base):
        __tablename__ = "ledger"
        __table_args__ = (
            ForeignKeyConstraint(["parent_id", "parent_name"], ["ledger.id", "ledger.name"], ondelete="SET NULL"),
        )
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column("label", String(30), nullable=True)
        nick: Mapped[Optional[str]] = mapped_column(nullable=False)  # noqa: UP045
        parent_name: Mapped[str | None]
        created_at: Mapped[datetime.datetime] = mapped_column(DateTime())
        updated_at: Mapped[datetime.datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
        seen_at: Mapped[datetime.datetime] = mapped_column(default=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
        token: Mapped[uuid.UUID] = mapped_column(default=uuid.UUID(int=1))
        tags: Mapped[list[str]] = mapped_column(Json(list[str]), default=[])
        color: Mapped[Color] = mapped_column(Enum(Color))
        price: Mapped[decimal.Decimal]
        owner_id: Mapped[int] = mapped_column(ForeignKey("owner.id", ondelete="CASCADE"))
        parent_id: Mapped[int | None]
        entries: Mapped[list["Entry"]] = relationship(cascade="all, delete-orphan", lazy="noload")  # noqa: F821, UP037

    return Ledger


def test_all_problems_of_a_model_are_in_one_error_with_lines_to_paste() -> None:
    with pytest.raises(ModelError) as caught:
        define_all_wrong()
    assert caught.value.subject == "Ledger"
    assert re.fullmatch(r".*tests/unit/test_model_lint\.py:\d+", caught.value.location)
    check_golden("all", caught.value)


def test_the_error_pickles() -> None:
    with pytest.raises(ModelError) as caught:
        define_all_wrong()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_model_that_admits_null_where_it_says_text_is_refused() -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            body: Mapped[str] = mapped_column(nullable=True)

        return Note

    assert [problem.fix for problem in refused(define)] == ["body: Mapped[str | None]"]


def test_a_not_null_column_that_is_typed_optional_is_refused_in_every_spelling() -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            one: Mapped[str | None] = mapped_column(nullable=False)
            two: Mapped[Optional[str]] = mapped_column(nullable=False)  # noqa: UP045
            three: Mapped["str | None"] = mapped_column(nullable=False)  # noqa: UP037
            four: Mapped[MaybeText] = mapped_column(nullable=False)

        return Note

    fixes = [problem.fix for problem in refused(define)]
    assert fixes[:3] == ["one: Mapped[str]", "two: Mapped[str]", "three: Mapped[str]"]
    assert len(fixes) == 4


def test_a_column_without_annotation_and_an_optional_primary_key_are_left_alone() -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int | None] = mapped_column(primary_key=True)
            body = mapped_column(String(30), nullable=True)
            title = mapped_column(String(30), nullable=False)

        return Note

    assert accepted(define)


def test_a_mixin_column_is_checked_in_the_model_that_uses_it() -> None:
    class Stamped:
        stamped_at: Mapped[datetime.datetime] = mapped_column(DateTime())

    def define() -> type[Any]:
        class Note(Stamped, Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)

        return Note

    assert [(problem.where, problem.fix) for problem in refused(define)] == [
        ("Note.stamped_at", "stamped_at: Mapped[datetime.datetime]")
    ]


@pytest.mark.parametrize("kind", [DateTime(), TIMESTAMP(), DateTime])
def test_time_without_zone_is_refused(kind: Any) -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            at: Mapped[datetime.datetime] = mapped_column(kind)

        return Note

    assert [problem.fix for problem in refused(define)] == ["at: Mapped[datetime.datetime]"]


def test_time_with_zone_written_in_full_is_accepted() -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True))
            then: Mapped[datetime.datetime] = mapped_column(TIMESTAMP(timezone=True))

        return Note

    assert accepted(define)


@pytest.mark.parametrize(
    ("value", "factory"), [({}, "dict"), ([], "list"), (set(), "set"), ({"a": 1}, "lambda: {'a': 1}")]
)
def test_a_mutable_default_is_refused(value: Any, factory: str) -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            data: Mapped[Any] = mapped_column(Json(Any), default=value)

        return Note

    assert [problem.fix for problem in refused(define)] == [f"data: Mapped[Any] = mapped_column(default={factory})"]


def test_an_import_time_default_is_refused_for_dates_too() -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            day: Mapped[datetime.date] = mapped_column(default=datetime.date(2026, 1, 1))

        return Note

    assert [problem.fix for problem in refused(define)] == [
        "day: Mapped[datetime.date] = mapped_column(default=lambda: datetime.datetime.now(datetime.UTC).date())"
    ]


def test_scalar_and_callable_defaults_are_accepted() -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
            count: Mapped[int] = mapped_column(default=0)
            tags: Mapped[list[str]] = mapped_column(Json(list[str]), default=list)
            color: Mapped[Color] = mapped_column(default=Color.RED)
            at: Mapped[datetime.datetime] = mapped_column(
                server_default=func.now(), onupdate=lambda: datetime.datetime.now(datetime.UTC)
            )

        return Note

    assert accepted(define)


def test_an_enum_stored_by_name_is_refused_and_by_value_accepted() -> None:
    def by_name() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            color: Mapped[Color] = mapped_column(Enum(Color))

        return Note

    def by_value() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            color: Mapped[Color] = mapped_column(
                Enum(Color, values_callable=lambda kind: [each.value for each in kind])
            )

        return Note

    assert [problem.fix for problem in refused(by_name)] == ["color: Mapped[Color]"]
    assert accepted(by_value)


def test_an_enum_with_two_members_of_one_text_is_refused() -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            muddled: Mapped[Muddled]

        return Note

    assert [problem.where for problem in refused(define)] == ["Note.muddled"]


@pytest.mark.parametrize("kind", [None, Numeric(), Numeric(10)])
def test_a_decimal_without_precision_and_scale_is_refused(kind: Any) -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            price: Mapped[decimal.Decimal] = mapped_column(*([] if kind is None else [kind]))

        return Note

    line = "price: Mapped[decimal.Decimal] = mapped_column(Numeric(12, 2))"
    assert [problem.fix for problem in refused(define)] == [line]


def test_a_dynamic_relationship_is_refused() -> None:
    def define() -> type[Any]:
        class Parent(Base):
            __tablename__ = "parent"
            id: Mapped[int] = mapped_column(primary_key=True)
            children: DynamicMapped[Child] = relationship(passive_deletes="all")  # noqa: F821

        return Parent

    assert ["dynamic" in problem.what for problem in refused(define)] == [True]


def test_the_line_to_paste_keeps_the_link_table_and_viewonly() -> None:
    class LinkedBase(DeclarativeBase):
        pass

    class LinkedBook(LinkedBase):
        __tablename__ = "linked_book"
        id: Mapped[int] = mapped_column(primary_key=True)
        words: Mapped[list[Any]] = relationship("LinkedWord", secondary="linked", lazy="dynamic", viewonly=True)

    class LinkedWord(LinkedBase):
        __tablename__ = "linked_word"
        id: Mapped[int] = mapped_column(primary_key=True)

    Table(
        "linked",
        LinkedBase.metadata,
        Column("book_id", ForeignKey(LinkedBook.id), primary_key=True),
        Column("word_id", ForeignKey(LinkedWord.id), primary_key=True),
    )
    fixes = [problem.fix for problem in lint_models(LinkedBase) if problem.where == "LinkedBook.words"]
    assert fixes == ['words: Mapped[list[Any]] = relationship(secondary="linked", viewonly=True)']


def test_a_foreign_key_without_index_is_refused() -> None:
    def define() -> type[Any]:
        class Node(Base):
            __tablename__ = "node"
            id: Mapped[int] = mapped_column(primary_key=True)
            up_id: Mapped[int | None] = mapped_column("up", ForeignKey("node.id"))

        return Node

    assert [(problem.where, problem.fix) for problem in refused(define)] == [
        ("Node.up_id", 'up_id: Mapped[int | None] = mapped_column("up", ForeignKey("node.id"), index=True)')
    ]


def test_a_foreign_key_is_covered_by_any_index_that_begins_with_it() -> None:
    def define() -> list[type[Any]]:
        class Target(Base):
            __tablename__ = "target"
            id: Mapped[int] = mapped_column(primary_key=True)
            region: Mapped[int] = mapped_column(primary_key=True)

        class Link(Base):
            __tablename__ = "link"
            __table_args__ = (
                Index("ix_link_d", "d", "e"),
                UniqueConstraint("e", "a"),
                Index(None, "f", "g", "a"),
                ForeignKeyConstraint(["g", "f"], ["target.id", "target.region"]),
            )
            a: Mapped[int] = mapped_column(ForeignKey("other.id"), primary_key=True)
            b: Mapped[int] = mapped_column(ForeignKey("other.id"), unique=True)
            c: Mapped[int] = mapped_column(ForeignKey("other.id"), index=True)
            d: Mapped[int] = mapped_column(ForeignKey("other.id"))
            e: Mapped[int] = mapped_column(ForeignKey("other.id"))
            f: Mapped[int]
            g: Mapped[int]

        class Other(Base):
            __tablename__ = "other"
            id: Mapped[int] = mapped_column(primary_key=True)

        return [Target, Link, Other]

    assert accepted(define)


def test_the_second_column_of_an_index_does_not_cover_a_foreign_key() -> None:
    def define() -> type[Any]:
        class Link(Base):
            __tablename__ = "link"
            a: Mapped[int] = mapped_column(ForeignKey("other.id"), primary_key=True)
            b: Mapped[int] = mapped_column(ForeignKey("other.id"), primary_key=True)

        return Link

    assert [problem.where for problem in refused(define)] == ["Link.b"]


def test_a_server_side_onupdate_is_refused() -> None:
    def define() -> type[Any]:
        class Note(Base):
            __tablename__ = "note"
            id: Mapped[int] = mapped_column(primary_key=True)
            at: Mapped[datetime.datetime] = mapped_column(onupdate=func.now())

        return Note

    assert [problem.fix for problem in refused(define)] == [
        "at: Mapped[datetime.datetime] = mapped_column(onupdate=lambda: datetime.datetime.now(datetime.UTC))"
    ]


def test_joined_and_single_table_inheritance_are_accepted_and_checked_once() -> None:
    def define() -> list[type[Any]]:
        class Animal(Base):
            __tablename__ = "animal"
            __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012
            id: Mapped[int] = mapped_column(primary_key=True)
            kind: Mapped[str]

        class Dog(Animal):
            __tablename__ = "dog"
            __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012
            id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
            bark: Mapped[str]

        class Cat(Animal):
            __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012
            purr: Mapped[str] = mapped_column(nullable=True)
            price: Mapped[decimal.Decimal | None] = mapped_column(Numeric(10, 2))

        return [Animal, Dog, Cat]

    assert accepted(define)


def family(*, ondelete: str | None = None, optional: bool = False, **options: Any) -> Callable[[], list[type[Any]]]:
    """Make the definition of a parent and a child, with these options of the relationship."""

    def define() -> list[type[Any]]:
        class Parent(Base):
            __tablename__ = "parent"
            id: Mapped[int] = mapped_column(primary_key=True)
            children: Mapped[list["Child"]] = relationship(back_populates="parent", **options)  # noqa: UP037

        class Child(Base):
            __tablename__ = "child"
            id: Mapped[int] = mapped_column(primary_key=True)
            if optional:
                parent_id: Mapped[int | None] = mapped_column(ForeignKey("parent.id", ondelete=ondelete), index=True)
            else:
                parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id", ondelete=ondelete), index=True)
            parent: Mapped["Parent"] = relationship(back_populates="children")  # noqa: UP037

        return [Parent, Child]

    return define


def test_a_cascade_that_loads_the_children_is_refused_when_the_parent_is_defined() -> None:
    problems = refused(family(cascade="all, delete-orphan", ondelete="CASCADE"))
    assert [problem.fix for problem in problems] == [
        'children: Mapped[list["Child"]] = relationship(back_populates="parent", '
        'cascade="all, delete-orphan", passive_deletes=True)'
    ]


def test_a_cascade_without_orphans_that_loads_the_children_is_refused_at_configuration() -> None:
    problems = refused_at_configuration(family(cascade="all", ondelete="CASCADE"))
    assert [problem.where for problem in problems] == ["Parent.children"]


def test_a_passive_cascade_over_a_foreign_key_without_ondelete_is_refused() -> None:
    problems = refused_at_configuration(family(cascade="all, delete-orphan", passive_deletes=True))
    assert [(problem.where, problem.fix) for problem in problems] == [
        (
            "Child.parent_id",
            'parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id", ondelete="CASCADE"), index=True)',
        )
    ]


def test_a_parent_whose_delete_would_null_a_not_null_column_is_refused_and_stays_refused() -> None:
    classes = family()()
    with pytest.raises(ModelError) as caught:
        configure_mappers()
    check_golden("delete", caught.value)
    configure_mappers()
    with pytest.raises(ModelError):
        classes[0]()
    del classes


@pytest.mark.parametrize(
    "define",
    [
        family(cascade="all, delete-orphan", passive_deletes=True, ondelete="CASCADE"),
        family(cascade="all, delete", passive_deletes=True, ondelete="cascade"),
        family(passive_deletes="all"),
        family(optional=True),
        family(viewonly=True),
    ],
)
def test_a_parent_whose_delete_is_decided_is_accepted(define: Callable[[], list[type[Any]]]) -> None:
    assert accepted(define)


def test_the_relationship_problems_of_all_models_are_in_one_error() -> None:
    def define() -> list[type[Any]]:
        class Parent(Base):
            __tablename__ = "parent"
            id: Mapped[int] = mapped_column(primary_key=True)
            sons: Mapped[list["Son"]] = relationship()  # noqa: UP037
            daughters: Mapped[list["Daughter"]] = relationship()  # noqa: UP037

        class Son(Base):
            __tablename__ = "son"
            id: Mapped[int] = mapped_column(primary_key=True)
            parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"), index=True)
            toys: Mapped[list["Daughter"]] = relationship()  # noqa: UP037

        class Daughter(Base):
            __tablename__ = "daughter"
            id: Mapped[int] = mapped_column(primary_key=True)
            parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"), index=True)
            son_id: Mapped[int] = mapped_column(ForeignKey("son.id"), index=True)

        return [Parent, Son, Daughter]

    assert [problem.where for problem in refused_at_configuration(define)] == [
        "Parent.sons",
        "Parent.daughters",
        "Son.toys",
    ]


def test_a_relationship_made_by_backref_is_checked_too() -> None:
    def define() -> list[type[Any]]:
        class Parent(Base):
            __tablename__ = "parent"
            id: Mapped[int] = mapped_column(primary_key=True)

        class Child(Base):
            __tablename__ = "child"
            id: Mapped[int] = mapped_column(primary_key=True)
            parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"), index=True)
            parent: Mapped["Parent"] = relationship(backref="children")  # noqa: UP037

        return [Parent, Child]

    assert [problem.where for problem in refused_at_configuration(define)] == ["Parent.children"]


def test_a_corrected_model_can_be_defined_after_a_refused_one() -> None:
    def define(*, wrong: bool) -> list[type[Any]]:
        class Author(Base):
            __tablename__ = "author"
            id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(nullable=wrong)
            books: Mapped[list["Book"]] = relationship(  # noqa: UP037
                back_populates="author", cascade="all, delete-orphan", passive_deletes=True
            )

        class Book(Base):
            __tablename__ = "book"
            id: Mapped[int] = mapped_column(primary_key=True)
            author_id: Mapped[int] = mapped_column(ForeignKey("author.id", ondelete="CASCADE"), index=True)
            author: Mapped["Author"] = relationship(back_populates="books")  # noqa: UP037

        return [Author, Book]

    for _ in range(2):
        assert refused(lambda: define(wrong=True))
    author, book = define(wrong=False)
    configure_mappers()
    assert book(author=author(name="a")).author.name == "a"


def test_a_corrected_subclass_can_be_defined_after_a_refused_one() -> None:
    class Animal(Base):
        __tablename__ = "animal"
        __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]

    def define(*, wrong: bool) -> type[Any]:
        class Dog(Animal):
            __tablename__ = "dog"
            __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012
            id: Mapped[int] = mapped_column(ForeignKey("animal.id"), primary_key=True)
            bark: Mapped[str] = mapped_column(nullable=wrong)

        return Dog

    assert refused(lambda: define(wrong=True))
    dog = define(wrong=False)
    configure_mappers()
    assert dog(bark="wow").kind == "dog"


def test_models_of_a_plain_base_are_reported_and_not_refused() -> None:
    class Plain(DeclarativeBase):
        pass

    class Parent(Plain):
        __tablename__ = "parent"
        id: Mapped[int] = mapped_column(primary_key=True)
        color: Mapped[Color]
        price: Mapped[decimal.Decimal]
        at: Mapped[datetime.datetime]
        children: Mapped[list["Child"]] = relationship(cascade="all, delete-orphan")  # noqa: UP037

    class Child(Plain):
        __tablename__ = "child"
        id: Mapped[int] = mapped_column(primary_key=True)
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))

    found = lint_models(Plain)
    assert [problem.where for problem in found] == [
        "Child.parent_id",
        "Parent.color",
        "Parent.price",
        "Parent.at",
        "Parent.children",
        "Child.parent_id",
    ]
    assert found[3].fix == "at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True))"
    assert "values_callable" in found[1].fix
    assert Parent(color=Color.RED).color is Color.RED


def test_a_relationship_to_a_class_that_is_not_mapped_is_reported_and_poisons_nothing() -> None:
    class HalfBase(DeclarativeBase):
        pass

    class NotYet:
        pass

    class Owner(HalfBase):
        __tablename__ = "half_owner"
        id: Mapped[int] = mapped_column(primary_key=True)
        things: Mapped[list[Any]] = relationship(NotYet)
        others: Mapped[list[Any]] = relationship("Never")
        more: Mapped[list[Any]] = relationship(lambda: undefined)  # type: ignore[name-defined]  # noqa: F821

    found = lint_models(HalfBase)
    assert [(each.where, each.what) for each in found] == [
        ("Owner.things", "leads to NotYet, which is not mapped"),
        ("Owner.others", "leads to Never, which is not mapped"),
        ("Owner.more", "leads to Target, which is not mapped"),
    ]
    assert found[0].fix.startswith('class NotYet(HalfBase):\n    __tablename__ = "notyet"')


def test_a_shape_waits_for_a_class_that_is_mapped_later() -> None:
    class LateBase(DeclarativeBase):
        pass

    class Part:
        pass

    class Whole(LateBase):
        __tablename__ = "late_whole"
        id: Mapped[int] = mapped_column(primary_key=True)
        parts: Mapped[list[Any]] = relationship(Part)

    class WholeCard(Shape[Whole]):
        id: int

    table = Table(
        "late_part",
        LateBase.metadata,
        Column("id", Integer, primary_key=True),
        Column("whole_id", ForeignKey("late_whole.id")),
    )
    LateBase.registry.map_imperatively(Part, table)
    assert [part.name for part in WholeCard.__shape__().node.parts] == ["id"]
