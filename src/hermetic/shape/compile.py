"""Compose the one statement of a shape read: strategy F (flat columns) with a C column (correlated JSON) for each
collection.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, Select, Table, func, inspect, select
from sqlalchemy.orm import Mapper, RelationshipProperty, aliased
from sqlalchemy.sql import visitors

from hermetic.errors import TooDeep
from hermetic.shape.annotation import list_of
from hermetic.shape.codec import Blocks, Carrier, Rows
from hermetic.shape.criteria import clause_of, names_table
from hermetic.shape.decode import Collection, Nested, Record, Slot
from hermetic.shape.node import Children, Hop, Leaf, Node, One, Tally
from hermetic.shape.statement import is_distinct, with_named_order


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
    composer = _Composer(blocks)
    record = composer.record(node, entity)
    expressions = [carrier.expression for carrier in composer.carriers]
    if is_distinct(statement):
        # the key keeps distinct rows of different parents apart, the other columns keep an ORDER BY valid
        mapper = _mapper(entity)
        expressions += [getattr(entity, attribute.key) for attribute in mapper.column_attrs]
    chosen = with_named_order(statement, entity).with_only_columns(*expressions, maintain_column_froms=True)
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
                return self.blocks.encode(getattr(entity, part.attribute), part.type, part.where)
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
            value = self.blocks.encode(getattr(last, part.attribute), part.type, part.where)
        return select(value).where(*ways).correlate(entity).scalar_subquery()

    def _children(self, part: Children, entity: Any) -> ColumnElement[Any]:
        mapper = part.node.mapper
        way: RelationshipProperty[Any] = _mapper(entity).relationships[part.relationship]
        ways: dict[int, Any] = {}  # one way to each alias: every new one would join the link table again

        def to(child: Any) -> Any:
            return ways.setdefault(id(child), getattr(entity, part.relationship).of_type(child).expression)

        def where(child: Any) -> list[Any]:
            if part.where is None:
                return [to(child)]
            return [to(child), _moved(part.where, _homes(mapper, child, way, to(child)))]

        def order_by(child: Any) -> list[Any]:
            homes = _homes(mapper, child, way, to(child)) if part.order_by else {}
            return [*(_moved(ordering, homes) for ordering in part.order_by), *self._key(child)]

        def item(child: Any) -> ColumnElement[Any]:
            return self._array(part.node, child)

        by_link = any(names_table(ordering, way.secondary) for ordering in part.order_by)
        return self.blocks.children(Rows(mapper, entity, where, order_by, item, part.limit, by_link))

    def _tally(self, part: Tally, entity: Any) -> ColumnElement[Any]:
        child = aliased(part.target)
        way: RelationshipProperty[Any] = _mapper(entity).relationships[part.relationship]
        condition = getattr(entity, part.relationship).of_type(child).expression
        counted = select(func.count()).select_from(child).where(condition)
        if part.where is not None:
            counted = counted.where(_moved(part.where, _homes(part.target, child, way, condition)))
        return counted.correlate(entity).scalar_subquery()

    def _key(self, entity: Any) -> list[ColumnElement[Any]]:
        mapper = _mapper(entity)
        return [getattr(entity, mapper.get_property_by_column(column).key) for column in mapper.primary_key]


def _homes(mapper: Mapper[Any], alias: Any, way: RelationshipProperty[Any], condition: Any) -> dict[Any, Any]:
    """Return where the columns of each table are found: in `alias`, for a link table in its alias in `condition`."""
    homes: dict[Any, Any] = dict.fromkeys(mapper.tables, inspect(alias).selectable)
    if way.secondary is not None:
        tables = (getattr(part, "table", None) for part in visitors.iterate(condition))
        homes[way.secondary] = next(table for table in tables if getattr(table, "element", None) is way.secondary)
    return homes


def _moved(expression: Any, homes: dict[Any, Any]) -> Any:
    """Return `expression`, written with the columns of classes, over the columns of their `homes`."""

    def replace(element: Any, **_: Any) -> Any:
        home = homes.get(getattr(element, "table", None))
        return None if home is None else home.corresponding_column(element)

    return visitors.replacement_traverse(clause_of(expression), {}, replace)


__all__ = ["Composed", "compose", "tables_of"]
