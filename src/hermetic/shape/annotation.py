"""What a type annotation says: the type, whether it admits None, and the marker beside it."""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ForwardRef, NewType, NotRequired, Required, Union, get_args, get_origin

import msgspec
from sqlalchemy.orm import Mapped

from hermetic.shape.fields import Marker

_UNIONS = (Union, types.UnionType)


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotation, taken apart.

    `type` is what remains without None, Unset, Annotated and NewType; `item` is set for `list[item]`; `may_lack` for a
    key of a TypedDict that is not required.
    """

    full: Any
    type: Any
    is_optional: bool = False
    admits_unset: bool = False
    marker: Marker | None = None
    item: Any = None
    may_lack: bool = False

    @property
    def text(self) -> str:
        """Return the annotation as a user would write it, without its marker."""
        name = type_name(self.type)
        return f"{name} | None" if self.is_optional else name


def type_name(kind: Any) -> str:
    """Return the name of a type as written in source: `str`, `list[Tag]`."""
    if isinstance(kind, type) and not get_args(kind):
        return kind.__name__
    if isinstance(kind, ForwardRef):
        return kind.__forward_arg__
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in _UNIONS:
        return " | ".join("None" if argument is types.NoneType else type_name(argument) for argument in arguments)
    if origin is not None and arguments:
        return f"{type_name(origin)}[{', '.join('...' if a is ... else type_name(a) for a in arguments)}]"
    return str(kind).removeprefix("typing.")


def members_of(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the one type that is none."""
    return get_args(kind) if get_origin(kind) in _UNIONS else (kind,)


def list_of(item: Any) -> Any:
    """Return `list[item]` for an item that is only known at run time."""
    return types.GenericAlias(list, (item,))


def parse(annotation: Any) -> Annotation:
    """Return the parts of `annotation`; nothing in it may still be a string."""
    is_optional = admits_unset = may_lack = False
    marker: Marker | None = None
    kind = annotation
    while True:
        if get_origin(kind) is Annotated:
            kind, *extras = get_args(kind)
            marker = next((extra for extra in extras if isinstance(extra, Marker)), marker)
        elif get_origin(kind) in (Required, NotRequired):
            may_lack = get_origin(kind) is NotRequired
            annotation = kind = get_args(kind)[0]
        elif isinstance(kind, NewType):
            kind = kind.__supertype__
        elif get_origin(kind) in _UNIONS:
            members = get_args(kind)
            is_optional = is_optional or types.NoneType in members
            admits_unset = admits_unset or msgspec.UnsetType in members
            left = [member for member in members if member not in (types.NoneType, msgspec.UnsetType)]
            if len(left) != 1:
                kind = Union[tuple(left)] if left else kind  # noqa: UP007  # of any number
                break
            kind = left[0]
        else:
            break
    item = get_args(kind)[0] if get_origin(kind) is list else None
    return Annotation(annotation, kind, is_optional, admits_unset, marker, item, may_lack)


def resolve(annotation: Any, names: Mapping[str, Any], module: str) -> Any:
    """Return `annotation` with every string and forward reference replaced by what it names.

    Raises:
        NameError: a name is not defined yet.
    """
    if isinstance(annotation, str):
        annotation = ForwardRef(annotation)
    if isinstance(annotation, ForwardRef):
        scope = vars(sys.modules[module]) if module in sys.modules else {}
        # annotations are the author's own source code, evaluated where it stands, as typing.get_type_hints does
        return resolve(eval(annotation.__forward_arg__, dict(scope), dict(names)), names, module)
    arguments = get_args(annotation)
    if not arguments:
        return annotation
    if get_origin(annotation) is Annotated:
        return Annotated[(resolve(arguments[0], names, module), *arguments[1:])]
    resolved = tuple(a if a is ... or isinstance(a, list) else resolve(a, names, module) for a in arguments)
    if resolved == arguments:
        return annotation
    origin = get_origin(annotation)
    if origin in _UNIONS:
        return Union[resolved]  # noqa: UP007  # `|` needs classes; these may be other forms
    generic: Any = origin
    return generic[resolved[0] if len(resolved) == 1 else resolved]


def mapped_type(model: type, name: str) -> Any:
    """Return what `Mapped[...]` says of an attribute of `model`, or None where it says nothing that can be resolved."""
    for owner in model.__mro__:
        raw = inspect.get_annotations(owner).get(name)
        if raw is None:
            continue
        try:
            resolved = resolve(raw, {owner.__name__: owner}, owner.__module__)
        except NameError:
            return None
        arguments = get_args(resolved)
        origin = get_origin(resolved)
        return arguments[0] if isinstance(origin, type) and issubclass(origin, Mapped) and arguments else None
    return None
