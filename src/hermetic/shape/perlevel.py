"""Strategy M: one statement for each level, its rows found by the keys of the level above and put together in Python.

All columns travel on the driver's own path, so every type is exact. The keys are one parameter, so that a statement
has one text for any number of parents; each child row carries the position of its parent.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import and_

from hermetic.shape.bounds import Bounds
from hermetic.shape.codec import Blocks, Carrier
from hermetic.shape.decode import Level, Listed
from hermetic.shape.node import Children, Node, Tree
from hermetic.shape.row import Row
from hermetic.shape.tree import Linked, Walk, anchor_of
from hermetic.shape.variants import alias_of
from hermetic.shape.ways import Found, Way, key_of, selecting


class KeyedRow(Row):
    """Collects the columns of one level, and the levels below it."""

    def __init__(self, blocks: Blocks, bounds: Bounds) -> None:
        super().__init__(blocks, bounds)
        self.below: list[Level] = []
        self._within: Tree | None = None

    def children(self, part: Children, entity: Any) -> Listed:
        """Return the field that the level below fills."""
        way = Way(entity, part.relationship, alias_of(part.node))
        anchor = way.anchor()
        assert anchor is not None  # `is_anchored` holds for the shape, or another strategy is chosen
        parents = self.blocks.keys([column.type for column in anchor.parent])
        on = [side == parents.c[f"k{number}"] for number, side in enumerate(anchor.child)]
        conditions = [*on, *anchor.rest, *way.filter(part.where)]
        all_of_them = Found.by(way, [parents.c.n], conditions, lambda statement: statement.subquery())
        found, order = all_of_them.listed(part, lambda statement: statement.subquery())
        row = KeyedRow(self.blocks, self.bounds)
        position = row.add(Carrier(found.sides[0]))
        child = alias_of(part.node, found.source)
        record = row.record(part.node, child)
        chosen = row.joined(selecting(carrier.expression for carrier in row.carriers).select_from(child))
        keys = tuple(self.add(Carrier(column)) for column in anchor.parent)
        self.below.append(
            Level(
                chosen.order_by(found.sides[0], *order),
                record,
                row.carriers,
                row.below,
                keys,
                position,
                kept=row.kept,
                path=part.where_path,
                counted=(position,),
            )
        )
        return Listed(len(self.below) - 1, part.pick)

    def tree(self, part: Tree, node: Node, entity: Any) -> Listed:
        """Return the field that a recursive level fills; in the rows of that level, the level itself does."""
        if part is self._within:
            return Listed(None)
        inner = node if part.node is None else part.node
        child = alias_of(inner)
        way = Way(entity, part.relationship, child)
        anchor = anchor_of(way)
        walked = Walk(part, anchor, self.blocks.keys([column.type for column in anchor.parent])).rows
        row = KeyedRow(self.blocks, self.bounds)
        row._within = part if part.node is None else None

        def columns(prefix: str, width: int) -> tuple[int, ...]:
            return tuple(row.add(Carrier(walked.c[f"{prefix}{number}"])) for number in range(width))

        primary, width = key_of(child), len(anchor.parent)
        position, depth = row.add(Carrier(walked.c.n)), row.add(Carrier(walked.c.d))
        linked = Linked(part, position, depth, columns("p", len(primary)), columns("h", width), columns("u", width))
        record = row.record(inner, child)
        on = and_(*(key == walked.c[f"p{number}"] for number, key in enumerate(primary)))
        chosen = selecting(carrier.expression for carrier in row.carriers).select_from(child).join(walked, on)
        deepest_first = walked.c.d.desc() if part.node is None else walked.c.d
        ordered = row.joined(chosen).order_by(deepest_first, walked.c.n, *way.order_by(part.order_by))
        keys = tuple(self.add(Carrier(column)) for column in anchor.parent)
        self.below.append(
            Level(
                ordered,
                record,
                row.carriers,
                row.below,
                keys,
                position,
                kept=row.kept,
                tree=linked,
                path=part.where_path,
                counted=(position, *linked.found_by),
            )
        )
        return Listed(len(self.below) - 1)
