"""The face, under three type checkers: the marked lines are errors, and no other line is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
FACES = ("sync_face.py", "async_face.py")
Errors = set[tuple[str, int]]


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def _mypy() -> Errors:
    config = str(ROOT / "pyproject.toml")
    output = _run(sys.executable, "-m", "mypy", "--config-file", config, "--no-error-summary", *FACES)
    return {(found[1], int(found[2])) for found in re.finditer(r"^(\w+\.py):(\d+): error", output, re.MULTILINE)}


def _pyright() -> Errors:
    report = json.loads(
        _run(sys.executable, "-m", "pyright", "-p", str(HERE), "--pythonpath", sys.executable, "--outputjson")
    )
    return {
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1)
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    }


def _ty() -> Errors:
    command = [sys.executable, "-m", "ty", "check", "--python", sys.prefix, "--output-format", "concise", *FACES]
    return {(found[1], int(found[2])) for found in re.finditer(r"(\w+\.py):(\d+):\d+: error", _run(*command))}


def _marked() -> Errors:
    return {
        (name, number)
        for name in FACES
        for number, line in enumerate((HERE / name).read_text().splitlines(), 1)
        if "  # E" in line
    }


@pytest.mark.timeout(300)
@pytest.mark.parametrize("check", [_mypy, _pyright, _ty], ids=lambda check: check.__name__.strip("_"))
def test_only_the_marked_lines_are_errors(check: Callable[[], Errors]) -> None:
    assert check() == _marked()
