"""Compose the one statement of a shape read: strategy F (flat columns) with a C column (correlated JSON) for each
collection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, Select, Table, func, inspect, select
from sqlalchemy.orm import Mapper, aliased
from sqlalchemy.sql import visitors

from hermetic.errors import TooDeep
from hermetic.shape.annotation import list_of
from hermetic.shape.codec import Blocks, Carrier, Rows
from hermetic.shape.decode import Collection, Nested, Record, Slot, wire_of
from hermetic.shape.node import Children, Hop, Leaf, Node, One, Tally
from hermetic.shape.statement import is_distinct


@dataclass(slots=True)
class Composed:
    """A statement and the layout of its columns."""

    statement: Select[Any]
    record: Record
    carriers: list[Carrier]
    collections: int


def compose(statement: Select[Any], entity: Any, node: Node, blocks: Blocks) -> Composed:
    """Return the statement that reads `node` for the rows that `statement` chooses from `entity`."""
    needed = _nesting(node, in_collection=False)
    if blocks.max_nesting is not None and needed > blocks.max_nesting:
        raise TooDeep(node.shape.__name__, blocks.dialect.name, needed, blocks.max_nesting)
    composer = _Composer(blocks, node.shape.__name__)
    record = composer.record(node, entity)
    expressions = [carrier.expression for carrier in composer.carriers]
    if is_distinct(statement):
        # the key keeps rows of different parents apart, the other columns keep an ORDER BY valid
        mapper = _mapper(entity)
        expressions += [getattr(entity, attribute.key) for attribute in mapper.column_attrs]
    chosen = statement.with_only_columns(*expressions, maintain_column_froms=True)
    for parent, key, child in composer.joins:
        chosen = chosen.outerjoin(getattr(parent, key).of_type(child))
    return Composed(chosen, record, composer.carriers, composer.collections)


def _nesting(node: Node, *, in_collection: bool) -> int:
    """Return how deep the selects of a statement nest: 2 for each collection, 1 for each to-one inside one."""
    depths = [0]
    for part in node.parts:
        match part:
            case Children():
                depths.append(2 + _nesting(part.node, in_collection=True))
            case One():
                depths.append(int(in_collection) + _nesting(part.node, in_collection=in_collection))
            case _:
                depths.append(int(in_collection and not (isinstance(part, Leaf) and not part.hops)))
    return max(depths)


def tables_of(statement: ClauseElement) -> frozenset[str]:
    """Return the full names of the tables that `statement` reads, subqueries included."""
    return frozenset(part.fullname for part in visitors.iterate(statement) if isinstance(part, Table))


def _mapper(entity: Any) -> Mapper[Any]:
    found: Mapper[Any] = inspect(entity).mapper
    return found


@dataclass(slots=True)
class _Composer:
    blocks: Blocks
    shape: str
    carriers: list[Carrier] = field(default_factory=list)
    joins: list[tuple[Any, str, Any]] = field(default_factory=list)
    collections: int = 0
    _joined: dict[tuple[int, str], Any] = field(default_factory=dict)

    def _add(self, carrier: Carrier) -> int:
        self.carriers.append(carrier)
        return len(self.carriers) - 1

    # the root: native columns, LEFT JOINs over to-one, one JSON column for each collection

    def record(self, node: Node, entity: Any) -> Record:
        fields: list[tuple[str, Slot | Nested]] = []
        for part in node.parts:
            match part:
                case Leaf():
                    column = getattr(self._join(entity, part.hops), part.attribute)
                    index = self._add(self.blocks.native(column, part.type, part.annotation))
                    fields.append((part.name, Slot(index, part.is_optional, part.annotation)))
                case One():
                    target = self._join(entity, part.hops)
                    presence = self._add(Carrier(self._key(target)[0]))
                    fields.append((part.name, Nested(presence, part.is_optional, self.record(part.node, target))))
                case Children():
                    self.collections += 1
                    collection = Collection(part.node)
                    index = self._add(Carrier(self.blocks.text(self._children(part, entity)), collection.load))
                    fields.append((part.name, Slot(index, is_optional=False, annotation=list_of(part.node.shape))))
                case Tally():
                    index = self._add(Carrier(self._tally(part, entity)))
                    fields.append((part.name, Slot(index, is_optional=False, annotation=int)))
        return Record(node.shape, tuple(fields))

    def _join(self, entity: Any, hops: tuple[Hop, ...]) -> Any:
        for hop in hops:
            place = (id(entity), hop.key)
            if place not in self._joined:
                self._joined[place] = aliased(hop.target)
                self.joins.append((entity, hop.key, self._joined[place]))
            entity = self._joined[place]
        return entity

    # inside a collection: everything is JSON, to-one is a nested scalar subquery (a join there is three times slower)

    def _array(self, node: Node, entity: Any) -> ColumnElement[Any]:
        return self.blocks.array([self._item(part, entity) for part in node.parts])

    def _item(self, part: Leaf | One | Children | Tally, entity: Any) -> ColumnElement[Any]:
        match part:
            case Leaf(hops=()):
                return self.blocks.encode(getattr(entity, part.attribute), part.type, f"{self.shape}…{part.name}")
            case Leaf() | One():
                return self._scalar(part, entity)
            case Children():
                return self._children(part, entity)
            case Tally():
                return self._tally(part, entity)

    def _scalar(self, part: Leaf | One, entity: Any) -> ColumnElement[Any]:
        ways: list[Any] = []
        last = entity
        for hop in part.hops:
            target = aliased(hop.target)
            ways.append(getattr(last, hop.key).of_type(target))
            last = target
        if isinstance(part, One):
            value = self._array(part.node, last)
        else:
            value = self.blocks.encode(getattr(last, part.attribute), part.type, f"{self.shape}…{part.name}")
        return select(value).where(*ways).correlate(entity).scalar_subquery()

    def _children(self, part: Children, entity: Any) -> ColumnElement[Any]:
        mapper = part.node.mapper

        def where(child: Any) -> list[Any]:
            conditions = [getattr(entity, part.relationship).of_type(child)]
            return conditions if part.where is None else [*conditions, _moved(part.where, mapper, child)]

        def order_by(child: Any) -> list[Any]:
            return [*(_moved(ordering, mapper, child) for ordering in part.order_by), *self._key(child)]

        return self.blocks.children(
            Rows(mapper, entity, where, order_by, lambda child: self._array(part.node, child), part.limit)
        )

    def _tally(self, part: Tally, entity: Any) -> ColumnElement[Any]:
        child = aliased(part.target)
        counted = select(func.count()).select_from(child).where(getattr(entity, part.relationship).of_type(child))
        if part.where is not None:
            counted = counted.where(_moved(part.where, part.target, child))
        return counted.correlate(entity).scalar_subquery()

    def _key(self, entity: Any) -> list[ColumnElement[Any]]:
        mapper = _mapper(entity)
        return [getattr(entity, mapper.get_property_by_column(column).key) for column in mapper.primary_key]


def _moved(expression: Any, mapper: Mapper[Any], alias: Any) -> Any:
    """Return `expression`, written with the columns of the class, over the columns of `alias`."""
    selectable = inspect(alias).selectable
    tables = set(mapper.tables)

    def replace(element: Any, **_: Any) -> Any:
        if getattr(element, "table", None) in tables:
            return selectable.corresponding_column(element)
        return None

    clause = expression.__clause_element__() if hasattr(expression, "__clause_element__") else expression
    return visitors.replacement_traverse(clause, {}, replace)


__all__ = ["Composed", "compose", "tables_of", "wire_of"]
