"""Whether the mappers can be configured yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Mapper, QueryableAttribute, RelationshipProperty, registry


def can_configure(mappers: registry) -> bool:
    """Return whether every relationship of `mappers` leads to a class that exists by now.

    Configuring earlier would mark the mapper as failed for the life of the process.
    """
    known = {mapper.class_.__name__ for mapper in mappers.mappers}
    return all(_leads_somewhere(argument, known) for mapper in mappers.mappers for argument in _arguments(mapper))


def _arguments(mapper: Mapper[Any]) -> Iterator[Any]:
    if mapper.configured:
        return
    for attribute in vars(mapper.class_).values():
        if isinstance(attribute, QueryableAttribute):
            declared = attribute.comparator.prop  # `.property` would configure the mappers
            if isinstance(declared, RelationshipProperty):
                yield declared.argument


def _leads_somewhere(argument: Any, known: set[str]) -> bool:
    if isinstance(argument, str):
        return argument.rpartition(".")[2].strip("'\" ") in known
    if isinstance(argument, (type, Mapper)) or not callable(argument):
        return True
    try:
        argument()
    except Exception:  # a lambda or a resolver: whatever it raises, the class is not there yet
        return False
    return True
