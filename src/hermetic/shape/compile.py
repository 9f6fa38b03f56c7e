"""Compose what reads a shape: one statement, or one for each level, in the way that the strategy says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import ClauseElement, Select, Table, literal_column
from sqlalchemy.orm.interfaces import CriteriaOption
from sqlalchemy.sql import visitors

from hermetic.errors import TooDeep
from hermetic.shape.bounds import UNBOUNDED, Bounds
from hermetic.shape.codec import Blocks
from hermetic.shape.correlated import CorrelatedRow, nesting
from hermetic.shape.decode import Level
from hermetic.shape.node import Node
from hermetic.shape.perlevel import KeyedRow
from hermetic.shape.row import Row
from hermetic.shape.setbased import SetBasedRow
from hermetic.shape.statement import criteria_of, has_limit, is_distinct, order_of, with_named_order
from hermetic.shape.strategy import Strategy
from hermetic.shape.ways import key_of, mapper_of


def compose(
    statement: Select[Any],
    entity: Any,
    node: Node,
    blocks: Blocks,
    strategy: Strategy,
    *,
    with_order: bool = False,
    bounds: Bounds = UNBOUNDED,
) -> Level:
    """Return the level that reads `node` for the rows that `statement` chooses from `entity`.

    Args:
        statement: which rows, in what order.
        entity: what it selects.
        node: what of each row.
        blocks: of the database.
        strategy: how collections travel.
        with_order: bring what orders each row as well.
        bounds: how large the read may be. Where the statement has no limit, one row more is read than there may be,
            which tells of too many.
    Raises:
        TooDeep: the parser of the database cannot read one statement that nests so deep.
        NoExactForm: a column has no exact form inside JSON on this database.
    """
    chosen = with_named_order(statement, entity)
    ordering = order_of(chosen) if with_order else ()
    # the key keeps distinct rows of different parents apart, the other columns keep an ORDER BY valid
    extra = [getattr(entity, each.key) for each in mapper_of(entity).column_attrs] if is_distinct(statement) else []
    if strategy == "set_based":
        if has_limit(chosen):  # a database may run the CTE twice, and must find the same rows
            chosen = chosen.order_by(*key_of(entity))
        chosen = _at_most(chosen, bounds.rows)
        grouped = SetBasedRow(blocks, bounds)
        record, order = grouped.root(node, entity), grouped.ordered(ordering)
        whole = grouped.statement(chosen, extra).options(*criteria_of(statement))
        if blocks.max_ctes is not None and grouped.ctes > blocks.max_ctes:
            unit = "CTEs (two or three for each relationship)"
            raise TooDeep(node.name, blocks.dialect.name, grouped.ctes, blocks.max_ctes, unit)
        return Level(whole, record, grouped.carriers, order=order, kept=grouped.kept)
    row: Row = KeyedRow(blocks, bounds) if strategy == "per_level" else CorrelatedRow(blocks, bounds)
    if not isinstance(row, KeyedRow):
        _check_nesting(node, blocks)
    record, order = row.root(node, entity), row.ordered(ordering)
    expressions = [*(carrier.expression for carrier in row.carriers), *extra]
    whole = row.joined(_at_most(chosen, bounds.rows).with_only_columns(*expressions, maintain_column_froms=True))
    below = row.below if isinstance(row, KeyedRow) else []
    filtered = [_filtered(each, criteria_of(statement)) for each in below]
    return Level(whole, record, row.carriers, filtered, order=order, kept=row.kept)


def _at_most(statement: Select[Any], most: int | None) -> Select[Any]:
    # a number in the text: for a parameter the planner of PostgreSQL would guess
    return statement if most is None or has_limit(statement) else statement.limit(literal_column(str(most + 1)))


def _filtered(level: Level, criteria: Sequence[CriteriaOption]) -> Level:
    """Return the level with the options that filter every read of a class; SQLAlchemy takes those of a whole statement,
    and the root statement brings its own.
    """
    below = [_filtered(each, criteria) for each in level.below]
    return replace(level, statement=level.statement.options(*criteria), below=below)


def _check_nesting(node: Node, blocks: Blocks) -> None:
    needed = nesting(node)
    if blocks.max_nesting is not None and needed > blocks.max_nesting:
        unit = "levels (a collection counts 2, a to-one inside one 1)"
        raise TooDeep(node.name, blocks.dialect.name, needed, blocks.max_nesting, unit)


def tables_of(statement: ClauseElement) -> frozenset[str]:
    """Return the full names of the tables that `statement` reads, subqueries included."""
    return frozenset(part.fullname for part in visitors.iterate(statement) if isinstance(part, Table))
