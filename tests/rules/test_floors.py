"""Imports go down only, and into another package only through its door."""

from __future__ import annotations

import ast
from pathlib import Path

import hermetic

ROOT = Path(hermetic.__file__).parent
FLOORS = {
    "errors": 0,
    "_lift": 0,
    "model": 1,
    "query": 1,
    "shape": 2,
    "engine": 3,
    "guard": 3,
    "observe": 3,
    "work": 4,
    "aggregate": 3,
    "testing": 5,
    "web": 5,
}


def _imports(file: Path) -> list[str]:
    tree = ast.parse(file.read_text())
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return [name for name in names if name == "hermetic" or name.startswith("hermetic.")]


def _files() -> list[tuple[str, Path]]:
    found = [(file.relative_to(ROOT).parts[0].removesuffix(".py"), file) for file in ROOT.rglob("*.py")]
    return [(package, file) for package, file in found if package != "__init__"]


def test_every_package_has_a_floor() -> None:
    assert {package for package, _ in _files()} <= set(FLOORS)


def test_imports_go_down_only() -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for package, file in _files()
        for name in _imports(file)
        if (target := ([*name.split("."), ""])[1]) != package
        and FLOORS.get(target, 99) >= FLOORS[package] > 0
        and not (FLOORS.get(target) == FLOORS[package] == 3)
    ]
    assert wrong == []


def test_packages_are_entered_through_their_door() -> None:
    wrong = [
        f"{file.relative_to(ROOT)} imports {name}"
        for package, file in _files()
        for name in _imports(file)
        if name.count(".") > 1 and name.split(".")[1] != package
    ]
    assert wrong == []


def test_no_import_is_hidden_in_a_function() -> None:
    hidden: list[str] = []
    for _, file in _files():
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                hidden += [
                    f"{file.relative_to(ROOT)}:{each.lineno}"
                    for each in ast.walk(node)
                    if isinstance(each, (ast.Import, ast.ImportFrom))
                ]
    assert hidden == []
