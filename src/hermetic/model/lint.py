"""The definition lint: what is wrong with a model, as pure functions of its mapper."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy.orm import DeclarativeBase, Mapper, RelationshipProperty

from hermetic.errors import Problem
from hermetic.model.columns import column_problems
from hermetic.model.keys import key_problems
from hermetic.model.ready import declared_in, half_defined
from hermetic.model.relationships import delete_problems, loader_problems
from hermetic.model.versioned import version_problems


def lint_models(base: type[DeclarativeBase], /) -> list[Problem]:
    """Return what is wrong with the models of a declarative base, in the order of their names; empty when all is well.

    It reports and never refuses: for models that are not built on `hermetic.Base`, which refuses them itself.
    A relationship to a class that is not mapped is a problem too; until it is, nothing is configured, and what needs
    both sides of a relationship is not looked at.

    Returns: 0..n problems.
    """
    mappers = sorted(base.registry.mappers, key=lambda mapper: (mapper.class_.__module__, mapper.class_.__qualname__))
    found = [problem for mapper in mappers for problem in half_defined(mapper, base.registry)]
    if found:
        return [*found, *(each for mapper in mappers for each in definition_problems(mapper, declared_in(mapper)))]
    base.registry.configure(cascade=True)
    for mapper in mappers:
        found += definition_problems(mapper, [each for each in mapper.relationships if each.parent is mapper])
        found += relationship_problems(mapper)
    return list(dict.fromkeys(found))


def definition_problems(mapper: Mapper[Any], declared: Iterable[RelationshipProperty[Any]]) -> list[Problem]:
    """Return the problems that can be seen without any other model: of columns, keys and the declared loaders."""
    return [
        *column_problems(mapper),
        *key_problems(mapper),
        *version_problems(mapper),
        *(problem for each in declared for problem in loader_problems(mapper.class_, each)),
    ]


def relationship_problems(mapper: Mapper[Any]) -> list[Problem]:
    """Return the problems that need both sides of a relationship. The mapper is configured."""
    own = [each for each in mapper.relationships if each.parent is mapper]
    return [problem for each in own for problem in delete_problems(mapper.class_, each)]
