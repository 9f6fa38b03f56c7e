"""Read the order of a statement, and make it unique: what a page needs so that no row comes twice or never."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Alias,
    BinaryExpression,
    Column,
    ColumnElement,
    FromClause,
    Label,
    Table,
    TextClause,
    UnaryExpression,
)
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BooleanClauseList
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import Join

from hermetic.errors import WrongStatement
from hermetic.query.keyset import Key

_VERB = "page"
_VOLATILE = ("random", "rand", "gen_random_uuid", "clock_timestamp")


@dataclass(frozen=True, slots=True)
class Joined:
    """What a FROM adds to the table of its entity.

    Attributes:
        columns: that tell its rows apart where a join repeats an entity; none where it does not.
        optional: what an outer join may leave out, so that its columns may be NULL.
    """

    columns: tuple[ColumnElement[Any], ...]
    optional: frozenset[FromClause]

    @property
    def is_plain(self) -> bool:
        """Return whether it names tables only, which are the same in every statement of this form."""
        rows = [*self.optional, *(getattr(column, "table", None) for column in self.columns)]
        return all(isinstance(each, Table) for each in rows)


def joined(froms: Sequence[FromClause], key: Sequence[ColumnElement[Any]], *, is_distinct: bool) -> Joined:
    """Return what the FROM of a statement adds to the entity with this primary key.

    Args:
        froms: the FROM.
        key: the primary key of the entity.
        is_distinct: of a statement whose rows are unique by that key.
    Raises:
        WrongStatement: a row of a joined subquery has no key.
    """
    own = _own(key)
    found = [source for each in froms for source in _leaves(each, None, is_optional=False)]
    others = [] if is_distinct else [each for each in found if each.rows not in own]
    columns = tuple(column for each in others for column in _key_of(each))
    return Joined(columns, frozenset(each.rows for each in found if each.is_optional))


def unique_keys(
    order: Sequence[ColumnElement[Any]], key: Sequence[ColumnElement[Any]], beside: Joined, *, is_distinct: bool
) -> list[Key]:
    """Return the keys of an order, with what it lacks to be unique added in the direction of its last key.

    Args:
        order: the ORDER BY.
        key: the primary key of the entity that is selected.
        beside: what the FROM adds to it.
        is_distinct: of a statement whose rows are unique by that key.
    Raises:
        WrongStatement: an expression has no place that a later statement could find again.
    """
    if is_distinct:
        _check_distinct(order, _own(key))
    missing = [*key, *beside.columns]
    keys: list[Key] = []
    for clause in order:
        if not missing:
            break
        keys.append(_key(clause, beside.optional))
        missing = [column for column in missing if hash(column) != hash(keys[-1].expression)]
    descends = bool(keys) and keys[-1].is_descending
    return [*keys, *(Key(column, descends, None, _is_nullable(column, beside.optional)) for column in missing)]


def _own(key: Sequence[ColumnElement[Any]]) -> set[Any]:
    return {column.table for column in key if isinstance(column, Column)}


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One table, alias or subquery of a FROM, and the condition that joins it."""

    rows: FromClause
    condition: ColumnElement[Any] | None
    is_optional: bool


def _leaves(rows: FromClause, condition: ColumnElement[Any] | None, *, is_optional: bool) -> Iterator[_Leaf]:
    if not isinstance(rows, Join):
        yield _Leaf(rows, condition, is_optional)
        return
    yield from _leaves(rows.left, condition, is_optional=is_optional or rows.full)
    # what is joined as a whole has several conditions, of which none alone says how many of its rows there are
    own = None if isinstance(rows.right, Join) else rows.onclause
    yield from _leaves(rows.right, own, is_optional=is_optional or rows.full or rows.isouter)


def _key_of(leaf: _Leaf) -> list[ColumnElement[Any]]:
    """Return the columns that tell the rows of a joined table apart; none where there is one row at most."""
    table = leaf.rows.element if isinstance(leaf.rows, Alias) else leaf.rows
    # a subquery shows the primary keys of what it selects from, and may repeat them
    columns: list[ColumnElement[Any]] = list(leaf.rows.primary_key) if isinstance(table, Table) else []
    if not columns:
        name = getattr(leaf.rows, "name", "a subquery")
        raise WrongStatement(
            _VERB,
            f"it joins {name}, whose rows have no primary key, so the rows of the page cannot be told apart",
            "filter by it instead: select(Model).where(Model.id.in_(select(...)))\n"
            "or order by it in a subquery: .order_by(select(...).correlate(Model).scalar_subquery())",
        )
    fixed = {hash(side) for side in _fixed(leaf)}
    return [] if all(hash(column) in fixed for column in columns) else columns


def _fixed(leaf: _Leaf) -> Iterator[ColumnElement[Any]]:
    """Return the columns of a joined table that its condition makes equal to something outside it."""
    condition = leaf.condition
    parts = [condition]
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        parts = list(condition.clauses)
    for part in parts:
        if isinstance(part, BinaryExpression) and part.operator is operators.eq:
            for side, other in ((part.left, part.right), (part.right, part.left)):
                if _is_of(side, leaf.rows) and not any(_is_of(each, leaf.rows) for each in visitors.iterate(other)):
                    yield side


def _is_of(element: Any, rows: FromClause) -> bool:
    return isinstance(element, Column) and hash(element.table) == hash(rows)


def _check_distinct(order: Sequence[ColumnElement[Any]], own: set[Any]) -> None:
    for clause in order:
        for part in visitors.iterate(clause):
            if isinstance(part, Column) and part.table not in own:
                raise WrongStatement(
                    _VERB,
                    f"it is distinct and ordered by {part.table.name}.{part.name}, so one entity has several places",
                    "filter by the other table instead of joining it: "
                    "select(Model).where(Model.id.in_(select(...))), without distinct()",
                )


def _key(clause: ColumnElement[Any], optional: frozenset[Any]) -> Key:
    descends, nulls_first = False, None
    element: Any = clause
    while True:
        modifier = element.modifier if isinstance(element, UnaryExpression) else None
        if modifier is operators.desc_op:
            descends = True
        elif modifier in (operators.nulls_first_op, operators.nulls_last_op):
            nulls_first = modifier is operators.nulls_first_op
        elif (
            modifier is not operators.asc_op and not isinstance(element, Label) and element.__visit_name__ not in _MARKS
        ):
            break
        element = element.element
    _check_has_place(element)
    return Key(element, descends, nulls_first, _is_nullable(element, optional))


_MARKS = ("label_reference", "grouping")


def _check_has_place(element: Any) -> None:
    text = element.name if getattr(element, "is_literal", False) else None
    if isinstance(element, TextClause) or element.__visit_name__ == "textual_label_reference" or str(text).isdigit():
        raise WrongStatement(
            _VERB,
            "it is ordered by a text, which cannot be compared with the last row of a page",
            "order by columns and expressions: .order_by(Model.name.desc(), func.lower(Model.city))",
        )
    for part in visitors.iterate(element):
        if isinstance(part, FunctionElement) and getattr(part, "name", "").lower() in _VOLATILE:
            raise WrongStatement(
                _VERB,
                f"it is ordered by {part.name}(), which gives each row another place in each statement",
                "order by a column; for a random choice without pages: [await] db.all(shape, statement.limit(n))",
            )


def _is_nullable(element: ColumnElement[Any], optional: frozenset[Any]) -> bool:
    return not isinstance(element, Column) or bool(element.nullable) or element.table in optional
