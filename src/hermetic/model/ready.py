"""Whether the mappers can be configured yet.

Configuring too early marks a mapper as failed for the life of the process.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper, QueryableAttribute, RelationshipProperty, registry

from hermetic.errors import Problem


def can_configure(mappers: registry) -> bool:
    """Return whether every relationship of `mappers` leads to a class that is mapped by now."""
    return not any(half_defined(mapper, mappers) for mapper in mappers.mappers)


def half_defined(mapper: Mapper[Any], mappers: registry) -> list[Problem]:
    """Return the relationships that lead to a class which does not exist or is not mapped. Nothing is configured."""
    if mapper.configured:
        return []
    known = {each.class_.__name__ for each in mappers.mappers}
    return [_leads_nowhere(mapper.class_, each) for each in declared_in(mapper) if not _is_mapped(each.argument, known)]


def declared_in(mapper: Mapper[Any]) -> Iterator[RelationshipProperty[Any]]:
    """Return the relationships that the class body declares, as they are before the mappers are configured."""
    for attribute in vars(mapper.class_).values():
        if isinstance(attribute, QueryableAttribute):
            declared = attribute.comparator.prop  # `.property` would configure the mappers
            if isinstance(declared, RelationshipProperty):
                yield declared


def _is_mapped(argument: Any, known: set[str]) -> bool:
    if isinstance(argument, str):
        return argument.rpartition(".")[2].strip("'\" ") in known
    if isinstance(argument, (type, Mapper)):
        return inspect(argument, raiseerr=False) is not None
    if not callable(argument):
        return True
    try:
        return _is_mapped(argument(), known)
    except Exception:  # a lambda or a resolver: whatever it raises, the class is not there yet
        return False


def _leads_nowhere(cls: type[Any], relationship: RelationshipProperty[Any]) -> Problem:
    argument: Any = relationship.argument
    name = argument if isinstance(argument, str) else getattr(argument, "__name__", "<lambda>")
    name = name.strip("'\" ").rpartition(".")[2].replace("<lambda>", "Target")
    fix = (
        f'class {name}({cls.__mro__[1].__name__}):\n    __tablename__ = "{name.lower()}"\n'
        "    id: Mapped[int] = mapped_column(primary_key=True)"
    )
    return Problem(f"{cls.__name__}.{relationship.key}", f"leads to {name}, which is not mapped", fix)
