"""Rows of one class hierarchy, each read by the member of a union that is a shape of its class.

A row says its class in the discriminator. In SQL that becomes the number of the member: it is the first element of a
JSON array, and a column of its own in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Alias, ColumnElement, Table, and_, case, inspect, literal_column, or_
from sqlalchemy.orm import aliased, with_polymorphic

from hermetic.shape.node import Hop, Node
from hermetic.shape.ways import key_of, mapper_of, moved

UNKNOWN = -1
"""The number of a row whose class no member reads."""


def alias_of(node: Node, source: Any = None) -> Any:
    """Return a fresh alias of the class of a node, over its table or over `source`; with the columns of subclasses
    where the node has variants.
    """
    if not node.variants:
        return aliased(node.mapper, source)
    if source is None:
        return with_polymorphic(node.mapper, _classes(node), aliased=True)
    return with_polymorphic(node.mapper, _classes(node), selectable=source)


def itself(node: Node, entity: Any) -> tuple[Any, ColumnElement[bool] | None]:
    """Return an alias over the row of `entity` that has the columns of subclasses, and the condition on which it is
    joined; None where they stand in the same table.
    """
    source = inspect(entity).selectable
    table = source.element if isinstance(source, Alias) else source
    if isinstance(table, Table) and all(each.mapper.tables == [table] for each in node.nodes):
        return alias_of(node, source), None
    whole = alias_of(node)
    pairs = zip(key_of(entity), key_of(whole), strict=True)
    return whole, and_(*(here == there for here, there in pairs))


def variant_of(entity: Any, node: Node) -> Any:
    """Return the part of a polymorphic alias that stands for the class of one variant."""
    mapper = node.mapper
    return entity if mapper_of(entity) is mapper else getattr(entity, mapper.class_.__name__)


def steps(hops: tuple[Hop, ...], node: Node | None) -> Iterator[tuple[Hop, Node | None]]:
    """Return each hop, the last one with the node behind it if that has variants."""
    for number, hop in enumerate(hops, 1):
        yield hop, node if number == len(hops) and node is not None and node.variants else None


def number_of(node: Node, entity: Any) -> ColumnElement[int]:
    """Return the number of the variant that reads a row."""
    return _chosen(node, entity, lambda number: literal_column(str(number)))


def array_of(
    node: Node, entity: Any, array: Callable[[ColumnElement[Any], Node | None, Any], Any]
) -> ColumnElement[Any]:
    """Return the JSON array of a row: what `array` makes of its number, the node of its variant (None for a row that no
    member reads) and the part of the alias that stands for it.
    """

    def made(number: int) -> Any:
        first: ColumnElement[Any] = literal_column(str(number))
        if number == UNKNOWN:
            return array(first, None, entity)
        inner = node.variants[number].node
        return array(first, inner, variant_of(entity, inner))

    return _chosen(node, entity, made)


def _chosen(node: Node, entity: Any, value: Callable[[int], ColumnElement[Any]]) -> ColumnElement[Any]:
    kind = moved(node.mapper.polymorphic_on, dict.fromkeys(node.mapper.tables, inspect(entity).selectable))
    whens = [
        (or_(*(kind == identity for identity in variant.identities)), value(number))
        for number, variant in enumerate(node.variants)
        if variant.identities
    ]
    rest = [number for number, variant in enumerate(node.variants) if variant.takes_the_rest]
    return case(*whens, else_=value(rest[0] if rest else UNKNOWN))


def _classes(node: Node) -> list[type[Any]]:
    return [each.mapper.class_ for each in node.nodes]
