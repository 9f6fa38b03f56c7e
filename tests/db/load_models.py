"""Models for `load`: each kind of relationship, key and inheritance, on a plain base."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from decimal import Decimal
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BindParameter,
    Column,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    LargeBinary,
    Numeric,
    String,
    Table,
    Text,
    TypeDecorator,
    and_,
    func,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.associationproxy import AssociationProxy, association_proxy
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.ext.mutable import MutableDict
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    WriteOnlyMapped,
    attribute_keyed_dict,
    composite,
    deferred,
    foreign,
    mapped_column,
    relationship,
    remote,
    synonym,
)

DIGEST = LargeBinary().with_variant(mysql.VARBINARY(20), "mysql", "mariadb")  # a BLOB is no key there


class Upper(TypeDecorator[str]):
    """Text whose parameters the server turns into capitals."""

    impl = String(20)
    cache_ok = True

    def bind_expression(self, bindparam: BindParameter[Any]) -> ColumnElement[Any]:
        return func.upper(bindparam)


@dataclasses.dataclass
class Place:
    building: str | None
    number: int | None


class Office(DeclarativeBase):
    """Apart from `Base`, whose tables the other tests share."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {str: String(60)}


person_skill = Table(
    "office_person_skill",
    Office.metadata,
    Column("person_id", ForeignKey("office_person.id"), primary_key=True),
    Column("skill_id", ForeignKey("office_skill.id"), primary_key=True),
    Column("rank", Numeric(4, 0), nullable=False),
)


class Room(Office):
    __tablename__ = "office_room"
    building: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    people: Mapped[list[Person]] = relationship(back_populates="room", order_by="Person.id.desc()")
    things: Mapped[set[Thing]] = relationship(back_populates="room")


class Thing(Office):
    __tablename__ = "office_thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    building: Mapped[str | None]
    number: Mapped[int | None]
    room: Mapped[Room | None] = relationship(back_populates="things")
    place: Mapped[Place] = composite("building", "number")
    __table_args__ = (ForeignKeyConstraint(["building", "number"], ["office_room.building", "office_room.number"]),)


class Person(Office):
    __tablename__ = "office_person"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    bio: Mapped[str | None] = deferred(mapped_column(Text))
    settings: Mapped[dict[str, Any] | None] = deferred(mapped_column(MutableDict.as_mutable(JSON())))
    alias = synonym("name")
    task_titles: AssociationProxy[list[str]] = association_proxy("tasks", "title")
    boss_id: Mapped[int | None] = mapped_column(ForeignKey("office_person.id"))
    building: Mapped[str | None]
    number: Mapped[int | None]
    boss: Mapped[Person | None] = relationship(back_populates="reports", foreign_keys=[boss_id], remote_side=[id])
    reports: Mapped[list[Person]] = relationship(
        back_populates="boss", foreign_keys=[boss_id], order_by="Person.id.desc()"
    )
    room: Mapped[Room | None] = relationship(back_populates="people")
    skills: Mapped[list[Skill]] = relationship(
        secondary=person_skill, back_populates="people", order_by=person_skill.c.rank
    )
    tasks: Mapped[list[Task]] = relationship(back_populates="owner", order_by="Task.id")
    urgent: Mapped[list[Task]] = relationship(
        primaryjoin=lambda: and_(Person.id == foreign(Task.owner_id), Task.priority > 2),
        order_by="Task.id.desc()",
        viewonly=True,
    )
    by_title: Mapped[dict[str, Task]] = relationship(
        collection_class=attribute_keyed_dict("title"), viewonly=True, order_by="Task.id"
    )
    feed: WriteOnlyMapped[Task] = relationship(viewonly=True)
    badge: Mapped[Badge | None] = relationship(back_populates="person")
    mates: Mapped[list[Person]] = relationship(
        primaryjoin=lambda: Person.building == foreign(remote(Person.building)), viewonly=True, order_by="Person.id"
    )

    @hybrid_property
    def shout(self) -> str:
        return self.name + "!"

    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_on": "kind", "polymorphic_identity": "person"}
    __table_args__ = (ForeignKeyConstraint(["building", "number"], ["office_room.building", "office_room.number"]),)


class Manager(Person):
    __tablename__ = "office_manager"
    id: Mapped[int] = mapped_column(ForeignKey("office_person.id"), primary_key=True)
    title: Mapped[str]
    memo: Mapped[str | None] = deferred(mapped_column(Text))
    watched: Mapped[list[Task]] = relationship(back_populates="watcher", order_by="Task.id")
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "manager"}


class Guest(Person):
    host_id: Mapped[int | None] = mapped_column(ForeignKey("office_person.id"), use_existing_column=True)
    host: Mapped[Person | None] = relationship(foreign_keys=[host_id], remote_side=Person.id)
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "guest"}


class Badge(Office):
    __tablename__ = "office_badge"
    code: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[int] = mapped_column(ForeignKey("office_person.id"), unique=True)
    person: Mapped[Person] = relationship(back_populates="badge")


class Task(Office):
    __tablename__ = "office_task"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    priority: Mapped[int]
    owner_id: Mapped[int | None] = mapped_column(ForeignKey("office_person.id"))
    watcher_id: Mapped[int | None] = mapped_column(ForeignKey("office_manager.id"))
    owner: Mapped[Person | None] = relationship(back_populates="tasks", foreign_keys=[owner_id])
    watcher: Mapped[Manager | None] = relationship(back_populates="watched", foreign_keys=[watcher_id])


class Skill(Office):
    __tablename__ = "office_skill"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    people: Mapped[list[Person]] = relationship(secondary=person_skill, back_populates="skills", order_by="Person.id")


class Stamp(Office):
    """A key of the types that travel in another form than they have in Python."""

    __tablename__ = "office_stamp"
    uid: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(DIGEST, primary_key=True)
    at: Mapped[datetime.datetime] = mapped_column(primary_key=True)
    cost: Mapped[Decimal] = mapped_column(Numeric(8, 2), primary_key=True)
    text: Mapped[str] = mapped_column(primary_key=True)
    marks: Mapped[list[Mark]] = relationship(back_populates="stamp", order_by="Mark.id")


class Mark(Office):
    __tablename__ = "office_mark"
    id: Mapped[int] = mapped_column(primary_key=True)
    uid: Mapped[uuid.UUID]
    digest: Mapped[bytes] = mapped_column(DIGEST)
    at: Mapped[datetime.datetime]
    cost: Mapped[Decimal] = mapped_column(Numeric(8, 2))
    text: Mapped[str]
    stamp: Mapped[Stamp] = relationship(back_populates="marks")
    __table_args__ = (
        ForeignKeyConstraint(
            ["uid", "digest", "at", "cost", "text"],
            ["office_stamp.uid", "office_stamp.digest", "office_stamp.at", "office_stamp.cost", "office_stamp.text"],
        ),
    )


class Blob(Office):
    """A key that JSON has no form for."""

    __tablename__ = "office_blob"
    digest: Mapped[bytes] = mapped_column(DIGEST, primary_key=True)
    note: Mapped[str] = deferred(mapped_column(Text))


class Code(Office):
    """A key whose parameters are wrapped in SQL."""

    __tablename__ = "office_code"
    code: Mapped[str] = mapped_column(Upper(), primary_key=True)
    note: Mapped[str] = deferred(mapped_column(Text))
