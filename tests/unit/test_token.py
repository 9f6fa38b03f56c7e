"""Page tokens: what goes in comes out, for the same statement and shape and nobody else."""

from __future__ import annotations

import base64
import datetime
import re
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermetic import WrongStatement, WrongToken
from hermetic.query import Form, Position, Signer, form_of

FORM = Form("statement", "shape")
SECRET = "0123456789abcdef"

values = st.lists(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False)
    | st.decimals(allow_nan=False)
    | st.binary()
    | st.datetimes(timezones=st.none() | st.just(datetime.UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids(),
    max_size=4,
)


@given(values, st.booleans(), st.booleans())
def test_a_place_comes_back_as_it_went_in(given_values: list[object], backward: bool, includes: bool) -> None:
    signer = Signer(None)
    place = Position(given_values, backward, includes)
    found = signer.position(signer.token(place, FORM), FORM)
    assert found == place
    assert [type(value) for value in found.values] == [type(value) for value in given_values]


def test_a_token_fits_into_a_url() -> None:
    token = Signer(None).token(Position(["é?&/", Decimal("1.10"), UUID(int=7)]), FORM)
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)


@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    signer = Signer(SECRET)
    whole = bytearray(base64.urlsafe_b64decode(_padded(signer.token(Position([1, "a"]), FORM))))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WrongToken, match="changed on its way, or signed with another page_secret"):
        signer.position(base64.urlsafe_b64encode(whole).decode(), FORM)


def _padded(token: str) -> str:
    return token + "=" * (-len(token) % 4)


@pytest.mark.parametrize("token", ["", "x", "not a token", "é", "\x00", "====", "A" * 10_000, "2", "-1"])
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(WrongToken):
        Signer(SECRET).position(token, FORM)


def test_a_token_of_another_secret_is_refused_and_of_the_same_is_read() -> None:
    token = Signer(SECRET).token(Position([1]), FORM)
    assert Signer(SECRET.encode()).position(token, FORM) == Position([1])
    with pytest.raises(WrongToken, match="another page_secret"):
        Signer("another secret of 16 bytes").position(token, FORM)


def test_without_a_secret_the_error_says_how_to_share_tokens() -> None:
    token = Signer(None).token(Position([1]), FORM)
    with pytest.raises(WrongToken, match=r"Database\(\.\.\., page_secret=\.\.\.\)"):
        Signer(None).position(token, FORM)


@pytest.mark.parametrize(
    ("form", "reason"), [(Form("other", "shape"), "another statement"), (Form("statement", "other"), "another shape")]
)
def test_a_token_of_another_statement_or_shape_is_refused(form: Form, reason: str) -> None:
    signer = Signer(SECRET)
    with pytest.raises(WrongToken, match=reason):
        signer.position(signer.token(Position([1]), FORM), form)


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"secrets\.token_hex\(32\)"):
        Signer("short")


def test_an_order_whose_value_has_no_exact_text_is_refused() -> None:
    with pytest.raises(WrongStatement, match="a value of type dict"):
        Signer(None).token(Position([{}]), FORM)


def test_the_form_depends_on_text_values_and_shape() -> None:
    forms = {form_of("a", [1], b"s"), form_of("b", [1], b"s"), form_of("a", [2], b"s"), form_of("a", [1], b"t")}
    assert len(forms) == 4
    assert form_of("a", [1, None, 2**70, b"x", {"k": 1.5}], b"s") == form_of(
        "a", [1, None, 2**70, b"x", {"k": 1.5}], b"s"
    )
