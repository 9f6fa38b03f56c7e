"""The row of one statement: native columns, LEFT JOINs over to-one, and a column or a level for each collection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import aliased

from hermetic.shape.aggregates import alone
from hermetic.shape.bounds import Bounds
from hermetic.shape.codec import Blocks, Carrier
from hermetic.shape.decode import Choice, Listed, Nested, Record, Slot, origin_of, origin_of_one, origin_over
from hermetic.shape.node import Aggregate, Children, Hop, Leaf, Node, One, Part, Together, Tree
from hermetic.shape.variants import alias_of, itself, number_of, steps, variant_of
from hermetic.shape.ways import bare, key_of


class Row(ABC):
    """Collects what a statement must select for a node; a strategy says how collections travel."""

    def __init__(self, blocks: Blocks, bounds: Bounds) -> None:
        self.blocks = blocks
        self.bounds = bounds
        self.carriers: list[Carrier] = []
        self.joins: list[tuple[Any, ...]] = []
        self.kept: list[Any] = []
        self._joined: dict[tuple[int, str, int | None], Any] = {}

    @abstractmethod
    def children(self, part: Children, entity: Any) -> Slot | Listed:
        """Return the field of a collection of `entity`."""

    def tree(self, part: Tree, node: Node, entity: Any) -> Listed:
        """Return the field of all rows below or above `entity`; `node` is the shape in which the field stands."""
        raise AssertionError(f"a shape with a tree is read level by level, and {part.where_path} is one")

    def units(self, node: Node) -> Sequence[Part | Together]:
        """Return the parts of a node, or some of them as one column together."""
        return node.parts

    def together(self, unit: Together, entity: Any) -> list[Slot]:
        """Return the fields of the parts that one column holds."""
        raise AssertionError(f"each part of {unit.name} has a column of its own")

    def aggregate(self, part: Aggregate, entity: Any) -> Slot:
        """Return the field of a value over the children of `entity`."""
        return Slot(self.add(alone(part, entity, self.blocks)), part.is_optional, origin_over(part))

    def root(self, node: Node, entity: Any) -> Record | Choice:
        """Return the layout of `node` over the rows that a statement chooses from `entity`."""
        if node.variants:
            entity, on = itself(node, entity)
            self.joins += [] if on is None else [(entity, on)]
        return self.record(node, entity)

    def record(self, node: Node, entity: Any) -> Record | Choice:
        """Return the layout of `node` over the columns of `entity`, which are added to the row."""
        if not node.variants:
            return self._record(node, entity)
        number = self.add(Carrier(number_of(node, entity)))
        self.kept.append(entity)
        return Choice(number, tuple(self._record(each, variant_of(entity, each)) for each in node.nodes), node)

    def _record(self, node: Node, entity: Any) -> Record:
        fields: list[tuple[str, Slot | Nested | Listed]] = []
        for part in self.units(node):
            match part:
                case Together():
                    names = [each.name for each in part.parts]
                    fields += zip(names, self.together(part, entity), strict=True)
                case Leaf():
                    column = getattr(self.join(entity, part.hops), part.attribute)
                    index = self.add(self.blocks.native(column, part.type, part.annotation))
                    fields.append((part.name, Slot(index, part.is_optional, origin_of(node, part))))
                case One():
                    target = self.join(entity, part.hops, part.node)
                    presence = self.add(Carrier(key_of(target)[0]))
                    record = self.record(part.node, target)
                    fields.append((part.name, Nested(presence, part.is_optional, record, origin_of_one(node, part))))
                case Children():
                    fields.append((part.name, self.children(part, entity)))
                case Tree():
                    fields.append((part.name, self.tree(part, node, entity)))
                case Aggregate():
                    fields.append((part.name, self.aggregate(part, entity)))
        return Record(node.shape, tuple(fields))

    def ordered(self, clauses: Sequence[Any]) -> tuple[int, ...]:
        """Add what an ORDER BY compares, and return its columns."""
        return tuple(self.add(self.blocks.native(each, each.type, Any)) for each in map(bare, clauses))

    def add(self, carrier: Carrier) -> int:
        """Add a column and return its index."""
        self.carriers.append(carrier)
        return len(self.carriers) - 1

    def join(self, entity: Any, hops: tuple[Hop, ...], node: Node | None = None) -> Any:
        """Return what the hops lead to, `node` behind the last of them; each way is joined once."""
        for hop, inner in steps(hops, node):
            place = (id(entity), hop.key, id(inner) if inner is not None else None)
            if place not in self._joined:
                self._joined[place] = aliased(hop.target) if inner is None else alias_of(inner)
                self.joins.append((getattr(entity, hop.key).of_type(self._joined[place]),))
            entity = self._joined[place]
        return entity

    def joined(self, statement: Select[Any]) -> Select[Any]:
        """Return the statement with the LEFT JOINs of this row."""
        for join in self.joins:
            statement = statement.outerjoin(*join)
        return statement
