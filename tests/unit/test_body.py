"""The body of a response: equal to encoding the shapes, and safe for JavaScript where asked."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hermetic.engine.body import encoded

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.sampled_from([2**53 - 1, 2**53, -(2**53) + 1, -(2**53)])
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["12345678901234567890", ":1234567890123456789", '"', "\\"])
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes(timezones=st.just(datetime.UTC))
    | st.timedeltas()
    | st.binary()
    | st.uuids()
)


class Inner(msgspec.Struct):
    a: Any
    b: Any


class Outer(msgspec.Struct):
    a: Any
    inner: list[Inner]
    more: dict[str, Any]


inners = st.builds(Inner, LEAVES, LEAVES)
outers = st.builds(Outer, LEAVES, st.lists(inners, max_size=2), st.dictionaries(st.text(), LEAVES, max_size=2))


@given(st.lists(outers, max_size=3))
def test_the_body_is_what_encoding_the_shapes_gives(shapes: list[Any]) -> None:
    assert encoded(shapes, web_safe=False) == msgspec.json.encode(shapes)


@given(st.lists(outers, max_size=3))
def test_the_safe_body_differs_in_long_integers_only(shapes: list[Any]) -> None:
    exact, safe = json.loads(msgspec.json.encode(shapes)), json.loads(encoded(shapes, web_safe=True))
    assert safe == _by_hand(exact)


def _by_hand(value: Any) -> Any:
    if isinstance(value, list):
        return [_by_hand(each) for each in value]
    if isinstance(value, dict):
        return {key: _by_hand(each) for key, each in value.items()}
    if isinstance(value, int) and abs(value) > 2**53 - 1:
        return str(value)
    return value


def test_the_forms_of_values() -> None:
    whole = Outer(2**53, [Inner(Decimal("1.10"), datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC))], {"n": -(2**53)})
    assert encoded([whole], web_safe=True) == (
        b'[{"a":"9007199254740992","inner":[{"a":"1.10","b":"2024-02-29T00:00:00Z"}],"more":{"n":"-9007199254740992"}}]'
    )
    assert encoded([Outer(2**53 - 1, [], {})], web_safe=True) == b'[{"a":9007199254740991,"inner":[],"more":{}}]'
    assert encoded([Inner(UUID(int=1), None)], web_safe=True) == encoded([Inner(UUID(int=1), None)], web_safe=False)
