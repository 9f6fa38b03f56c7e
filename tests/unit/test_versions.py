"""Servers older than hermetic's statements are refused at their first connection, by number."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from hermetic import Database, ServerTooOld
from hermetic.engine import versions


@pytest.mark.parametrize(
    ("database", "version", "is_refused"),
    [
        ("postgresql", (13, 22), True),
        ("postgresql", (14,), False),
        ("postgresql", (18, 6), False),
        ("mariadb", (10, 6, 24), True),
        ("mariadb", (10, 11, 0), False),
        ("mariadb", (11, 8, 2), False),
        ("sqlite", (3, 39, 4), True),
        ("sqlite", (3, 40, 0), False),
        ("oracle", (11, 2), False),
        ("postgresql", None, False),
    ],
)
def test_a_version_below_the_minimum_is_refused(database: str, version: tuple[int, ...], is_refused: bool) -> None:
    assert (versions.refusal(database, version) is not None) is is_refused


def test_words_in_a_version_are_not_compared() -> None:
    error = versions.refusal("mariadb", (10, 6, 12, "MariaDB", 0, "deb12u1"))
    assert str(error).startswith("server-too-old: MariaDB 10.6.12.0 is too old\n")


def test_an_old_server_is_refused_at_the_first_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(versions.MINIMUM, "sqlite", (99, 1))
    with Database("sqlite://") as db:
        for _ in range(2):
            with pytest.raises(ServerTooOld, match=r"SQLite 3\.\d+\.\d+ is too old[\s\S]*SQLite 99\.1 and later"):
                db.all(select(1))
        with pytest.raises(ServerTooOld), db.begin() as uow:
            uow.all(select(1))
