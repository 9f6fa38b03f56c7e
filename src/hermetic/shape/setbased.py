"""Strategy S: the roots, and the children of all of them at once for each relationship, as CTEs of one statement.

    SELECT ... FROM (
        WITH r AS (the root statement),
             j1 AS (WITH l1 AS (children of any root) SELECT their JSON, one row for each root)
        SELECT r.*, j1.j FROM r LEFT JOIN j1 ON j1.k0 = r.k
    ) ORDER BY the root's order

A collection inside a collection has its own `j2` inside `j1`, over the keys of `l1`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, and_, case, func, literal_column, select
from sqlalchemy.orm import Mapper, aliased

from hermetic.shape.codec import Blocks, Carrier
from hermetic.shape.decode import Collection, Slot
from hermetic.shape.indexes import missing_index
from hermetic.shape.node import Children, Hop, Leaf, Node, One, Part, Tally, Tree
from hermetic.shape.row import Row
from hermetic.shape.statement import order_of
from hermetic.shape.variants import alias_of, array_of, steps
from hermetic.shape.ways import Anchor, Found, Way, bare, key_of, ordered_as, selecting

_ZERO: ColumnElement[Any] = literal_column("0")


@dataclass(frozen=True, slots=True)
class _Pending:
    """A column of the root row that a CTE fills, and the columns that hold the keys of the parents."""

    index: int
    part: Children | Tally
    entity: Any
    keys: tuple[int, ...]


class SetBasedRow(Row):
    """Collects the columns of the root row; `statement()` puts the CTEs around them."""

    def __init__(self, blocks: Blocks) -> None:
        super().__init__(blocks)
        self.levels = _Levels(blocks, self.kept)
        self._pending: list[_Pending] = []

    def children(self, part: Children, entity: Any) -> Slot:
        """Return the column that holds the collection as JSON text."""
        return Slot(self._later(part, entity, Collection(part.node).load))

    def tally(self, part: Tally, entity: Any) -> Slot:
        """Return the column that holds the number."""
        return Slot(self._later(part, entity, None))

    def _later(self, part: Children | Tally, entity: Any, load: Any) -> int:
        parent = _anchor(part, entity, aliased(_target(part))).parent
        index = self.add(Carrier(parent[0], load))  # holds the place: the CTE exists once the roots do
        self._pending.append(_Pending(index, part, entity, tuple(self.add(Carrier(column)) for column in parent)))
        return index

    def statement(self, chosen: Select[Any], extra: Sequence[Any]) -> Select[Any]:
        """Return the whole statement: `chosen` selects the roots, `extra` columns keep the rows of a DISTINCT apart."""
        order, later = order_of(chosen), {pending.index for pending in self._pending}
        columns = {
            index: carrier.expression.label(f"hermetic_c{index}")
            for index, carrier in enumerate(self.carriers)
            if index not in later
        }
        sorts = [bare(each).label(f"hermetic_o{number}") for number, each in enumerate(order)]
        roots: Any = chosen.with_only_columns(*columns.values(), *sorts, *extra, maintain_column_froms=True)
        r = self.levels.cte(self.joined(roots), "r")
        source: Any = r
        values: dict[int, ColumnElement[Any]] = {index: r.c[f"hermetic_c{index}"] for index in columns}
        for pending in self._pending:
            keys = [r.c[f"hermetic_c{key}"] for key in pending.keys]
            level = self.levels.level(pending.part, pending.entity, selecting(keys))
            source = source.outerjoin(level, _on(level, keys))
            value = self.levels.value(pending.part, level)
            values[pending.index] = self.blocks.text(value) if isinstance(pending.part, Children) else value
        named = [values[index].label(f"hermetic_c{index}") for index in range(len(self.carriers))]
        ordered = [r.c[f"hermetic_o{number}"] for number in range(len(order))]
        # a SELECT around the WITH: what looks at the first word of a statement finds a read
        whole = select(*named, *ordered).select_from(source).subquery("hermetic")
        self.carriers = [carrier.over(whole.c[f"hermetic_c{n}"]) for n, carrier in enumerate(self.carriers)]
        sorted_as = [ordered_as(each, whole.c[f"hermetic_o{number}"]) for number, each in enumerate(order)]
        return selecting(carrier.expression for carrier in self.carriers).order_by(*sorted_as)


class _Levels:
    """Makes the CTEs of one statement: for each relationship its children, and their JSON or their number."""

    def __init__(self, blocks: Blocks, kept: list[Any]) -> None:
        self.blocks = blocks
        self.kept = kept
        self._numbers = itertools.count(1)

    def cte(self, statement: Select[Any], name: str) -> CTE:
        """Return the statement as a CTE where it is used; all of them on top where the parser bears no nesting."""
        return statement.cte(f"hermetic_{name}", nesting=self.blocks.nests_cte)

    def level(self, part: Children | Tally, parent: Any, keys: Select[Any]) -> CTE:
        """Return the CTE with the columns `k0...` and `j`, one row for each parent in `keys` that has children."""
        child, number = _child(part), next(self._numbers)
        way = Way(parent, part.relationship, child)
        anchor = _anchor(part, parent, child, way)
        conditions = [self._among(way, anchor, keys), *anchor.rest, *way.filter(part.where)]
        if isinstance(part, Tally):
            sides = [side.label(f"k{n}") for n, side in enumerate(anchor.child)]
            counted = select(*sides, func.count().label("j")).select_from(child)
            return self.cte(counted.where(*conditions).group_by(*anchor.child), f"j{number}")
        found = Found(way, part, anchor.child, conditions, lambda statement: self.cte(statement, f"l{number}"))
        row = alias_of(part.node, found.source)
        items = _Items(self, row)
        item = items.array(part.node, row)
        labels = [side.label(f"k{n}") for n, side in enumerate(found.sides)]
        return self.cte(self.blocks.grouped(items.source, labels, item, found.order), f"j{number}")

    def _among(self, way: Way, anchor: Anchor, keys: Select[Any]) -> ColumnElement[bool]:
        return self.blocks.among(anchor.child, keys, is_indexed=missing_index(way.declared) is None)

    def value(self, part: Children | Tally, level: CTE) -> ColumnElement[Any]:
        """Return what a parent reads of its level: the array, or the number."""
        return func.coalesce(level.c.j, _ZERO) if isinstance(part, Tally) else self.blocks.filled(level.c.j)


class _Items:
    """The JSON array of one child row; `source` grows with the to-one and the inner levels it needs."""

    def __init__(self, levels: _Levels, row: Any) -> None:
        self.source: Select[Any] = select().select_from(row)
        self._levels = levels
        self._rows = self.source  # without the levels: what the keys of an inner level are selected from
        self._joined: dict[tuple[int, str, int | None], Any] = {}

    def array(self, node: Node, entity: Any) -> ColumnElement[Any]:
        if node.variants:
            self._levels.kept.append(entity)
            return array_of(node, entity, self._numbered)
        return self._levels.blocks.array(self._values(node, entity))

    def _numbered(self, number: ColumnElement[Any], node: Node | None, entity: Any) -> ColumnElement[Any]:
        return self._levels.blocks.array([number, *([] if node is None else self._values(node, entity))])

    def _values(self, node: Node, entity: Any) -> list[ColumnElement[Any]]:
        return [self._item(part, entity) for part in node.parts]

    def _item(self, part: Part, entity: Any) -> ColumnElement[Any]:
        match part:
            case Leaf():
                target = self._join(entity, part.hops)
                return self._levels.blocks.encode(getattr(target, part.attribute), part.type, part.where)
            case One():
                target = self._join(entity, part.hops, part.node)
                return case((key_of(target)[0].is_not(None), self.array(part.node, target)))
            case Children() | Tally():
                parent = _anchor(part, entity, aliased(_target(part))).parent
                keys: Any = self._rows.with_only_columns(*parent, maintain_column_froms=True)
                level = self._levels.level(part, entity, keys)
                self.source = self.source.outerjoin(level, _on(level, parent))
                return self._levels.value(part, level)
            case Tree():
                raise AssertionError("a shape with a tree is read level by level")

    def _join(self, entity: Any, hops: tuple[Hop, ...], node: Node | None = None) -> Any:
        for hop, inner in steps(hops, node):
            place = (id(entity), hop.key, id(inner) if inner is not None else None)
            if place not in self._joined:
                target = self._joined[place] = aliased(hop.target) if inner is None else alias_of(inner)
                way = getattr(entity, hop.key).of_type(target)
                self.source, self._rows = self.source.outerjoin(way), self._rows.outerjoin(way)
            entity = self._joined[place]
        return entity


def is_anchored(node: Node) -> bool:
    """Return whether each collection of the tree is reached by equality of columns alone, as this strategy needs."""
    return all(_is_anchored(part, each.mapper) for each in node.nodes for part in each.parts)


def _is_anchored(part: Part, parent: Mapper[Any]) -> bool:
    match part:
        case Children() | Tally():
            way = Way(aliased(_parent(part, parent)), part.relationship, aliased(_target(part)))
            return way.anchor() is not None and (isinstance(part, Tally) or is_anchored(part.node))
        case One():
            return is_anchored(part.node)
        case Tree():
            return part.node is None or is_anchored(part.node)  # the way of a tree itself was checked
        case Leaf():
            return True


def _parent(part: Children | Tally, parent: Mapper[Any]) -> Any:
    return parent.relationships[part.relationship].parent


def _child(part: Children | Tally) -> Any:
    return alias_of(part.node) if isinstance(part, Children) else aliased(part.target)


def _target(part: Children | Tally) -> Any:
    return part.node.mapper if isinstance(part, Children) else part.target


def _anchor(part: Children | Tally, parent: Any, child: Any, way: Way | None = None) -> Anchor:
    anchor = (way or Way(parent, part.relationship, child)).anchor()
    assert anchor is not None  # `is_anchored` holds for the shape, or another strategy is chosen
    return anchor


def _on(level: CTE, keys: Sequence[Any]) -> ColumnElement[bool]:
    return and_(*(level.c[f"k{number}"] == key for number, key in enumerate(keys)))
