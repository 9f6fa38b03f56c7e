"""The async classes have the verbs, parameters and defaults of their sync twins."""

from __future__ import annotations

import inspect
from typing import Any, get_overloads

import pytest

from hermetic import AsyncDatabase, AsyncRepository, AsyncUnitOfWork, Database, Repository, UnitOfWork

TWINS = [(Database, AsyncDatabase), (UnitOfWork, AsyncUnitOfWork), (Repository, AsyncRepository)]


def _verbs(cls: type) -> dict[str, Any]:
    return {name: member for name, member in inspect.getmembers(cls) if not name.startswith("_")}


def _parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize(("sync", "twin"), TWINS, ids=lambda cls: cls.__name__)
def test_twins_have_the_same_verbs(sync: type, twin: type) -> None:
    assert set(_verbs(twin)) == set(_verbs(sync))


@pytest.mark.parametrize(("sync", "twin"), TWINS, ids=lambda cls: cls.__name__)
def test_twins_take_the_same_parameters(sync: type, twin: type) -> None:
    async_verbs = _verbs(twin)
    for name, verb in _verbs(sync).items():
        if isinstance(verb, property):
            continue
        assert _parameters(async_verbs[name]) == _parameters(verb), name


@pytest.mark.parametrize(("sync", "twin"), TWINS, ids=lambda cls: cls.__name__)
def test_twins_have_the_same_overloads(sync: type, twin: type) -> None:
    async_verbs = _verbs(twin)
    for name, verb in _verbs(sync).items():
        if isinstance(verb, property):
            continue
        ours = [str(inspect.signature(each)) for each in get_overloads(verb)]
        theirs = [_as_sync(str(inspect.signature(each))) for each in get_overloads(async_verbs[name])]
        assert theirs == ours, name


def _as_sync(signature: str) -> str:
    """Return a signature with what `async for` and `async with` take as what `for` and `with` take."""
    return signature.replace("AsyncGenerator[", "Generator[").replace("AsyncAttempt[", "Attempt[")
