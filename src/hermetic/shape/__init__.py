"""Shapes: what a read returns, checked against the model, compiled to one statement, decoded at C speed."""

from hermetic.shape.bounds import Bounds
from hermetic.shape.compile import tables_of
from hermetic.shape.define import Shape, ShapeOf, ShapeType, shape_of
from hermetic.shape.dialects.sqlite import register_functions
from hermetic.shape.fields import Latest, Over, Path, count, many, path, recursive
from hermetic.shape.ordered import Ordered, ordered
from hermetic.shape.plan import TABLES, Fetch, Parameters, Plan, Plans, Rows, Step, Values
from hermetic.shape.prepared import BoundRead, Prepared, prepared
from hermetic.shape.spans import CalendarInterval, Span
from hermetic.shape.statement import (
    complete,
    entity_mapper,
    entity_of,
    gathered,
    has_limit,
    is_distinct,
    is_grouped,
    locks_rows,
)
from hermetic.shape.ways import Way, key_of
from hermetic.shape.wire import Codec

__all__ = [
    "TABLES",
    "BoundRead",
    "Bounds",
    "CalendarInterval",
    "Codec",
    "Fetch",
    "Latest",
    "Ordered",
    "Over",
    "Parameters",
    "Path",
    "Plan",
    "Plans",
    "Prepared",
    "Rows",
    "Shape",
    "ShapeOf",
    "ShapeType",
    "Span",
    "Step",
    "Values",
    "Way",
    "complete",
    "count",
    "entity_mapper",
    "entity_of",
    "gathered",
    "has_limit",
    "is_distinct",
    "is_grouped",
    "key_of",
    "locks_rows",
    "many",
    "ordered",
    "path",
    "prepared",
    "recursive",
    "register_functions",
    "shape_of",
    "tables_of",
]
