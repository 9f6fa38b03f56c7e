"""The way from parents to their children over one relationship: condition, filter and order, on the aliases of a
statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BinaryExpression,
    BindParameter,
    BooleanClauseList,
    ColumnElement,
    Join,
    Select,
    UnaryExpression,
    func,
    inspect,
    select,
)
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.sql import operators, visitors

from hermetic.shape.criteria import clause_of
from hermetic.shape.node import Children

_MODIFIERS = (operators.asc_op, operators.desc_op, operators.nulls_first_op, operators.nulls_last_op)


class Way:
    """The children of `parent` over one relationship, read as `child`; both are classes or aliases of them."""

    def __init__(self, parent: Any, relationship: str, child: Any) -> None:
        declared: RelationshipProperty[Any] = mapper_of(parent).relationships[relationship]
        self.parent = parent
        self.child = child
        self.declared = declared
        self.condition: ColumnElement[bool] = getattr(parent, relationship).of_type(child).expression
        self._homes: dict[Any, Any] = dict.fromkeys(declared.mapper.tables, inspect(child).selectable)
        if declared.secondary is not None:
            # each `of_type()` makes an alias of the link table, so the one of this way is looked for in its condition
            tables = (getattr(part, "table", None) for part in visitors.iterate(self.condition))
            self._homes[declared.secondary] = next(
                table for table in tables if getattr(table, "element", None) is declared.secondary
            )
        self.tables = tuple(self._homes)
        self.link_columns = [] if declared.secondary is None else list(self._homes[declared.secondary].columns)

    def where(self, criterion: ColumnElement[bool] | None) -> list[ColumnElement[bool]]:
        """Return the condition of the way, and the filter written with the columns of the child class."""
        return [self.condition, *self.filter(criterion)]

    def filter(self, criterion: ColumnElement[bool] | None) -> list[ColumnElement[bool]]:
        """Return the filter alone, as a list of none or one."""
        return [] if criterion is None else [self.moved(criterion)]

    def moved(self, expression: Any) -> Any:
        """Return an expression of the columns of the child class over those of this way."""
        return moved(expression, self._homes)

    def order_by(self, orderings: Sequence[Any]) -> list[ColumnElement[Any]]:
        """Return the order of the children; their primary key is added, so that ties have one order."""
        keys = [each.__clause_element__() for each in key_of(self.child)]
        return _with_key([self.moved(ordering) for ordering in orderings], keys)

    def anchor(self) -> Anchor | None:
        """Return where the condition compares the parent with its children, or None where it is more than equality."""
        seen = inspect(self.parent)
        tables = set(seen.tables) if isinstance(seen, Mapper) else {seen.selectable}
        sides: list[tuple[ColumnElement[Any], ColumnElement[Any]]] = []
        rest: list[ColumnElement[bool]] = []
        for clause in _conjuncts(self.condition):
            named = [part for part in visitors.iterate(clause) if getattr(part, "table", None) in tables]
            if not named:
                rest.append(clause)
                continue
            if not isinstance(clause, BinaryExpression) or clause.operator is not operators.eq or len(named) != 1:
                return None
            here, there = (clause.left, clause.right) if is_same(clause.left, named[0]) else (clause.right, clause.left)
            if not is_same(here, named[0]):
                return None
            sides.append((here, there))
        return Anchor(tuple(here for here, _ in sides), tuple(there for _, there in sides), tuple(rest))


@dataclass(frozen=True, slots=True)
class Anchor:
    """A condition taken apart: `parent[n] = child[n]` for each n, and what remains names no parent."""

    parent: tuple[ColumnElement[Any], ...]
    child: tuple[ColumnElement[Any], ...]
    rest: tuple[ColumnElement[bool], ...]


class Found:
    """The children of many parents over one relationship, found once and read by each part that stands over them.

    `source` holds the rows, `sides` tell the parents apart.
    """

    def __init__(self, way: Way, width: int, source: Any) -> None:
        self.source = source
        self.sides = [source.c[f"hermetic_k{number}"] for number in range(width)]
        self._way = way

    @classmethod
    def by(
        cls,
        way: Way,
        sides: Sequence[ColumnElement[Any]],
        conditions: Sequence[ColumnElement[bool]],
        wrap: Callable[[Select[Any]], Any],
    ) -> Found:
        """Return the children that meet the conditions; `wrap` makes a subquery or a CTE of a statement."""
        keys = [side.label(f"hermetic_k{number}") for number, side in enumerate(sides)]
        links = [column.label(f"hermetic_l{number}") for number, column in enumerate(way.link_columns)]
        chosen = selecting([*inspect(way.child).selectable.columns, *keys, *links])
        return cls(way, len(keys), wrap(chosen.select_from(way.child).where(*conditions)))

    def moved(self, expression: Any) -> Any:
        """Return an expression of the columns of the child class over those of the rows found."""
        return moved(expression, dict.fromkeys(self._way.tables, self.source))

    def listed(self, part: Children, wrap: Callable[[Select[Any]], Any]) -> tuple[Found, list[ColumnElement[Any]]]:
        """Return the children of each parent that a list holds, and their order."""
        keys = [self.source.corresponding_column(key) for key in mapper_of(self._way.child).primary_key]
        order = _with_key([self.moved(ordering) for ordering in part.order_by], keys)
        if part.limit is None:
            return self, order
        place = func.row_number().over(partition_by=self.sides, order_by=order).label("hermetic_n")
        placed = selecting([*self.source.columns, place]).subquery()
        first = wrap(selecting([placed]).where(placed.c.hermetic_n <= part.limit))
        return Found(self._way, len(self.sides), first), [first.c.hermetic_n]


def _with_key(order: list[ColumnElement[Any]], keys: list[Any]) -> list[ColumnElement[Any]]:
    """Return the order with the columns of a primary key added, where they are not in it."""
    sorted_by = [bare(each) for each in order]
    return [*order, *(key for key in keys if not any(is_same(each, key) for each in sorted_by))]


def _conjuncts(condition: Any) -> list[Any]:
    if isinstance(condition, BooleanClauseList) and condition.operator is operators.and_:
        return [part for clause in condition.clauses for part in _conjuncts(clause)]
    return [condition]


def finds_one(statement: Select[Any], entity: Any) -> bool:
    """Return whether the statement compares the whole primary key with values, so that it finds at most one row."""
    clause = statement.whereclause
    equal = [] if clause is None else [each for each in _conjuncts(clause) if _is_equality(each)]
    columns = [attribute.__clause_element__() for attribute in key_of(entity)]
    joined = len(statement.get_final_froms()) > 1 or isinstance(statement.get_final_froms()[0], Join)
    return not joined and all(
        any(
            is_same(one, column) and isinstance(other, BindParameter)
            for clause in equal
            for one, other in _both(clause)
        )
        for column in columns
    )


def _is_equality(clause: Any) -> bool:
    return isinstance(clause, BinaryExpression) and clause.operator is operators.eq


def _both(clause: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    return (clause.left, clause.right), (clause.right, clause.left)


def is_same(side: Any, column: Any) -> bool:
    """Return whether a side of a condition is a column; copies of one column are that column."""
    return side is column or (getattr(side, "table", 0) is getattr(column, "table", 1) and side.key == column.key)


def mapper_of(entity: Any) -> Mapper[Any]:
    """Return the mapper of a mapped class or of an alias."""
    found: Mapper[Any] = inspect(entity).mapper
    return found


def selecting(columns: Iterable[Any]) -> Select[Any]:
    """Return `select(*columns)`, in the one type that all checkers give a statement of any width."""
    statement: Any = select(*columns)
    found: Select[Any] = statement
    return found


def key_of(entity: Any) -> list[Any]:
    """Return the attributes of the primary key."""
    mapper = mapper_of(entity)
    return [getattr(entity, mapper.get_property_by_column(column).key) for column in mapper.primary_key]


def moved(expression: Any, homes: dict[Any, Any]) -> Any:
    """Return `expression`, written with the columns of tables, over the columns of their `homes`."""

    def replace(element: Any, **_: Any) -> Any:
        home = homes.get(getattr(element, "table", None))
        return None if home is None else home.corresponding_column(element)

    return visitors.replacement_traverse(clause_of(expression), {}, replace)


def bare(ordering: Any) -> ColumnElement[Any]:
    """Return what an ordering sorts by, without its direction."""
    clause = clause_of(ordering)
    while isinstance(clause, UnaryExpression) and clause.modifier in _MODIFIERS:
        clause = clause.element
    return clause  # type: ignore[no-any-return]  # the element of a modifier is what it modifies


def ordered_as(ordering: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return `column` in the direction of `ordering`."""
    clause = clause_of(ordering)
    if isinstance(clause, UnaryExpression) and clause.modifier in _MODIFIERS:
        return UnaryExpression(ordered_as(clause.element, column), modifier=clause.modifier)
    return column
