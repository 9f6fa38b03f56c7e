"""Strategy S: the roots, and the children of all of them at once for each relationship, as CTEs of one statement.

    SELECT ... FROM (
        WITH r AS (the root statement),
             l1 AS (children of any root),
             j1 AS (SELECT their JSON from l1, one row for each root),
             a1 AS (SELECT sums and the like from l1, one row for each root)
        SELECT r.*, j1.j, a1.v0 FROM r LEFT JOIN j1 ON j1.k0 = r.k LEFT JOIN a1 ON a1.k0 = r.k
    ) ORDER BY the root's order

All that stands over the same children shares one `l1`. A collection inside a collection has its own `l2`, over the
keys of `l1`, inside `j1`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CTE, ColumnElement, Select, and_, case
from sqlalchemy.orm import Mapper, aliased

from hermetic.shape.aggregates import argument, computed, encoded, native
from hermetic.shape.bounds import Bounds
from hermetic.shape.codec import Blocks, Carrier
from hermetic.shape.decode import Collection, Slot, origin_over
from hermetic.shape.indexes import missing_index
from hermetic.shape.node import (
    Aggregate,
    Children,
    Hop,
    Leaf,
    Node,
    One,
    Part,
    Together,
    Tree,
    are_over_same_rows,
    layout,
)
from hermetic.shape.row import Row
from hermetic.shape.statement import order_of
from hermetic.shape.variants import alias_of, array_of, steps
from hermetic.shape.ways import Anchor, Found, Way, bare, is_same, key_of, ordered_as, selecting

Columns = list[ColumnElement[Any]]


@dataclass(frozen=True, slots=True)
class _Pending:
    """A column of the root row that a CTE fills, and which of the keys of the roots are those of the parents."""

    index: int
    part: Children | Aggregate
    entity: Any
    keys: tuple[int, ...]


class SetBasedRow(Row):
    """Collects the columns of the root row; `statement()` puts the CTEs around them."""

    def __init__(self, blocks: Blocks, bounds: Bounds) -> None:
        super().__init__(blocks, bounds)
        self._pending: list[_Pending] = []
        self._keys: Columns = []
        self._ctes = _Ctes(blocks, self.kept)

    @property
    def ctes(self) -> int:
        """Return how many CTEs `statement()` has made."""
        return self._ctes.made

    def children(self, part: Children, entity: Any) -> Slot:
        """Return the column that holds the collection as JSON text."""
        return Slot(self._later(part, entity))

    def aggregate(self, part: Aggregate, entity: Any) -> Slot:
        """Return the column that holds the value."""
        return Slot(self._later(part, entity), part.is_optional, origin_over(part))

    def _later(self, part: Children | Aggregate, entity: Any) -> int:
        parent = _anchor(Way(entity, part.relationship, aliased(_target(part)))).parent
        index = self.add(Carrier(parent[0]))  # holds the place: the CTE exists once the roots do
        self._pending.append(_Pending(index, part, entity, tuple(self._key(column) for column in parent)))
        return index

    def _key(self, column: ColumnElement[Any]) -> int:
        known = (number for number, each in enumerate(self._keys) if is_same(each, column))
        number = next(known, len(self._keys))
        if number == len(self._keys):
            self._keys.append(column)
        return number

    def statement(self, chosen: Select[Any], extra: Sequence[Any]) -> Select[Any]:
        """Return the whole statement: `chosen` selects the roots, `extra` columns keep the rows of a DISTINCT apart."""
        order, later = order_of(chosen), {pending.index for pending in self._pending}
        columns = {
            index: carrier.expression.label(f"hermetic_c{index}")
            for index, carrier in enumerate(self.carriers)
            if index not in later
        }
        sorts = [bare(each).label(f"hermetic_o{number}") for number, each in enumerate(order)]
        keyed = [column.label(f"hermetic_k{number}") for number, column in enumerate(self._keys)]
        found = [*columns.values(), *keyed, *sorts, *extra]
        chosen_roots: Any = chosen.with_only_columns(*found, maintain_column_froms=True)
        beside = _Beside(self._ctes, selecting([]))
        r = beside.before(self.joined(chosen_roots), "r")
        beside.source = beside.source.select_from(r)
        for index in columns:
            self.carriers[index] = self.carriers[index].over(r.c[f"hermetic_c{index}"])
        for pending in self._pending:
            keys: Columns = [r.c[f"hermetic_k{key}"] for key in pending.keys]
            self.carriers[pending.index] = self._carrier(beside, pending, keys)
        named = [carrier.expression.label(f"hermetic_c{n}") for n, carrier in enumerate(self.carriers)]
        ordered = [r.c[f"hermetic_o{number}"] for number in range(len(order))]
        # a SELECT around the WITH: what looks at the first word of a statement finds a read
        whole = beside.statement().add_columns(*named, *ordered).subquery("hermetic")
        self.carriers = [carrier.over(whole.c[f"hermetic_c{n}"]) for n, carrier in enumerate(self.carriers)]
        sorted_as = [ordered_as(each, whole.c[f"hermetic_o{number}"]) for number, each in enumerate(order)]
        return selecting(carrier.expression for carrier in self.carriers).order_by(*sorted_as)

    def _carrier(self, beside: _Beside, pending: _Pending, keys: Columns) -> Carrier:
        part, entity = pending.part, pending.entity
        if isinstance(part, Children):
            listed = beside.children(part, entity, keys, selecting(keys))
            return Carrier(self.blocks.text(listed), Collection(part, self.bounds.children).load)
        siblings = [each.part for each in self._pending if each.entity is entity]
        return native(part, beside.values(part, siblings, entity, keys, selecting(keys)), self.blocks)


class _Ctes:
    """Makes the CTEs of one statement: where they are used, or all of them on top where the parser bears no nesting."""

    def __init__(self, blocks: Blocks, kept: list[Any]) -> None:
        self.blocks = blocks
        self.kept = kept
        self.made = 0

    def named_again(self, statement: Select[Any], letter: str) -> CTE:
        """Return the statement as a CTE that others name too; a `_Beside` says where it stands."""
        return statement.cte(self._name(letter))

    def named_once(self, statement: Select[Any], letter: str) -> CTE:
        """Return the statement as a CTE that stands where it is named."""
        return statement.cte(self._name(letter), nesting=self.blocks.nests_cte)

    def _name(self, letter: str) -> str:
        self.made += 1
        return f"hermetic_{letter}{self.made}"


class _Beside:
    """A SELECT of parents with the levels of their children beside it; what is found for one part serves the others."""

    def __init__(self, ctes: _Ctes, source: Select[Any]) -> None:
        self.source = source
        self._ctes = ctes
        self._before: list[CTE] = []
        self._found: list[tuple[Any, Children | Aggregate, Found]] = []
        self._values: list[tuple[Any, Aggregate, dict[str, Columns]]] = []

    def before(self, statement: Select[Any], letter: str) -> CTE:
        """Return the statement as a CTE that stands before this SELECT."""
        cte = self._ctes.named_again(statement, letter)
        self._before.append(cte)
        return cte

    def statement(self) -> Select[Any]:
        """Return the SELECT, behind its CTEs."""
        return self.source.add_cte(*self._before, nest_here=True) if self._ctes.blocks.nests_cte else self.source

    def children(self, part: Children, parent: Any, keys: Columns, among: Select[Any]) -> ColumnElement[Any]:
        """Return the JSON array of the children: of `parent`, whose keys stand here as `keys`, in all as `among`."""
        found, order = self._rows(part, parent, among).listed(part, lambda first: self.before(first, "p"))
        row = alias_of(part.node, found.source)
        items = _Items(self._ctes, row)
        item = items.array(part.node, row)
        labels = [side.label(f"k{number}") for number, side in enumerate(found.sides)]
        blocks = self._ctes.blocks
        level = self._joined(blocks.grouped(items.beside.statement(), labels, item, order), "j", keys)
        return blocks.filled(level.c.j)

    def values(
        self, part: Aggregate, siblings: Sequence[Part], parent: Any, keys: Columns, among: Select[Any]
    ) -> Columns:
        """Return what SQL computes for `part`, and in the same level for its `siblings` over the same rows."""
        for place, known, values in self._values:
            if place is parent and are_over_same_rows(known, part):
                return values[part.name]
        found = self._rows(part, parent, among)
        together = [each for each in siblings if isinstance(each, Aggregate) and are_over_same_rows(each, part)]
        named = {
            each.name: [
                value.label(f"v{number}_{n}") for n, value in enumerate(computed(each, argument(each, found.moved)))
            ]
            for number, each in enumerate(together)
        }
        labels = [side.label(f"k{number}") for number, side in enumerate(found.sides)]
        grouped = selecting([*labels, *itertools.chain(*named.values())]).group_by(*found.sides)
        level = self._joined(grouped, "a", keys)
        joined: dict[str, Columns] = {name: [level.c[each.name] for each in own] for name, own in named.items()}
        self._values.append((parent, part, joined))
        return joined[part.name]

    def _rows(self, part: Children | Aggregate, parent: Any, among: Select[Any]) -> Found:
        for place, known, found in self._found:
            if place is parent and are_over_same_rows(known, part) and _classes(known) == _classes(part):
                return found
        way = Way(parent, part.relationship, _child(part))
        anchor = _anchor(way)
        is_indexed = missing_index(way.declared) is None
        chosen = self._ctes.blocks.among(anchor.child, among, is_indexed=is_indexed)
        conditions = [chosen, *anchor.rest, *way.filter(part.where)]
        found = Found.by(way, anchor.child, conditions, lambda rows: self.before(rows, "l"))
        self._found.append((parent, part, found))
        return found

    def _joined(self, statement: Select[Any], letter: str, keys: Columns) -> CTE:
        level = self._ctes.named_once(statement, letter)
        on = and_(*(level.c[f"k{number}"] == key for number, key in enumerate(keys)))
        self.source = self.source.outerjoin(level, on)
        return level


class _Items:
    """The JSON array of one child row, in a SELECT that grows with the to-one and the inner levels it needs."""

    def __init__(self, ctes: _Ctes, row: Any) -> None:
        self.beside = _Beside(ctes, selecting([]).select_from(row))
        self._blocks = ctes.blocks
        self._rows = self.beside.source  # without the levels: what the keys of an inner level are selected from
        self._kept = ctes.kept
        self._targets: dict[tuple[int, str, int | None], Any] = {}

    def array(self, node: Node, entity: Any) -> ColumnElement[Any]:
        if node.variants:
            self._kept.append(entity)
            return array_of(node, entity, self._numbered)
        return self._blocks.array(self._values(node, entity))

    def _numbered(self, number: ColumnElement[Any], node: Node | None, entity: Any) -> ColumnElement[Any]:
        return self._blocks.array([number, *([] if node is None else self._values(node, entity))])

    def _values(self, node: Node, entity: Any) -> Columns:
        return [self._unit(unit, node, entity) for unit in layout(node)]

    def _unit(self, unit: Part | Together, node: Node, entity: Any) -> ColumnElement[Any]:
        if isinstance(unit, Together):
            return self._blocks.array([self._item(part, node, entity) for part in unit.parts])
        return self._item(unit, node, entity)

    def _item(self, part: Part, node: Node, entity: Any) -> ColumnElement[Any]:
        match part:
            case Leaf():
                target = self._join(entity, part.hops)
                return self._blocks.encode(getattr(target, part.attribute), part.type, part.where)
            case One():
                target = self._join(entity, part.hops, part.node)
                return case((key_of(target)[0].is_not(None), self.array(part.node, target)))
            case Children() | Aggregate():
                keys = list(_anchor(Way(entity, part.relationship, aliased(_target(part)))).parent)
                among: Any = self._rows.with_only_columns(*keys, maintain_column_froms=True)
                if isinstance(part, Children):
                    return self.beside.children(part, entity, keys, among)
                return encoded(part, self.beside.values(part, node.parts, entity, keys, among), self._blocks)
            case Tree():
                raise AssertionError("a shape with a tree is read level by level")

    def _join(self, entity: Any, hops: tuple[Hop, ...], node: Node | None = None) -> Any:
        for hop, inner in steps(hops, node):
            place = (id(entity), hop.key, id(inner) if inner is not None else None)
            if place not in self._targets:
                target = self._targets[place] = aliased(hop.target) if inner is None else alias_of(inner)
                way = getattr(entity, hop.key).of_type(target)
                self.beside.source, self._rows = self.beside.source.outerjoin(way), self._rows.outerjoin(way)
            entity = self._targets[place]
        return entity


def is_anchored(node: Node) -> bool:
    """Return whether each collection of the tree is reached by equality of columns alone, as this strategy needs."""
    return all(_is_anchored(part, each.mapper) for each in node.nodes for part in each.parts)


def _is_anchored(part: Part, parent: Mapper[Any]) -> bool:
    match part:
        case Children() | Aggregate():
            owner: Any = parent.relationships[part.relationship].parent
            way = Way(aliased(owner), part.relationship, aliased(_target(part)))
            return way.anchor() is not None and (isinstance(part, Aggregate) or is_anchored(part.node))
        case One():
            return is_anchored(part.node)
        case Tree():
            return part.node is None or is_anchored(part.node)  # the way of a tree itself was checked
        case Leaf():
            return True


def _child(part: Children | Aggregate) -> Any:
    return alias_of(part.node) if isinstance(part, Children) else aliased(part.target)


def _classes(part: Children | Aggregate) -> list[Mapper[Any]]:
    """Return the classes whose columns the rows need beside those of the relationship's own class."""
    return [each.node.mapper for each in part.node.variants] if isinstance(part, Children) else []


def _target(part: Children | Aggregate) -> Any:
    return part.node.mapper if isinstance(part, Children) else part.target


def _anchor(way: Way) -> Anchor:
    anchor = way.anchor()
    assert anchor is not None  # `is_anchored` holds for the shape, or another strategy is chosen
    return anchor
