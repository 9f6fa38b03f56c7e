"""The schema by which pydantic, and so FastAPI, accepts, documents and serialises a shape; built without importing
either.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from hermetic.shape.annotation import list_of, members_of

_building: ContextVar[tuple[type, ...]] = ContextVar("_building", default=())


def core_schema(shape: type[msgspec.Struct], fields: dict[str, Any], handler: Any) -> dict[str, Any]:
    """Return the pydantic-core schema of a shape.

    Values are the shapes themselves (or JSON objects, decoded by msgspec), bodies are written by msgspec, and the
    documented structure is the shape's own: nested shapes become components of their own.

    Source: pydantic manual, "Custom types", `__get_pydantic_core_schema__`.
    """
    reference = f"{shape.__module__}.{shape.__qualname__}:{id(shape)}"
    building = _building.get()
    if shape in building:
        return {"type": "definition-ref", "schema_ref": reference}
    token = _building.set((*building, shape))
    try:
        defaults = {field.name: not field.required for field in msgspec.structs.fields(shape)}
        members = {
            name: _field(handler.generate_schema(with_discriminators(annotation)), is_required=not defaults[name])
            for name, annotation in fields.items()
        }
    finally:
        _building.reset(token)
    config = shape.__struct_config__
    if config.tag is not None and config.tag_field is not None:
        members = {config.tag_field: _field({"type": "literal", "expected": [config.tag]}), **members}
    documented = {"type": "typed-dict", "fields": members, "cls_name": shape.__name__, "cls": shape}
    return {"ref": reference, **_schema(shape, (shape,), documented)}


@dataclass(frozen=True, slots=True)
class Discriminated:
    """The mark of a union of shapes: its schema is `oneOf`, with the discriminator of their tags."""

    members: tuple[Any, ...]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """Return the schema of the union."""
        configs = {each: each.__struct_config__ for each in self.members}
        documented = {
            "type": "tagged-union",
            "choices": {config.tag: handler.generate_schema(each) for each, config in configs.items()},
            "discriminator": configs[self.members[0]].tag_field,
        }
        united: Any = Union[self.members]  # noqa: UP007  # of any number
        return _schema(united, self.members, documented)


def with_discriminators(annotation: Any) -> Any:
    """Return `annotation` with the mark beside every union of shapes that have tags."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(with_discriminators(arguments[0]), *arguments[1:])]
    if origin is list:
        return list_of(with_discriminators(arguments[0]))
    members = tuple(each for each in members_of(annotation) if isinstance(each, msgspec.StructMeta))
    if len(members) < 2 or any(each.__struct_config__.tag is None for each in members):
        return annotation
    united: Any = Union[members]  # noqa: UP007  # of any number
    choices: Any = (Annotated[united, Discriminated(members)], *(each for each in arguments if each not in members))
    return Union[choices]  # noqa: UP007


def _field(schema: Any, *, is_required: bool = True) -> dict[str, Any]:
    return {"type": "typed-dict-field", "schema": schema, "required": is_required}


def _schema(kind: Any, classes: tuple[type, ...], documented: dict[str, Any]) -> dict[str, Any]:
    """Return the schema that accepts what is of the classes or what msgspec makes of it, and documents the other."""

    def accept(value: Any) -> Any:
        if isinstance(value, classes):
            return value
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            raise ValueError(str(error)) from error  # pydantic knows no other: it tries the next member, or reports it

    return {
        "type": "json-or-python",
        "json_schema": documented,
        "python_schema": {"type": "function-plain", "function": {"type": "no-info", "function": accept}},
        "serialization": {"type": "function-plain", "function": msgspec.to_builtins},
    }
