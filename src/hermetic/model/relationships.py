"""The rules for relationships: how they load, and what a delete of the parent does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Column
from sqlalchemy.orm import Mapper, RelationshipDirection, RelationshipProperty
from sqlalchemy.orm.exc import UnmappedColumnError

from hermetic.errors import Problem
from hermetic.model.lines import column_line, relationship_line

_DECIDED = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


def loader_problems(cls: type[Any], relationship: RelationshipProperty[Any]) -> Iterator[Problem]:
    """Return the problems that can be seen before the other model exists: how it loads, and what a cascade loads."""
    where = f"{cls.__name__}.{relationship.key}"
    if relationship.lazy == "dynamic":
        what = 'is lazy="dynamic", which has no async form and runs statements on attribute access'
        yield Problem(where, what, relationship_line(cls, relationship))
    elif relationship.lazy == "noload":
        what = 'is lazy="noload", which reads as empty although there are rows'
        yield Problem(where, what, relationship_line(cls, relationship))
    is_one_to_many = relationship.uselist is not False and not relationship.single_parent  # with delete-orphan
    if is_one_to_many and "delete-orphan" in relationship.cascade and not relationship.passive_deletes:
        yield _loads_children(cls, relationship)


def delete_problems(cls: type[Any], relationship: RelationshipProperty[Any]) -> Iterator[Problem]:
    """Return what goes wrong when a parent is deleted. The relationship is configured."""
    if relationship.viewonly or relationship.direction is not RelationshipDirection.ONETOMANY:
        return
    where = f"{cls.__name__}.{relationship.key}"
    child = relationship.mapper
    columns = [remote for _, remote in relationship.local_remote_pairs or () if isinstance(remote, Column)]
    if "delete" in relationship.cascade:
        if not relationship.passive_deletes:
            yield _loads_children(cls, relationship)
        for column in columns:
            yield from _undecided(cls, child, column)
    elif relationship.passive_deletes != "all" and any(not column.nullable for column in columns):
        names = ", ".join(_attribute(child, column) for column in columns)
        what = f"deleting a row of {cls.__name__} sets {names} to NULL, which is NOT NULL"
        refuse = relationship_line(cls, relationship, passive_deletes='"all"')
        delete = relationship_line(cls, relationship, cascade='"all, delete-orphan"', passive_deletes="True")
        yield Problem(where, what, f"{refuse}  # leaves it to the foreign key\n{delete}  # deletes them too")


def _loads_children(cls: type[Any], relationship: RelationshipProperty[Any]) -> Problem:
    what = f"loads all its rows when a row of {cls.__name__} is deleted"
    fix = relationship_line(cls, relationship, passive_deletes="True")
    return Problem(f"{cls.__name__}.{relationship.key}", what, fix)


def _undecided(cls: type[Any], child: Mapper[Any], column: Column[Any]) -> Iterator[Problem]:
    for key in column.foreign_keys:
        if (key.ondelete or "").upper() not in _DECIDED:
            where = _attribute(child, column)
            row = f"a row of {cls.__name__} whose children were not loaded"
            what = f"has no ondelete, so the database refuses to delete {row}"
            attribute = where.rpartition(".")[2]
            yield Problem(where, what, column_line(child.class_, attribute, column, ondelete="CASCADE"))


def _attribute(mapper: Mapper[Any], column: Column[Any]) -> str:
    try:
        return f"{mapper.class_.__name__}.{mapper.get_property_by_column(column).key}"
    except UnmappedColumnError:
        return f"{column.table.name}.{column.name}"
