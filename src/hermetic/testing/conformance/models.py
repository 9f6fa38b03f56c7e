"""Three tables for one column type, and the shapes that read it on each path."""

from __future__ import annotations

import secrets
import types
from typing import Any, Optional

from sqlalchemy import Column, ForeignKey, Integer, MetaData, Table, select
from sqlalchemy.orm import Mapped, registry, relationship

from hermetic.shape import Shape
from hermetic.testing.conformance.cases import Case


class Models:
    """A tree of three levels, `root`, `middle`, `leaf`, with one root and one middle; a leaf has the value.

    The tables have names that no other run uses. A shape that is refused at definition is refused when it is asked for.
    """

    def __init__(self, case: Case) -> None:
        prefix = f"hermetic_check_{secrets.token_hex(6)}"
        self.metadata = MetaData()
        self.leaf_table = _table(self.metadata, f"{prefix}_leaf", f"{prefix}_middle", Column("value", case.type))
        self.middle_table = _table(self.metadata, f"{prefix}_middle", f"{prefix}_root")
        self.root_table = _table(self.metadata, f"{prefix}_root", None)
        mappers = registry(metadata=self.metadata)
        value: Any = Optional[case.annotation]  # noqa: UP045  # of any form
        mapped: Any = Mapped
        self.leaf = type("Leaf", (), {"__annotations__": {"value": mapped[value]}})
        self.middle = type("Middle", (), {})
        self.root = type("Root", (), {})
        mappers.map_imperatively(self.leaf, self.leaf_table)
        order = self.leaf_table.c.id
        mappers.map_imperatively(
            self.middle, self.middle_table, properties={"children": relationship(self.leaf, order_by=order)}
        )
        mappers.map_imperatively(self.root, self.root_table, properties={"children": relationship(self.middle)})
        self._value = value

    def read(self, path: str) -> tuple[Any, Any]:
        """Return the shape and the statement that read every value on `path`.

        Raises:
            ShapeError: the type has no exact form there on any database.
        """
        line = _shape("LeafLine", self.leaf, value=self._value)
        if path == "root":
            return line, select(self.leaf).order_by(self.leaf_table.c.id)
        card = _shape("MiddleCard", self.middle, children=_list_of(line))
        if path == "collection":
            return card, select(self.middle)
        return _shape("RootCard", self.root, children=_list_of(card)), select(self.root)


def values_in(path: str, found: list[Any]) -> list[Any]:
    """Return the values of all leaves."""
    levels = {"root": 0, "collection": 1, "nested": 2}[path]
    for _ in range(levels):
        found = [child for parent in found for child in parent.children]
    return [leaf.value for leaf in found]


def _table(metadata: MetaData, name: str, parent: str | None, *columns: Column[Any]) -> Table:
    links: list[Column[Any]] = [Column("parent_id", ForeignKey(f"{parent}.id"), nullable=False)] if parent else []
    return Table(name, metadata, Column("id", Integer, primary_key=True), *links, *columns)


def _shape(name: str, model: type[Any], **fields: Any) -> Any:
    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = fields

    generic: Any = Shape
    return types.new_class(name, (generic[model],), {}, body)


def _list_of(shape: Any) -> Any:
    return types.GenericAlias(list, (shape,))
