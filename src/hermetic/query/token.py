"""Page tokens: a place in an order, opaque and signed, good for one statement and one shape only.

A token is base64url of a signature and a JSON text. It is signed, not encrypted: the values of the order's columns in
the row it points at can be read by whoever holds it.
"""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from hermetic.errors import WrongStatement, WrongToken

_SIGNATURE_BYTES = 16
_LEAST_SECRET_BYTES = 16


@dataclass(frozen=True, slots=True)
class Form:
    """What a token is good for: digests of the statement with its values, and of the shape."""

    statement: str
    shape: str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an order: the keys of a row, and the rows meant, behind it or before it."""

    values: Sequence[Any]
    is_backward: bool = False
    includes: bool = False


class Signer:
    """Makes tokens and reads them back. Whoever has the same secret can read them; without one, this signer alone."""

    def __init__(self, secret: str | bytes | None) -> None:
        material = secret.encode() if isinstance(secret, str) else secret
        if material is not None and len(material) < _LEAST_SECRET_BYTES:
            raise ValueError(
                f"page_secret has {len(material)} bytes, which can be guessed; "
                f"use {_LEAST_SECRET_BYTES} or more: secrets.token_hex(32)"
            )
        self._is_shared = material is not None
        self._key = hashlib.sha256(b"hermetic page token\0" + (material or secrets.token_bytes(32))).digest()

    def token(self, position: Position, form: Form) -> str:
        """Return the token of a place."""
        flags = position.is_backward + 2 * position.includes
        values = [_packed(value) for value in position.values]
        content = msgspec.json.encode([form.statement, form.shape, flags, values])
        return base64.urlsafe_b64encode(self._signature(content) + content).rstrip(b"=").decode()

    def position(self, token: str, form: Form) -> Position:
        """Return the place of a token.

        Raises:
            WrongToken: it is no token of this signer, or one of another statement or shape.
        """
        statement, shape, flags, values = msgspec.json.decode(self._content(token))
        if statement != form.statement:
            raise WrongToken(
                "it was made for another statement: another filter, another value in it, or another order",
                "page on with the same statement and values, or begin again without a token",
            )
        if shape != form.shape:
            raise WrongToken(
                "it was made for another shape, or before the fields of this one changed", "begin again without a token"
            )
        return Position([_unpacked(value) for value in values], bool(flags & 1), bool(flags & 2))

    def _content(self, token: str) -> bytes:
        try:
            whole = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, TypeError) as error:  # binascii.Error is a ValueError; a str that is not ASCII is one too
            raise self._refused() from error
        signature, content = whole[:_SIGNATURE_BYTES], whole[_SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(content)):
            raise self._refused()
        return content

    def _refused(self) -> WrongToken:
        if self._is_shared:
            return WrongToken(
                "it was changed on its way, or signed with another page_secret", "begin again without a token"
            )
        return WrongToken(
            "it was changed on its way, or comes from another process: this Database has no page_secret, so its key "
            "is random",
            "begin again without a token; to share tokens between processes, "
            "give all of them one secret: Database(..., page_secret=...)",
        )

    def _signature(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")[:_SIGNATURE_BYTES]


def form_of(sql: str, values: Sequence[Any], shape: bytes) -> Form:
    """Return the form of a statement and a shape; equal in every process that has the same models."""
    given = msgspec.json.encode(values, enc_hook=repr, order="deterministic")
    return Form(_digest(sql.encode() + b"\0" + given), _digest(shape))


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()[:9]).decode()


# values: JSON where it is exact, a marked text elsewhere

_MARKED: dict[str, tuple[type[Any], Callable[[Any], str], Callable[[str], Any]]] = {
    "f": (float, float.hex, float.fromhex),
    "n": (Decimal, str, Decimal),
    "x": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "t": (datetime.datetime, datetime.datetime.isoformat, datetime.datetime.fromisoformat),
    "d": (datetime.date, datetime.date.isoformat, datetime.date.fromisoformat),
    "c": (datetime.time, datetime.time.isoformat, datetime.time.fromisoformat),
    "u": (UUID, str, UUID),
    "i": (
        datetime.timedelta,
        lambda value: f"{value.days},{value.seconds},{value.microseconds}",
        lambda text: datetime.timedelta(*map(int, text.split(","))),
    ),
}


def _packed(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, str)):
        return value
    for mark, (kind, pack, _) in _MARKED.items():
        if isinstance(value, kind):
            return [mark, pack(value)]
    raise WrongStatement(
        "page",
        f"it is ordered by a value of type {type(value).__name__}, which a page token cannot hold",
        "order by type_coerce(expression, ...) with a number, text, time or UUID type",
    )


def _unpacked(value: Any) -> Any:
    return _MARKED[value[0]][2](value[1]) if isinstance(value, list) else value


__all__ = ["Form", "Position", "Signer", "form_of"]
