"""The public face: one sorted list, each name documented and shown under the package it is imported from."""

from __future__ import annotations

import inspect
import types

import hermetic


def test_all_is_sorted_and_complete() -> None:
    public = {
        name
        for name, value in vars(hermetic).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(hermetic.__all__) == hermetic.__all__
    assert set(hermetic.__all__) == public


def test_every_public_name_has_a_docstring() -> None:
    bare = [name for name in hermetic.__all__ if not inspect.getdoc(getattr(hermetic, name))]
    assert bare == []


def test_public_methods_of_the_sync_classes_have_docstrings() -> None:
    classes = (hermetic.Database, hermetic.UnitOfWork, hermetic.Repository, hermetic.Pool, hermetic.Plan)
    bare = [
        f"{cls.__name__}.{name}"
        for cls in classes
        for name, member in inspect.getmembers(cls, callable)
        if not name.startswith("_") and not inspect.getdoc(member)
    ]
    assert bare == []
