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
    """Three levels, `root`, `middle` and `leaf`; a leaf has the value, and belongs to a middle and to a root.

    The tables have names that no other run uses.
    """

    def __init__(self, case: Case) -> None:
        prefix = f"hermetic_check_{secrets.token_hex(6)}"
        root, middle = f"{prefix}_root.id", f"{prefix}_middle.id"
        self.metadata = MetaData()
        self.root_table = _table(self.metadata, f"{prefix}_root")
        self.middle_table = _table(self.metadata, f"{prefix}_middle", _link("root_id", root))
        columns = (_link("root_id", root), _link("middle_id", middle), Column("value", case.type))
        self.leaf_table = _table(self.metadata, f"{prefix}_leaf", *columns)
        value: Any = Optional[case.annotation]  # noqa: UP045  # of any form
        mapped: Any = Mapped
        leaf: type[Any] = type("Leaf", (), {"__annotations__": {"value": mapped[value]}})
        inner: type[Any] = type("Middle", (), {})
        outer: type[Any] = type("Root", (), {})
        order = self.leaf_table.c.id
        mappers = registry(metadata=self.metadata)
        mappers.map_imperatively(leaf, self.leaf_table)
        mappers.map_imperatively(inner, self.middle_table, properties={"leaves": relationship(leaf, order_by=order)})
        below = {"leaves": relationship(leaf, order_by=order, viewonly=True), "middles": relationship(inner)}
        mappers.map_imperatively(outer, self.root_table, properties=below)
        line = _shape("LeafLine", leaf, value=value)
        card = _shape("MiddleCard", inner, leaves=_list_of(line))
        self._flat = line, select(leaf).order_by(order)
        self._deep = _shape("RootCard", outer, leaves=_list_of(line), middles=_list_of(card)), select(outer)

    def read(self, path: str) -> tuple[Any, Any]:
        """Return the shape and the statement that read every value on `path`."""
        if path == "root":
            return self._flat
        shape, statement = self._deep
        return shape, statement.execution_options(hermetic_strategy=path)


def values_in(path: str, found: list[Any]) -> list[list[Any]]:
    """Return the values of all leaves, by depth."""
    if path == "root":
        return [[leaf.value for leaf in found]]
    near = [leaf.value for root in found for leaf in root.leaves]
    return [near, [leaf.value for root in found for middle in root.middles for leaf in middle.leaves]]


def _table(metadata: MetaData, name: str, *columns: Column[Any]) -> Table:
    return Table(name, metadata, Column("id", Integer, primary_key=True), *columns)


def _link(name: str, target: str) -> Column[Any]:
    return Column(name, ForeignKey(target), nullable=False, index=True)


def _shape(name: str, model: type[Any], **fields: Any) -> Any:
    def body(namespace: dict[str, Any]) -> None:
        namespace["__annotations__"] = fields

    generic: Any = Shape
    return types.new_class(name, (generic[model],), {}, body)


def _list_of(shape: Any) -> Any:
    return types.GenericAlias(list, (shape,))
