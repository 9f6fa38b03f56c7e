"""Hybrids, column properties, synonyms, link classes, links to oneself and keys of several columns: as plain SQLAlchemy
reads them, by every strategy.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import pytest
import requires
from shapes_support import every_strategy, plain
from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    Select,
    Table,
    func,
    literal,
    select,
)
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, Session, column_property, mapped_column, relationship, synonym

from hermetic import Base, Database, ExactDecimal, Shape, aggregate, count, many, path


class Market(Base):
    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


friendship = Table(
    "market_friendship",
    Market.metadata,
    Column("person_id", ForeignKey("market_person.id"), primary_key=True),
    Column("friend_id", ForeignKey("market_person.id"), primary_key=True, index=True),
)


class Stall(Market):
    """Its key has two columns."""

    __tablename__ = "market_stall"
    town: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    goods: Mapped[list[Good]] = relationship(back_populates="stall", passive_deletes="all")


class Good(Market):
    __tablename__ = "market_good"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column()
    price: Mapped[Decimal] = mapped_column(ExactDecimal(12, 2))
    town: Mapped[str]
    number: Mapped[int]
    stall: Mapped[Stall] = relationship(back_populates="goods")
    length: Mapped[int] = column_property(func.length(name))
    title = synonym("name")
    __table_args__ = (
        ForeignKeyConstraint(["town", "number"], ["market_stall.town", "market_stall.number"]),
        Index("ix_market_good_town_number", "town", "number"),
    )

    @hybrid_property
    def label(self) -> str:
        return self.name + "!"

    @hybrid_property
    def is_dear(self) -> bool:
        return self.price > 2

    @hybrid_property
    def double(self) -> Decimal:
        return self.price * 2


class Bag(Market):
    """The class of a link: who bought what, and how much of it."""

    __tablename__ = "market_bag"
    person_id: Mapped[int] = mapped_column(ForeignKey("market_person.id"), primary_key=True)
    good_id: Mapped[int] = mapped_column(ForeignKey("market_good.id"), primary_key=True, index=True)
    pieces: Mapped[int]
    good: Mapped[Good] = relationship()
    person: Mapped[Visitor] = relationship(back_populates="bags")

    @hybrid_property
    def pairs(self) -> int | None:
        return self.pieces - 1

    @pairs.inplace.expression
    @classmethod
    def _pairs(cls) -> ColumnElement[int | None]:
        return func.nullif(cls.pieces, 1) - literal(1)


class Visitor(Market):
    __tablename__ = "market_person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    bags: Mapped[list[Bag]] = relationship(back_populates="person", passive_deletes="all")
    shopping = synonym("bags")
    friends: Mapped[list[Visitor]] = relationship(
        secondary=friendship,
        primaryjoin=lambda: Visitor.id == friendship.c.person_id,
        secondaryjoin=lambda: Visitor.id == friendship.c.friend_id,
        back_populates="friend_of",
    )
    friend_of: Mapped[list[Visitor]] = relationship(
        secondary=friendship,
        primaryjoin=lambda: Visitor.id == friendship.c.friend_id,
        secondaryjoin=lambda: Visitor.id == friendship.c.person_id,
        back_populates="friends",
    )
    good_names: AssociationProxy[list[str]] = association_proxy("bags", "good")

    @hybrid_property
    def bought(self) -> int:
        return sum(bag.pieces for bag in self.bags)

    @bought.inplace.expression
    @classmethod
    def _bought(cls) -> ColumnElement[int]:
        total = select(func.coalesce(func.sum(Bag.pieces), 0)).where(Bag.person_id == cls.id)
        return total.correlate_except(Bag).scalar_subquery()


@pytest.fixture
def market(db: Database) -> Database:
    Market.metadata.create_all(db.engine)
    with db.begin() as uow:
        uow.add_all([Stall(town=town, number=number) for town, number in (("Ulm", 1), ("Ulm", 2), ("Bonn", 1))])
        uow.flush()
        goods = [("fig", "1.50", "Ulm", 1), ("nut", "2.25", "Ulm", 1), ("oil", "9.00", "Bonn", 1)]
        for number, (name, price, town, stall) in enumerate(goods, 1):
            uow.add(Good(id=number, name=name, price=Decimal(price), town=town, number=stall))
        uow.add_all([Visitor(id=number, name=name) for number, name in ((1, "ann"), (2, "bob"), (3, "eve"))])
        uow.flush()
        uow.add_all([Bag(person_id=a, good_id=b, pieces=c) for a, b, c in ((1, 1, 3), (1, 3, 1), (2, 1, 2))])
        uow.session.execute(
            friendship.insert(), [{"person_id": a, "friend_id": b} for a, b in ((1, 2), (2, 1), (2, 3))]
        )
    return db


def read(
    db: Database, shape: Any, statement: Select[Any], walk: Callable[[Any], Any], strategies: int = 3
) -> list[Any]:
    """Return what every strategy reads: what walking the entities of plain SQLAlchemy gives."""
    with Session(db.engine) as session:
        expected = [walk(entity) for entity in session.scalars(statement)]
    assert [plain(each) for each in db.all(shape, statement)] == expected
    asked = every_strategy(db, shape, statement)
    assert len(asked) == (strategies if shape.__shape__().facts.collections else 0)
    for each in asked:
        with db.recorded() as sent:
            assert [plain(found) for found in db.all(shape, each)] == expected, db.plan(shape, each).strategy
        assert len(sent) == db.plan(shape, each).statements
    return expected


class GoodLine(Shape[Good]):
    title: str
    called: Annotated[str, path(Good.title)]
    length: int
    label: str
    is_dear: bool
    double: Decimal


def good(entity: Good) -> dict[str, Any]:
    return {
        "title": entity.name,
        "called": entity.name,
        "length": len(entity.name),
        "label": entity.label,
        "is_dear": entity.is_dear,
        "double": entity.double,
    }


class StallCard(Shape[Stall]):
    town: str
    goods: list[GoodLine]
    dearest: Annotated[GoodLine | None, aggregate.latest(Stall.goods, order_by=Good.price.desc())]
    names: Annotated[str | None, aggregate.max(Stall.goods, Good.label)]
    doubles: Annotated[Decimal, aggregate.sum(Stall.goods, Good.double, where=Good.is_dear)]
    number_of_goods: Annotated[int, count(Stall.goods)]


def stall(entity: Stall) -> dict[str, Any]:
    goods = sorted(entity.goods, key=lambda each: each.id)
    return {
        "town": entity.town,
        "goods": [good(each) for each in goods],
        "dearest": good(max(goods, key=lambda each: each.price)) if goods else None,
        "names": max((each.label for each in goods), default=None),
        "doubles": sum((each.double for each in goods if each.is_dear), Decimal(0)),
        "number_of_goods": len(goods),
    }


def test_hybrids_synonyms_and_column_properties_are_read_at_the_root(market: Database) -> None:
    found = read(market, GoodLine, select(Good).order_by(Good.id), good)
    assert found[1]["label"] == "nut!" and found[1]["is_dear"] is True and str(found[1]["double"]) == "4.50"
    kinds = {name: type(value) for name, value in plain(market.first(GoodLine, select(Good))).items()}
    assert (kinds["is_dear"], kinds["double"], kinds["length"]) == (bool, Decimal, int)


def test_they_are_read_and_measured_in_collections_over_keys_of_two_columns(market: Database) -> None:
    strategies = 3 if requires.has(market.engine.dialect.name, "text keys") else 2
    found = read(market, StallCard, select(Stall).order_by(Stall.town, Stall.number), stall, strategies)
    assert [each["number_of_goods"] for each in found] == [1, 2, 0]


class BagLine(Shape[Bag]):
    pieces: int
    pairs: int | None
    name: Annotated[str, path(Bag.good, Good.name)]
    label: Annotated[str, path(Bag.good, Good.label)]
    town: Annotated[str, path(Bag.good, Good.stall, Stall.town)]
    good: GoodLine


class VisitorCard(Shape[Visitor]):
    name: str
    bought: int
    shopping: list[BagLine]
    big: Annotated[list[BagLine], many(Visitor.bags, where=Bag.pieces > 1, order_by=Bag.pieces, limit=1)]
    total: Annotated[int, aggregate.sum(Visitor.shopping, Bag.pieces)]
    last: Annotated[str | None, aggregate.latest(Visitor.bags, Bag.good, Good.label, order_by=Bag.good_id.desc())]


def bag(entity: Bag) -> dict[str, Any]:
    return {
        "pieces": entity.pieces,
        "pairs": None if entity.pieces == 1 else entity.pieces - 1,
        "name": entity.good.name,
        "label": entity.good.label,
        "town": entity.good.town,
        "good": good(entity.good),
    }


def visitor(entity: Visitor) -> dict[str, Any]:
    bags = sorted(entity.bags, key=lambda each: each.good_id)
    return {
        "name": entity.name,
        "bought": entity.bought,
        "shopping": [bag(each) for each in bags],
        "big": [bag(each) for each in sorted(bags, key=lambda each: each.pieces) if each.pieces > 1][:1],
        "total": sum(each.pieces for each in bags),
        "last": bags[-1].good.label if bags else None,
    }


def test_class_of_a_link_is_a_list_whose_items_reach_the_far_side(market: Database) -> None:
    found = read(market, VisitorCard, select(Visitor).order_by(Visitor.id), visitor)
    assert [each["bought"] for each in found] == [4, 2, 0]


class Friend(Shape[Visitor]):
    name: str
    bought: int
    friend_of: list[FriendName]


class FriendName(Shape[Visitor]):
    name: str


class Friends(Shape[Visitor]):
    friends: Annotated[list[Friend], many(Visitor.friends, order_by=Visitor.name.desc())]
    first: Annotated[str | None, aggregate.latest(Visitor.friends, Visitor.name, order_by=Visitor.id)]
    number: Annotated[int, count(Visitor.friends)]
    admirers: Annotated[bool, aggregate.exists(Visitor.friend_of, where=Visitor.name != "ann")]


def friends(entity: Visitor) -> dict[str, Any]:
    by_id = sorted(entity.friends, key=lambda each: each.id)
    return {
        "friends": [
            {
                "name": each.name,
                "bought": each.bought,
                "friend_of": [{"name": one.name} for one in sorted(each.friend_of, key=lambda one: one.id)],
            }
            for each in sorted(entity.friends, key=lambda each: each.name, reverse=True)
        ],
        "first": by_id[0].name if by_id else None,
        "number": len(by_id),
        "admirers": any(each.name != "ann" for each in entity.friend_of),
    }


def test_many_to_many_of_a_class_to_itself_keeps_its_two_sides_apart(market: Database) -> None:
    found = read(market, Friends, select(Visitor).order_by(Visitor.id), friends)
    assert [each["number"] for each in found] == [1, 2, 0]
