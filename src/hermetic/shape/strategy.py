"""How collections travel: the four strategies, and the rule that chooses one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from hermetic.errors import NoExactForm, TooDeep, WrongStatement
from hermetic.shape.codec import has_exact_form
from hermetic.shape.indexes import missing_index
from hermetic.shape.node import Aggregate, Children, Leaf, Node, One, Tree
from hermetic.shape.setbased import is_anchored

Strategy = Literal["flat", "correlated", "set_based", "per_level"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

# measured on PostgreSQL 18 and MariaDB 10.11 with a three-level graph: a set-based statement costs half a millisecond
# more to plan, and from about five roots on it is faster all the same
_FEW = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """What a choice depends on beside the statement; the same for every read of a shape.

    Attributes:
        collections: to-many relationships at the root, aggregates included.
        is_anchored: whether each of them is reached by equality of columns alone.
        inexact: paths of the fields inside collections whose type has no exact form in JSON.
        unindexed: the `CREATE INDEX` that each to-many relationship lacks.
        trees: paths of the fields that are read to any depth.
    """

    collections: int
    is_anchored: bool
    inexact: tuple[str, ...]
    unindexed: tuple[str, ...]
    trees: tuple[str, ...] = ()

    @classmethod
    def of(cls, node: Node) -> Facts:
        """Return the facts of a shape."""
        return cls(
            collections=sum(1 for _ in _collections(node)),
            is_anchored=is_anchored(node),
            inexact=tuple(_inexact(node, in_collection=False)),
            unindexed=tuple(dict.fromkeys(_unindexed(node))),
            trees=tuple(_trees(node)),
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy, and the reason that `plan()` shows."""

    strategy: Strategy
    reason: str


_FLAT = Choice("flat", "no collection: plain columns in the driver's own types")


def roots_of(most: int | None) -> int | None:
    """Return what the rule tells apart: 1 root, a few, or (None) any number."""
    return most if most == 1 else _FEW if most is not None and most <= _FEW else None


def choose(facts: Facts, database: str, roots: int | None, wanted: Any = None) -> Choice:
    """Return the strategy for a read of `roots` (see `roots_of`).

    Raises:
        WrongStatement: `wanted` is no strategy, or one that cannot read this shape.
    """
    if wanted is not None:
        return _wanted(facts, wanted)
    if not facts.collections:
        return _FLAT
    if facts.trees:
        return Choice("per_level", f"{', '.join(facts.trees)} is read to its end, by one recursive statement")
    counted = "1 collection" if facts.collections == 1 else f"{facts.collections} collections"
    if facts.inexact and facts.is_anchored:
        return _per_level(", ".join(facts.inexact))
    if not facts.is_anchored:
        return Choice("correlated", f"{counted} at the root, and a relationship whose condition is more than equality")
    if roots == 1:
        return Choice("correlated", f"{counted} at the root, one root: one correlated JSON column each")
    if facts.unindexed:
        return Choice("set_based", f"{counted} at the root, and a foreign key without index: one scan for all children")
    if database != "postgresql":
        return Choice("correlated", f"{counted} at the root: one correlated JSON column each")
    if roots is not None:
        return Choice("correlated", f"{counted} at the root, at most {roots} roots: one correlated JSON column each")
    return Choice("set_based", f"{counted} at the root, more than {_FEW} roots: all children at once, by key")


def fallback(error: NoExactForm | TooDeep, facts: Facts, tried: Strategy) -> Choice | None:
    """Return what reads a shape that one statement of the `tried` form cannot, or None where nothing does."""
    if not facts.is_anchored or tried == "per_level":
        return None
    if isinstance(error, NoExactForm):
        return _per_level(error.field)
    if tried == "set_based":
        return Choice("per_level", f"one statement would be too long for {error.database}: one for each level")
    return Choice("set_based", f"nested selects are too deep for {error.database}: one CTE for each level")


def _per_level(fields: str) -> Choice:
    return Choice("per_level", f"{fields} has no exact form in JSON: each level is read in the driver's own types")


def _wanted(facts: Facts, wanted: Any) -> Choice:
    if wanted not in STRATEGIES:
        raise WrongStatement(
            "plan", f"{wanted!r} is no strategy", f"execution_options(hermetic_strategy=one of {', '.join(STRATEGIES)})"
        )
    if wanted == "flat" and facts.collections:
        raise WrongStatement(
            "plan", "the shape has collections, which are not flat", "leave hermetic_strategy out, or name another"
        )
    if not facts.collections:
        return _FLAT
    if wanted != "per_level" and facts.trees:
        raise WrongStatement(
            "plan",
            f"{', '.join(facts.trees)} is read to its end by a statement of its own, which is per_level",
            "leave hermetic_strategy out, or name per_level",
        )
    if wanted in ("set_based", "per_level") and not facts.is_anchored:
        raise WrongStatement(
            "plan",
            f"{wanted} compares keys, and a relationship of the shape has a condition that is more than equality",
            "leave hermetic_strategy out, or name correlated",
        )
    if wanted != "per_level" and facts.inexact:
        raise WrongStatement(
            "plan",
            f"{', '.join(facts.inexact)} has no exact form in JSON, which {wanted} needs",
            "leave hermetic_strategy out, or name per_level",
        )
    return Choice(wanted, "asked for by the statement's hermetic_strategy")


def _trees(node: Node) -> Iterator[str]:
    for part in (part for each in node.nodes for part in each.parts):
        if isinstance(part, Tree):
            yield part.where_path
        if isinstance(part, (One, Children, Tree)) and part.node is not None:
            yield from _trees(part.node)


def _collections(node: Node) -> Iterator[Children | Aggregate | Tree]:
    for part in (part for each in node.nodes for part in each.parts):
        match part:
            case Children() | Aggregate() | Tree():
                yield part
            case One():
                yield from _collections(part.node)
            case Leaf():
                pass


def _inexact(node: Node, *, in_collection: bool) -> Iterator[str]:
    for part in (part for each in node.nodes for part in each.parts):
        match part:
            case Leaf():
                if in_collection and not has_exact_form(part.type):
                    yield part.where
            case One():
                yield from _inexact(part.node, in_collection=in_collection)
            case Children():
                yield from _inexact(part.node, in_collection=True)
            case Aggregate() | Tree():
                pass


def _unindexed(node: Node) -> Iterator[str]:
    for owner, part in ((each, part) for each in node.nodes for part in each.parts):
        match part:
            case Children() | Aggregate() | Tree():
                line = missing_index(owner.mapper.relationships[part.relationship])
                if line is not None:
                    yield line
                if not isinstance(part, Aggregate) and part.node is not None:
                    yield from _unindexed(part.node)
            case One():
                yield from _unindexed(part.node)
            case Leaf():
                pass
