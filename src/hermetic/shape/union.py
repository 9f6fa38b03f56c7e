"""Check a union of shapes over a class hierarchy: each row has exactly one member, and its JSON says which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import Mapper

from hermetic.errors import Problem
from hermetic.shape.lines import field_line, key_of, shape_name

Identities = dict[Mapper[Any], tuple[Any, ...]]


def variants_of(
    members: Sequence[Any], mapper: Mapper[Any], path: str, model_of: Callable[[Any], type | None]
) -> tuple[list[Problem], Identities]:
    """Return what is wrong with a union of shapes over `mapper`, and the polymorphic identities of each member's rows.

    A row is read by the member of its class, or of the nearest class above.
    """
    foreign = [each for each in members if not _is_of(model_of(each), mapper)]
    if foreign:
        return [_foreign(each, mapper, path) for each in foreign], {}
    model = mapper.class_.__name__
    if mapper.polymorphic_on is None:
        fix = f'__mapper_args__ = {{"polymorphic_on": "kind", "polymorphic_identity": "{model.lower()}"}}  # in {model}'
        return [Problem(path, f"{model} is no class hierarchy, so its rows are of one kind", fix)], {}
    mappers = [inspect(model_of(each)) for each in members]
    problems = [*_ambiguous(members, mappers, path), *_untagged(members, mappers, path)]
    found: Identities = {each: () for each in mappers}
    for known in mapper.self_and_descendants:
        if known.polymorphic_identity is None:
            continue  # abstract: it has no rows of its own
        nearest = next((each for each in known.iterate_to_root() if each in found), None)
        if nearest is None:
            fix = _line(known)
            if known is not mapper:
                fix += f"\nor {_line(mapper)}  # for every row that no other member reads"
            problems.append(Problem(path, f"no member reads the rows of {known.class_.__name__}", fix))
        else:
            found[nearest] += (known.polymorphic_identity,)
    return problems, found


def _is_of(model: type | None, mapper: Mapper[Any]) -> bool:
    return model is not None and inspect(model).isa(mapper)


def _foreign(member: Any, mapper: Mapper[Any], path: str) -> Problem:
    name = getattr(member, "__name__", str(member))
    what = f"{name} is no shape of {mapper.class_.__name__} or of a class below it"
    return Problem(path, what, _line(next(iter(mapper.self_and_descendants)), name))


def _ambiguous(members: Sequence[Any], mappers: Sequence[Mapper[Any]], path: str) -> list[Problem]:
    several = [each for each, times in Counter(mappers).items() if times > 1]
    return [
        Problem(
            path,
            f"{len(names)} members read the rows of {each.class_.__name__}: {', '.join(names)}",
            f"delete {names[-1]} from the union",
        )
        for each in several
        if (names := [m.__name__ for m, of in zip(members, mappers, strict=True) if of is each])
    ]


def _untagged(members: Sequence[Any], mappers: Sequence[Mapper[Any]], path: str) -> list[Problem]:
    """Refuse members that their JSON does not tell apart."""
    tags = [(each.__struct_config__.tag_field, each.__struct_config__.tag) for each in members]
    fields = {field for field, tag in tags if tag is not None}
    return [
        Problem(path, f"the JSON of {member.__name__} does not say its kind", _line(mapper, member.__name__))
        for member, mapper, (field, tag) in zip(members, mappers, tags, strict=True)
        if tag is None or tags.count((field, tag)) > 1 or len(fields) > 1
    ]


def _line(mapper: Mapper[Any], name: str | None = None) -> str:
    identity = getattr(mapper.polymorphic_identity, "value", mapper.polymorphic_identity)
    tag = identity if isinstance(identity, (str, int)) else mapper.class_.__name__.lower()
    key = key_of(mapper)
    head = f"class {name or shape_name(mapper)}(Shape[{mapper.class_.__name__}], tag={tag!r})"
    return f"{head}: {field_line(mapper, key, key)}" if name is None else f"{head}: ..."
