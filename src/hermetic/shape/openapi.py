"""The schema by which pydantic, and so FastAPI, accepts, documents and serialises a shape; built without importing
either.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

import msgspec

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
            name: {
                "type": "typed-dict-field",
                "schema": handler.generate_schema(annotation),
                "required": not defaults[name],
            }
            for name, annotation in fields.items()
        }
    finally:
        _building.reset(token)

    def accept(value: Any) -> Any:
        return value if isinstance(value, shape) else msgspec.convert(value, shape)

    return {
        "type": "json-or-python",
        "ref": reference,
        "json_schema": {"type": "typed-dict", "fields": members, "cls_name": shape.__name__, "cls": shape},
        "python_schema": {"type": "function-plain", "function": {"type": "no-info", "function": accept}},
        "serialization": {"type": "function-plain", "function": msgspec.to_builtins},
    }
