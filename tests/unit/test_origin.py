"""Where in the application's code something happened."""

from __future__ import annotations

from pathlib import Path

import pytest

from hermetic.guard import caller


def test_a_place_is_told_from_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    assert caller().startswith("test_origin.py:")
    monkeypatch.chdir(tmp_path)
    assert caller().startswith(str(Path(__file__)))


def test_a_place_is_told_without_a_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert caller().startswith(str(Path(__file__)))
