"""Strategy C: each collection of the root is one JSON column, a subquery that runs for each root row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import aliased

from hermetic.shape.aggregates import alone_in_json, argument, computed, encoded
from hermetic.shape.codec import Carrier, Rows, Values
from hermetic.shape.decode import Bundle, Collection, Slot
from hermetic.shape.node import Aggregate, Children, Leaf, Node, One, Part, Together, Tree, layout
from hermetic.shape.row import Row
from hermetic.shape.variants import alias_of, array_of, steps
from hermetic.shape.ways import Way

Encode = Callable[[Sequence[ColumnElement[Any]]], list[ColumnElement[Any]]]


class CorrelatedRow(Row):
    """Inside a collection everything is JSON, and a to-one is a nested subquery: a join there is three times slower."""

    def children(self, part: Children, entity: Any) -> Slot:
        """Return the column that holds the collection as JSON text."""
        load = Collection(part, self.bounds.children).load
        return Slot(self.add(Carrier(self.blocks.text(self._listed(part, entity)), load)))

    def units(self, node: Node) -> Sequence[Part | Together]:
        """Return the parts, those over the same rows together."""
        return layout(node)

    def together(self, unit: Together, entity: Any) -> list[Slot]:
        """Return the fields of parts that one subquery reads, in a column that holds them as one JSON array."""
        load = Bundle(unit, self.bounds.children).load
        index = self.add(Carrier(self.blocks.text(self._together(unit, entity)), load))
        return [Slot(index, place=place) for place in range(len(unit.parts))]

    def _together(self, unit: Together, entity: Any) -> ColumnElement[Any]:
        first, values = unit.parts[0], [part for part in unit.parts if isinstance(part, Aggregate)]

        def encode(arguments: Sequence[ColumnElement[Any]]) -> list[ColumnElement[Any]]:
            pairs = zip(values, arguments, strict=True)
            return [encoded(part, computed(part, each), self.blocks) for part, each in pairs]

        if isinstance(first, Children):
            return self._listed(first, entity, values, encode)
        child = aliased(first.target)
        way = Way(entity, first.relationship, child)
        whole = select(self.blocks.array(encode([argument(part, way.moved) for part in values])))
        return whole.select_from(child).where(*way.where(first.where)).correlate(entity).scalar_subquery()

    def _listed(
        self, part: Children, entity: Any, values: Sequence[Aggregate] = (), encode: Encode | None = None
    ) -> ColumnElement[Any]:
        ways: dict[int, Way] = {}  # one way to each alias: every new one would join the link table again

        def way(child: Any) -> Way:
            return ways.setdefault(id(child), Way(entity, part.relationship, child))

        def arguments(child: Any) -> list[ColumnElement[Any]]:
            return [argument(each, way(child).moved) for each in values]

        return self.blocks.children(
            Rows(
                node=part.node,
                parent=entity,
                where=lambda child: way(child).where(part.where),
                order_by=lambda child: way(child).order_by(part.order_by),
                item=lambda child: self._array(part.node, child),
                limit=part.limit,
                values=None if encode is None else Values(arguments, encode),
            )
        )

    def _array(self, node: Node, entity: Any) -> ColumnElement[Any]:
        if node.variants:
            self.kept.append(entity)
            return array_of(node, entity, self._numbered)
        return self.blocks.array(self._items(node, entity))

    def _numbered(self, number: ColumnElement[Any], node: Node | None, entity: Any) -> ColumnElement[Any]:
        return self.blocks.array([number, *([] if node is None else self._items(node, entity))])

    def _items(self, node: Node, entity: Any) -> list[ColumnElement[Any]]:
        return [self._item(unit, entity) for unit in layout(node)]

    def _item(self, part: Part | Together, entity: Any) -> ColumnElement[Any]:
        match part:
            case Together():
                return self._together(part, entity)
            case Leaf(hops=()):
                return self.blocks.encode(getattr(entity, part.attribute), part.type, part.where)
            case Leaf() | One():
                return self._scalar(part, entity)
            case Children():
                return self._listed(part, entity)
            case Tree():
                raise AssertionError("a shape with a tree is read level by level")
            case Aggregate():
                return alone_in_json(part, entity, self.blocks)

    def _scalar(self, part: Leaf | One, entity: Any) -> ColumnElement[Any]:
        ways: list[Any] = []
        last = entity
        for hop, node in steps(part.hops, part.node if isinstance(part, One) else None):
            target = aliased(hop.target) if node is None else alias_of(node)
            ways.append(getattr(last, hop.key).of_type(target))
            last = target
        if isinstance(part, One):
            value = self._array(part.node, last)
        else:
            value = self.blocks.encode(getattr(last, part.attribute), part.type, part.where)
        return select(value).where(*ways).correlate(entity).scalar_subquery()


def nesting(node: Node, *, in_collection: bool = False) -> int:
    """Return how deep the selects nest: 2 for each collection, 1 for each to-one inside one."""
    depths = [0]
    for part in (part for each in node.nodes for part in each.parts):
        match part:
            case Children():
                depths.append(2 + nesting(part.node, in_collection=True))
            case One():
                depths.append(int(in_collection) + nesting(part.node, in_collection=in_collection))
            case _:
                depths.append(int(in_collection and not (isinstance(part, Leaf) and not part.hops)))
    return max(depths)
