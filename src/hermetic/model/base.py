"""`Base`: the class a model inherits, its conventions, and the moment a model is refused."""

from __future__ import annotations

import gc
import inspect
import weakref
from pathlib import Path
from types import FrameType
from typing import Any

from sqlalchemy import Column, MetaData, Table, event
from sqlalchemy import inspect as inspection
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, MappedColumn, Mapper, RelationshipProperty, registry

from hermetic.errors import ModelError
from hermetic.model.columns import own_table
from hermetic.model.conventions import NAMING, TYPES, conform, resolve_annotation
from hermetic.model.lint import definition_problems, relationship_problems

_refused: list[weakref.ref[type[Any]]] = []
# the facts and not the error: the traceback of one that was raised would keep the class
_relationships_refused: weakref.WeakKeyDictionary[type[Any], dict[str, Any]] = weakref.WeakKeyDictionary()


class Base(AsyncAttrs, DeclarativeBase):
    """The base of all models: complete conventions, and no model that fails in production.

    `int` is BIGINT, `datetime` an `AwareDateTime`, `timedelta` an `ExactInterval`, an enum its values, a msgspec Struct
    or dataclass a `Json` document, `Numeric(p, s)` an `ExactDecimal(p, s)`. Constraints have the names Alembic advises.
    Subclass it with `__abstract__ = True` for a base of your own, which may add a `type_annotation_map`.

    Raises:
        ModelError: when a model is defined, with all problems of its columns and loaders; when the mappers are
            configured, at the first use of a model, with all problems of all relationships.
    """

    metadata = MetaData(naming_convention=NAMING, info={"hermetic": True})
    type_annotation_map = TYPES

    @classmethod
    def __table_cls__(cls, name: str, metadata: MetaData, *items: Any, **options: Any) -> Table:
        """Return the table of a model, its columns in their exact types."""
        columns: list[Column[Any]] = [item for item in items if isinstance(item, Column)]
        for column in columns:
            conform(column)
        return Table(name, metadata, *items, **options)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        _forget_refused()
        brings_table = "__table__" not in vars(cls)
        declared = _prepare(cls)
        super().__init_subclass__(**kwargs)
        error = _check_definition(cls, declared, brings_table=brings_table)
        if error is not None:
            del cls, declared  # a traceback that is kept must not keep the class
            raise error


def _prepare(cls: type[Any]) -> list[RelationshipProperty[Any]]:
    """Give the columns that a class body writes their exact types, and return its relationships."""
    columns: list[MappedColumn[Any]] = [each for each in vars(cls).values() if isinstance(each, MappedColumn)]
    for each in columns:  # those of a subclass in its parent's table never pass __table_cls__
        conform(each.column)
    return [each for each in vars(cls).values() if isinstance(each, RelationshipProperty)]


def _check_definition(
    cls: type[Any], declared: list[RelationshipProperty[Any]], *, brings_table: bool
) -> ModelError | None:
    mapper: Mapper[Any] | None = inspection(cls, raiseerr=False)
    problems = [] if mapper is None else definition_problems(mapper, declared)
    if mapper is None or not problems:
        return None
    _refuse(mapper, brings_table=brings_table)
    return ModelError(cls.__name__, _class_statement(), problems)


def _refuse(mapper: Mapper[Any], *, brings_table: bool) -> None:
    """Take a refused model out of what its corrected definition would meet again."""
    table = own_table(mapper)
    if table is not None and brings_table:
        table.metadata.remove(table)
    if mapper.inherits is not None and mapper.polymorphic_map.get(mapper.polymorphic_identity) is mapper:
        del mapper.polymorphic_map[mapper.polymorphic_identity]
    _refused.append(weakref.ref(mapper.class_))


def _forget_refused() -> None:
    """Free the refused classes. SQLAlchemy holds classes weakly, and one that is gone is unknown to it."""
    if any(reference() is not None for reference in _refused):
        gc.collect()
    _refused.clear()


def _check_relationships(configured: registry) -> None:
    """Check what needs both sides, of all models at once, as soon as all of them are configured."""
    found = {mapper.class_: relationship_problems(mapper) for mapper in configured.mappers}
    refused = sorted((cls for cls in found if found[cls]), key=lambda cls: (cls.__module__, cls.__qualname__))
    if refused:
        names = ", ".join(cls.__name__ for cls in refused)
        error = ModelError(names, _class_source(refused[0]), [each for cls in refused for each in found[cls]])
        for cls in refused:
            _relationships_refused[cls] = error.facts()
            for moment in ("init", "load"):
                event.listen(cls, moment, _refuse_instance, propagate=True)
        raise error


def _refuse_instance(instance: object, *_: Any) -> None:
    """Keep a refused model unusable: SQLAlchemy reports the end of the configuration once only."""
    for cls in type(instance).__mro__:
        if cls in _relationships_refused:
            raise ModelError(**_relationships_refused[cls])


def _class_statement() -> str:
    """Return the place of the class statement that is being executed."""
    frame: FrameType | None = inspect.currentframe()
    while frame is not None and (
        frame.f_globals.get("__name__") == __name__ or frame.f_code.co_name == "__init_subclass__"
    ):
        frame = frame.f_back
    return "unknown" if frame is None else _place(frame.f_code.co_filename, frame.f_lineno)


def _class_source(cls: type[Any]) -> str:
    try:
        return _place(inspect.getsourcefile(cls) or "", inspect.getsourcelines(cls)[1])
    except (OSError, TypeError):
        return cls.__module__


def _place(file: str, line: int) -> str:
    path = Path(file)
    try:
        return f"{path.relative_to(Path.cwd())}:{line}"
    except ValueError:
        return f"{file}:{line}"


event.listen(Base, "resolve_type_annotation", resolve_annotation)
event.listen(Base, "after_configured", _check_relationships)
