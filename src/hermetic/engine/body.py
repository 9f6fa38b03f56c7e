"""One response body: the JSON of shapes, exact for Python, or safe for what runs in a browser."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_SAFE = (
    2**53 - 1
)  # the largest integer that a JSON number holds in every language: IEEE 754 doubles, RFC 8259 section 6
_LONG_NUMBER = re.compile(rb"[:,\[]-?\d{16}")  # may also find one inside a string, which costs time alone


def encoded(shapes: list[Any], *, web_safe: bool) -> bytes:
    """Return the JSON array of shapes, as `msgspec.json.encode` writes it.

    Args:
        shapes: of one read.
        web_safe: write integers beyond 2**53 - 1 as strings, which JavaScript would round. Decimals are strings and
            instants end in `Z` in either form.
    """
    body = msgspec.json.encode(shapes, enc_hook=_dumped)
    if not web_safe or not _LONG_NUMBER.search(body):
        return body
    return msgspec.json.encode(_safe(msgspec.to_builtins(shapes, enc_hook=_dumped)))


def _dumped(value: Any) -> Any:
    """Return a pydantic model as its own JSON has it: msgspec cannot write one."""
    dump = getattr(value, "model_dump", None)
    if dump is None:
        raise NotImplementedError(f"a {type(value).__name__} cannot be written as JSON")
    return dump(mode="json", by_alias=True)


def _safe(value: Any) -> Any:
    if isinstance(value, list):
        return [_safe(each) for each in value]
    if isinstance(value, dict):
        return {key: _safe(each) for key, each in value.items()}
    return str(value) if isinstance(value, int) and not -_SAFE <= value <= _SAFE else value
