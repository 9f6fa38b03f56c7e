"""The form of every error: code, what, why, fix; it pickles, and is caught where the one it replaces is."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import re
from typing import Any

import pytest
from errors_page import GOLDEN, PAGE, error_classes, errors_page
from sqlalchemy import exc

import hermetic
from hermetic import HermeticError, Problem
from hermetic.errors import Holder, ProblemsFound

PROBLEMS = (Problem("Card.name", "User.name is str, not int", "name: str"),)
HOLDERS = (
    Holder("thread worker_3", 43.17, "taken at app/report.py:8 in totals, now at app/mail.py:30 in send"),
    Holder("task confirm-7", 0.3, "now at app/orders.py:12 in confirm"),
)


def _sample(cls: type[HermeticError]) -> HermeticError:
    facts: dict[str, Any] = {}
    typed: dict[str, Any] = {
        "int": 3,
        "float": 2.5,
        "bool": False,
        "Sequence[Problem]": PROBLEMS,
        "Sequence[Holder]": HOLDERS,
        "tuple[str, ...]": ("<a>", "<b>"),
    }
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # every error is a dataclass
        facts[field.name] = typed.get(str(field.type), f"<{field.name}>")
    return cls(**facts)


ERRORS = error_classes()


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_the_text_is_the_golden_one(cls: type[HermeticError]) -> None:
    path = GOLDEN / f"{cls.code}.txt"
    text = f"{_sample(cls)}\n"
    if os.environ.get("BLESS"):
        path.write_text(text)
    assert text == path.read_text(), f"the text of {path.name} changed; BLESS=1 rewrites it"


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_an_error_says_what_why_and_fix(cls: type[HermeticError]) -> None:
    assert "\n" not in cls.what
    assert not cls.what.endswith(".")
    assert cls.what[0].islower() or cls.what[0] == "{" or cls.what.split()[0].isupper()
    assert cls.why
    assert cls.fix or issubclass(cls, ProblemsFound)


def test_the_page_of_errors_is_what_the_classes_say() -> None:
    text = errors_page()
    if os.environ.get("BLESS"):
        PAGE.write_text(text)
    assert PAGE.exists() and text == PAGE.read_text(), "the errors and docs/errors.md differ; BLESS=1 rewrites the page"


def test_codes_are_unique() -> None:
    codes = [cls.code for cls in ERRORS]
    assert sorted(set(codes), key=str) == sorted(codes, key=str)


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_an_error_pickles_and_copies(cls: type[HermeticError]) -> None:
    for error in (_sample(cls), _sample(cls).worded(is_async=True)):
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
            assert (type(twin), twin.facts(), str(twin)) == (cls, error.facts(), str(error))


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_a_text_shows_the_code_of_whoever_met_the_error(cls: type[HermeticError]) -> None:
    sync, asynchronous = str(_sample(cls)), str(_sample(cls).worded(is_async=True))
    assert "[a" not in sync + asynchronous
    bare = [re.sub("await |async |Async", "", text) for text in (sync, asynchronous)]
    assert bare[0] == bare[1]


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (hermetic.NotFound, exc.NoResultFound),
        (hermetic.TooManyFound, exc.MultipleResultsFound),
        (hermetic.NotLoaded, exc.InvalidRequestError),
        (hermetic.NotTheOwner, exc.InvalidRequestError),
        (hermetic.CannotConnect, exc.OperationalError),
        (hermetic.MissingTable, exc.ProgrammingError),
        (hermetic.PoolExhausted, exc.TimeoutError),
        (hermetic.UnknownDriver, exc.ArgumentError),
        (hermetic.MissingPackage, ImportError),
        (hermetic.ShapeError, TypeError),
    ],
)
def test_an_error_is_caught_where_the_one_it_replaces_is(ours: type[Exception], theirs: type[Exception]) -> None:
    assert issubclass(ours, theirs)
