"""Enums stored by value: renaming a member changes no row."""

from __future__ import annotations

import enum

from sqlalchemy import Enum

_ROOM = 64  # characters; a longer value later must not need a migration


def values_of(kind: type[enum.Enum]) -> list[str]:
    """Return the values of the members as stored, in order: `str(value)`."""
    return [str(member.value) for member in kind]


def enum_by_value(kind: type[enum.Enum]) -> Enum:
    """Return the column type of an enum: VARCHAR of at least 64, holding `str(member.value)`, without CHECK.

    Recognise it as `sqlalchemy.Enum` with `enum_class`; its `enums` are the stored strings.
    """
    longest = max((len(value) for value in values_of(kind)), default=0)
    return Enum(kind, values_callable=values_of, native_enum=False, length=max(_ROOM, longest))
