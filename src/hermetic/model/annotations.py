"""What an annotation of a model says: its text, and whether it admits None."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from typing import Annotated, Any, ForwardRef, Union, get_args, get_origin

from sqlalchemy.orm import Mapped

if sys.version_info >= (3, 14):
    import annotationlib

_CONTAINER = re.compile(r"^(?:[\w.]+\.)?(\w*Mapped)\[(.*)\]$", re.DOTALL)
_SHORT = frozenset({"builtins", "decimal", "enum", "typing"})


class Annotation:
    """One annotation of a model class, as written and as resolved."""

    def __init__(self, owner: type[Any], key: str, raw: Any) -> None:
        self.owner = owner
        self.key = key
        self.raw = raw

    @property
    def text(self) -> str:
        """Return the annotation without its `Mapped[...]`, as the user would write it."""
        written = spell(self.raw)
        match = _CONTAINER.match(written)
        text = match.group(2) if match else written
        if "'" in text and '"' not in text:  # a stringized annotation has lost the quotes of the source
            text = text.replace("'", '"')
        return text[1:-1] if text.startswith('"') and text.endswith('"') and text.count('"') == 2 else text

    @property
    def text_without_none(self) -> str:
        """Return the text without its None."""
        bare = self.text.strip('"')
        if bare.partition("[")[0].rpartition(".")[2] == "Optional":
            return bare[bare.index("[") + 1 : -1]
        return " | ".join(part.strip() for part in bare.split("|") if part.strip() != "None")

    @property
    def is_mapped(self) -> bool:
        """Return whether it is written as `Mapped[...]`."""
        return bool(_CONTAINER.match(spell(self.raw)))

    def admits_none(self) -> bool | None:
        """Return whether None is among its values; None when a name in it cannot be resolved yet."""
        resolved = self.resolve()
        return None if resolved is None else _admits_none(resolved)

    def resolve(self) -> Any:
        """Return the annotation with its names looked up, or None when a name is not defined yet."""
        module = sys.modules.get(self.owner.__module__)
        holder = types.SimpleNamespace(__annotations__={self.key: self.raw})
        for names in ({self.owner.__name__: self.owner}, dict(vars(self.owner))):
            try:
                return typing.get_type_hints(holder, vars(module) if module else {}, names, include_extras=True)[
                    self.key
                ]
            except (NameError, AttributeError, SyntaxError, TypeError):
                continue
        return None


def annotation_of(cls: type[Any], key: str) -> Annotation | None:
    """Return the annotation of an attribute, the one of the nearest class that writes it."""
    for owner in cls.__mro__:
        raw = _own_annotations(owner).get(key)
        if raw is not None:
            return Annotation(owner, key, raw)
    return None


def _own_annotations(owner: type[Any]) -> dict[str, Any]:
    if sys.version_info >= (3, 14):
        return annotationlib.get_annotations(owner, format=annotationlib.Format.FORWARDREF)
    return inspect.get_annotations(owner)


def _admits_none(annotation: Any) -> bool:
    if annotation is None or annotation is type(None) or annotation is Any:
        return annotation is not Any
    value = getattr(annotation, "__value__", None)  # a `type X = ...` alias
    if value is not None:
        return _admits_none(value)
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return any(_admits_none(each) for each in get_args(annotation))
    if origin is Annotated or (isinstance(origin, type) and issubclass(origin, Mapped)):
        return _admits_none(get_args(annotation)[0])
    return False


def spell(annotation: Any) -> str:
    """Return an annotation as source text, short names for what is usually imported by name."""
    if isinstance(annotation, str):
        return annotation
    if isinstance(annotation, ForwardRef):
        return f'"{annotation.__forward_arg__}"'
    if annotation is None or annotation is type(None):
        return "None"
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType):
        return " | ".join(spell(each) for each in get_args(annotation))
    if origin is Annotated:
        return spell(get_args(annotation)[0])
    if origin is not None:
        inside = ", ".join(f'"{each}"' if isinstance(each, str) else spell(each) for each in get_args(annotation))
        return f"{spell(origin)}[{inside}]"
    name: str = getattr(annotation, "__name__", repr(annotation))
    module: str = getattr(annotation, "__module__", "builtins")
    return f"{module}.{name}" if module in sys.stdlib_module_names and module not in _SHORT else name
