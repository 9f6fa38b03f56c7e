"""The classes that a read can fill: shapes, dataclasses, pydantic models and TypedDicts; built without importing
pydantic.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, is_typeddict

import msgspec

from hermetic.errors import ValueMismatch
from hermetic.shape.annotation import resolve


@dataclass(frozen=True, slots=True)
class Target:
    """A class that a read can fill, what must be given to it, and how.

    Attributes:
        names: its fields, in the order of their definition.
        optional: returns those of them that may be left out, once the annotations are resolved; a quoted `NotRequired`
            is seen in its annotation alone.
        make: takes the fields by keyword, or a dict of them with `takes_dict`; None where the dict is the value.
    """

    kind: Any
    names: tuple[str, ...]
    optional: Callable[[], frozenset[str]]
    make: Callable[..., Any] | None
    takes_dict: bool = False

    @property
    def is_pydantic(self) -> bool:
        """Return whether the class is a pydantic model, which msgspec cannot write."""
        return self.make is not None and self.takes_dict

    def annotations(self, names_of: Callable[[type], Mapping[str, Any]]) -> dict[str, Any]:
        """Return the resolved annotation of each field, inherited fields first; `names_of` a class are the local names
        that its annotations may use.

        Raises:
            NameError: an annotation names a class that is not defined yet.
        """
        found: dict[str, Any] = {}
        for owner in reversed(self.kind.__mro__):
            known = {**names_of(owner), owner.__name__: owner}
            own = {name: raw for name, raw in inspect.get_annotations(owner).items() if name in self.names}
            found |= {name: resolve(raw, known, owner.__module__) for name, raw in own.items()}
            if isinstance(owner, msgspec.StructMeta) and own:
                # msgspec looks names up in the module only; a shape inside a function needs what was found here
                owner.__annotations__ |= {name: found[name] for name in own}
        return found

    def missing(self) -> list[str]:
        """Return what the class must be given beside its fields: no read can fill it."""
        if self.make is None or self.takes_dict:
            return []
        parameters = inspect.signature(self.kind).parameters.values()
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        required = [each for each in parameters if each.default is each.empty and each.kind not in variadic]
        return [each.name for each in required if each.name not in self.names]

    def _places(self) -> list[str]:
        parameters = inspect.signature(self.kind).parameters.values()
        return [each.name for each in takewhile(lambda each: each.kind is each.POSITIONAL_OR_KEYWORD, parameters)]

    def source(self, make: str, values: list[tuple[str, str]]) -> str:
        """Return the Python expression that fills the class, where `make` is the name of what makes it."""
        if self.make is not None and not self.takes_dict:
            shared = takewhile(lambda pair: pair[0] == pair[1][0], zip(self._places(), values, strict=False))
            leading = len(list(shared))  # those that may be given by their place: half the time of a keyword
            given = [value for _, value in values[:leading]] + [f"{name}={value}" for name, value in values[leading:]]
            return f"{make}({', '.join(given)})"
        display = f"{{{', '.join(f'{name!r}: {value}' for name, value in values)}}}"
        return display if self.make is None else f"{make}({display})"


def target_of(kind: Any) -> Target | None:
    """Return how a class is filled, or None for what is no such class."""
    if not isinstance(kind, type):
        return None
    if issubclass(kind, msgspec.Struct):
        return Target(kind, kind.__struct_fields__, lambda: _optional_of_struct(kind), kind)
    if is_typeddict(kind):
        optional_keys: frozenset[str] = vars(kind)["__optional_keys__"]
        return Target(kind, tuple(kind.__annotations__), lambda: optional_keys, None)
    if dataclasses.is_dataclass(kind):
        given = [each for each in dataclasses.fields(kind) if each.init]
        return Target(kind, tuple(each.name for each in given), lambda: _optional_of_dataclass(given), kind)
    if hasattr(kind, "__pydantic_validator__"):
        members: dict[str, Any] = kind.model_fields  # type: ignore[attr-defined]  # of a pydantic model
        optional = frozenset(name for name, each in members.items() if not each.is_required())
        return Target(kind, tuple(members), lambda: optional, _validating(kind), takes_dict=True)
    return None


def _optional_of_struct(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(each.name for each in msgspec.structs.fields(kind) if not each.required)


def _optional_of_dataclass(given: list[dataclasses.Field[Any]]) -> frozenset[str]:
    missing = dataclasses.MISSING
    return frozenset(e.name for e in given if e.default is not missing or e.default_factory is not missing)


def _validating(kind: Any) -> Callable[[dict[str, Any]], Any]:
    """Return what makes a pydantic model of its fields by name, whatever their aliases.

    It validates: its constraints and validators hold for what is read, and it is twice as fast as `model_construct()`
    (32 and 65 microseconds for 11 small models of pydantic 2.14), which is written in Python.
    """
    validate = kind.model_validate

    def make(values: dict[str, Any]) -> Any:
        try:
            return validate(values, by_alias=False, by_name=True)
        except ValueError as error:
            problems: Any = getattr(error, "errors", None)
            if problems is None:
                raise
            # not chained: the text of pydantic's own error holds the values
            raise ValueMismatch(kind.__name__, _reason(kind.__name__, problems)) from None

    return make


def _reason(name: str, problems: Callable[..., list[Any]]) -> str:
    found = problems(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join([name, *map(str, each['loc'])])}: {each['msg']}" for each in found)
