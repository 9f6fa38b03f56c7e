"""When two values are the same: stricter than `==`, which takes 0.0 for -0.0 and 1 for True."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlalchemy.dialects.postgresql import Range


def same(left: Any, right: Any) -> bool:
    """Return whether two values are of one class and equal to the last digit; an instant may name another zone.

    A driver's own subclass of UUID is a UUID. SQLite stores 1.0 in a column that is not REAL as 1.
    """
    if isinstance(left, uuid.UUID) or (type(left), type(right)) == (float, int):
        return bool(left == right)
    if type(left) is not type(right):
        return False
    if isinstance(left, datetime.datetime) and left.tzinfo is not None:
        return bool(left == right)
    if isinstance(left, datetime.time):
        return _all_same((left.isoformat(),), (right.isoformat(),))
    if isinstance(left, Range):
        return _all_same((left.lower, left.upper, left.bounds), (right.lower, right.upper, right.bounds)) and (
            left.empty == right.empty
        )
    if isinstance(left, (list, tuple)):
        return _all_same(left, right)
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, Decimal):
        return str(left) == str(right) or (left == right and _scale(left) == _scale(right))
    if isinstance(left, float):
        return repr(left) == repr(right)  # NaN equals nothing
    return bool(left == right)


def _scale(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _all_same(left: Any, right: Any) -> bool:
    return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
