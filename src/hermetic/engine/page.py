"""`Page`: one part of a long list, and the tokens of the parts around it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, TypeVar, get_args

import msgspec

ItemT = TypeVar("ItemT")


class Page(msgspec.Struct, Generic[ItemT], frozen=True, kw_only=True, gc=False):
    """The items of a page in order, and where to go on: `after=page.next` or `after=page.previous`.

    Attributes:
        items: 0 to `limit`.
        next: the token of the page behind this one; None where nothing follows.
        previous: the token of the page before this one; None where this is the first. What was there may have been
            deleted since, so the page before may be empty; the page behind may be so too.
        total: rows of all pages, where it was asked for.
    """

    items: list[ItemT]
    next: str | None = None
    previous: str | None = None
    total: int | None = None

    @property
    def has_next(self) -> bool:
        """Return whether rows follow."""
        return self.next is not None

    @property
    def has_previous(self) -> bool:
        """Return whether rows come before."""
        return self.previous is not None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[ItemT]:
        return iter(self.items)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        """Return the schema by which pydantic and FastAPI accept and document a page of shapes."""
        item: Any = get_args(source)[0] if get_args(source) else Any
        name = f"Page[{getattr(item, '__name__', 'Any')}]"
        fields = {"items": list[item], "next": str | None, "previous": str | None, "total": int | None}
        members = {
            field: {
                "type": "typed-dict-field",
                "schema": handler.generate_schema(annotation),
                "required": field == "items",
            }
            for field, annotation in fields.items()
        }

        def accept(value: Any) -> Any:
            return value if isinstance(value, cls) else msgspec.convert(value, source)

        return {
            "type": "json-or-python",
            "ref": f"{cls.__module__}.{name}:{id(item)}",
            "json_schema": {"type": "typed-dict", "fields": members, "cls_name": name, "cls": cls},
            "python_schema": {"type": "function-plain", "function": {"type": "no-info", "function": accept}},
            "serialization": {"type": "function-plain", "function": msgspec.to_builtins},
        }
