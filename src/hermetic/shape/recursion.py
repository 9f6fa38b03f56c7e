"""Check a field that follows a relationship of a class to itself to its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Mapper, RelationshipProperty, aliased

from hermetic.shape.annotation import Annotation, members_of, type_name
from hermetic.shape.fields import Recursive
from hermetic.shape.lines import shape_name
from hermetic.shape.to_one import is_single, is_unique
from hermetic.shape.ways import Way

MAX_DEPTH = 400
"""Levels that Python 3.11 compares and prints, and msgspec writes; 600 overflow its recursion limit of 1000."""


def tree_problem(
    mapper: Mapper[Any],
    around: Sequence[type[Any]],
    marker: Recursive,
    annotation: Annotation,
    model_of: Callable[[Any], type | None],
) -> tuple[str, str] | None:
    """Return what is wrong with a field, and the fix; None where it can be read to its end.

    `around` are the shapes that the field stands in, its own first.
    """
    way = mapper.attrs.get(marker.relationship.key)
    label = str(marker.relationship)
    if not isinstance(way, RelationshipProperty) or not way.mapper.isa(way.parent):
        return f"{label} does not lead from a class to itself", "many(...), or the nested shape without a marker"
    if not 1 <= marker.max_depth <= MAX_DEPTH:
        return f"max_depth={marker.max_depth} is not 1 to {MAX_DEPTH}", "max_depth=100"
    if way.secondary is not None:
        return f"{label} goes over a link table, where a row may hang on several", f"many({label}, depth=3)"
    anchor = Way(aliased(way.parent), way.key, aliased(way.mapper)).anchor()
    columns = {column.name for column in way.local_columns if column.name is not None}
    table = next(iter(way.local_columns)).table
    if anchor is None or not (is_unique(table, columns) if way.uselist else is_single(way)):
        return f"{label} may find a row from several others, so its rows are no tree", f"many({label}, depth=3)"
    if way.uselist and (annotation.item is not around[0] or annotation.is_optional):
        name = around[0].__name__
        return f"the rows below are a list of {name} itself", f'Annotated[list["{name}"], recursive({label})]'
    inner = members_of(annotation.item)
    if not way.uselist and (set(around) & set(inner) or annotation.is_optional or None in map(model_of, inner)):
        above = shape_name(way.mapper)
        what = f"the rows above are a list of another shape, not {type_name(annotation.type)}"
        return (
            what,
            f"Annotated[list[{above}], recursive({label})]  # class {above}(Shape[{way.mapper.class_.__name__}])",
        )
    return None
