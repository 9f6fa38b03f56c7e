"""A statement as the pages of its rows need it: which entity, in what order, and whether it can be cut into pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, FromClause, Select
from sqlalchemy.sql import visitors

from hermetic.errors import WrongStatement
from hermetic.shape.statement import (
    cache_key,
    entity_mapper,
    entity_of,
    has_limit,
    is_distinct,
    is_distinct_on,
    order_of,
    with_named_order,
)


@dataclass(frozen=True, slots=True)
class Ordered:
    """A statement that pages can be made of.

    Attributes:
        statement: with the names in its ORDER BY replaced by columns.
        key: the primary key of its entity.
        form: equal for statements that differ in values only; None where a part has no such key.
        values: the values in it, in one order for all statements of this form.
    """

    statement: Select[Any]
    key: tuple[ColumnElement[Any], ...]
    form: Any
    values: tuple[Any, ...]

    @property
    def order(self) -> Sequence[ColumnElement[Any]]:
        """Return the ORDER BY."""
        return order_of(self.statement)

    @property
    def is_distinct(self) -> bool:
        """Return whether each entity comes once."""
        return is_distinct(self.statement)

    @property
    def froms(self) -> Sequence[FromClause]:
        """Return the FROM; SQLAlchemy computes it, in about the time of a whole read."""
        return self.statement.order_by(None).get_final_froms()  # of a copy: it leaves traces that change the cache key


def ordered(statement: Any, verb: str) -> Ordered:
    """Return the statement as its pages need it.

    Raises:
        WrongStatement: it selects no entity, or has a LIMIT, an OFFSET or a DISTINCT ON, which a page would change.
    """
    entity = entity_of(statement, verb)
    if has_limit(statement):
        raise WrongStatement(
            verb,
            "it has a limit or an offset of its own, and a page is cut by key",
            f"leave .limit() and .offset() out: {verb}(shape, statement, after=token, limit=50)",
        )
    if is_distinct_on(statement):
        raise WrongStatement(
            verb,
            "it is DISTINCT ON, which would choose other rows on each page",
            "choose the rows in a subquery: select(Model).where(Model.id.in_(select(...).distinct(...)))",
        )
    named = with_named_order(statement, entity)
    mapper = entity_mapper(entity)
    attributes = [getattr(entity, mapper.get_property_by_column(column).key) for column in mapper.primary_key]
    key = cache_key(named)
    parameters = key.bindparams if key is not None else _parameters(named)
    return Ordered(
        named,
        tuple(each.__clause_element__() for each in attributes),
        key.key if key is not None else None,
        tuple(each.effective_value for each in parameters),
    )


def _parameters(statement: Select[Any]) -> list[BindParameter[Any]]:
    return [part for part in visitors.iterate(statement) if isinstance(part, BindParameter)]
