"""A tree of any depth: all rows below (or above) the roots by one recursive statement, put together in Python.

    WITH RECURSIVE t AS (
        SELECT k.n, 1 AS d, key, below, found by FROM keys k JOIN child ...
        UNION ALL
        SELECT t.n, t.d + 1, ... FROM t JOIN child ON child's parent = t.below
        WHERE t.d <= most AND (t.d = 1 OR the row was not found by the key of its root)
    ) SELECT ... FROM child JOIN t ORDER BY t.d

One level more than allowed is read, so that a tree which is deeper is told from one that ends; a row of a cycle comes a
second time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import CTE, ColumnElement, Integer, Select, and_, literal_column, or_
from sqlalchemy.orm import aliased

from hermetic.errors import CycleFound, TreeTooDeep
from hermetic.shape.node import Tree
from hermetic.shape.ways import Anchor, Way, key_of, selecting

Rows = Sequence[Sequence[Any]]
_ONE: ColumnElement[int] = literal_column("1", Integer)


@dataclass(frozen=True, slots=True)
class Linked:
    """Which columns say how the rows of a tree hang together.

    Attributes:
        position: of the root, from 1.
        depth: from 1, the level next to the root.
        key: the primary key.
        below: what the rows one level further are found by.
        found_by: what the row itself was found by.
    """

    part: Tree
    position: int
    depth: int
    key: tuple[int, ...]
    below: tuple[int, ...]
    found_by: tuple[int, ...]


class Walk:
    """The recursive CTE of a tree: the columns `n`, `d`, and `p0...`, `h0...`, `u0...` as in `Linked`."""

    def __init__(self, part: Tree, anchor: Anchor, parents: Any) -> None:
        sides = [parents.c[f"k{number}"] for number in range(len(anchor.parent))]
        first = self._step(part, [parents.c.n.label("n"), _ONE.label("d"), *_named("k", sides)], sides)
        walked = first.cte("hermetic_t", recursive=True)
        sides = [walked.c[f"h{number}"] for number in range(len(sides))]
        roots = [walked.c[f"k{number}"] for number in range(len(sides))]
        depth = (walked.c.d + _ONE).label("d")
        further = self._step(part, [walked.c.n.label("n"), depth, *_named("k", roots)], sides)
        came_back = and_(*(walked.c[f"u{number}"] == root for number, root in enumerate(roots)))
        most = literal_column(str(part.max_depth), Integer)
        goes_on = and_(walked.c.d <= most, or_(walked.c.d == _ONE, ~came_back))
        self.rows: CTE = walked.union_all(further.where(goes_on))

    def _step(self, part: Tree, first: list[Any], sides: list[Any]) -> Select[Any]:
        """Return the rows that are found by `sides`, after the columns `first`."""
        child = aliased(part.target)
        way = Way(aliased(part.target), part.relationship, child)
        anchor, beyond = anchor_of(way), anchor_of(Way(child, part.relationship, aliased(part.target)))
        keys = [key.__clause_element__() for key in key_of(child)]
        columns = [*first, *_named("p", keys), *_named("h", beyond.parent), *_named("u", anchor.child)]
        on = [there == side for there, side in zip(anchor.child, sides, strict=True)]
        return selecting(columns).where(*on, *anchor.rest, *way.filter(part.where))


def anchor_of(way: Way) -> Anchor:
    """Return where a relationship of a tree compares parent and child; the check let no other pass."""
    anchor = way.anchor()
    assert anchor is not None
    return anchor


def _named(prefix: str, columns: Sequence[Any]) -> list[Any]:
    return [column.label(f"{prefix}{number}") for number, column in enumerate(columns)]


def linked(
    tree: Linked, rows: Rows, parents: int, make: Callable[[Rows, list[Any]], list[Any]], lists: list[Any]
) -> list[list[Any]]:
    """Return the shapes of the rows next to each of the `parents`, all others in the lists of those above them.

    Args:
        tree: how the rows hang together.
        rows: of the whole level, the deepest first; of rows above, the nearest first.
        parents: how many rows the level above has.
        make: makes the shapes of some rows, given for each level below their children by row.
        lists: what those levels hold for all rows.

    Raises:
        CycleFound: a row is above itself.
        TreeTooDeep: there are more levels than allowed.
    """
    part, position, depth = tree.part, tree.position, tree.depth
    keys = {(row[position], *(row[n] for n in tree.key)) for row in rows}
    if len(keys) < len(rows):
        raise CycleFound(part.where_path, part.target.class_.__name__)
    if any(row[depth] > part.max_depth for row in rows):
        raise TreeTooDeep(part.where_path, part.max_depth)
    found: list[list[Any]] = [[] for _ in range(parents)]
    if part.node is not None:  # of other rows above: one list, the nearest first
        for row, made in zip(rows, make(rows, lists), strict=True):
            found[row[position] - 1].append(made)
        return found
    own: list[list[Any]] = [[] for _ in rows]
    homes = {(row[position], *(row[n] for n in tree.below)): below for row, below in zip(rows, own, strict=True)}
    start = 0
    # the deepest first: what validates its fields must be given whole lists
    for level, group in groupby(rows, lambda row: row[depth]):
        end = start + sum(1 for _ in group)
        for row, made in zip(
            rows[start:end], make(rows[start:end], [each[start:end] for each in [*lists, own]]), strict=True
        ):
            home = found[row[position] - 1] if level == 1 else homes[row[position], *(row[n] for n in tree.found_by)]
            home.append(made)
        start = end
    return found
