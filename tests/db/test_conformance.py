"""The kit that users run against their own server: green on ours under hostile settings, and it finds what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hostile import HOSTILE
from sqlalchemy import Enum, String, TypeDecorator, inspect, text, type_coerce

from hermetic import AsyncDatabase, Codec, Database
from hermetic.testing.conformance import Case, Report, cases_for, check_types, check_types_async
from hermetic.testing.conformance.__main__ import main

REFUSED = {
    "postgresql": {"bytea[][]", "money", "interval in timestamp"},
    "mariadb": {"interval"},
    "sqlite": set[str](),
}
BEYOND = "beyond Python"


def check(report: Report) -> None:
    assert not report.faults, report
    for name, *verdicts in report.rows():
        expected = ["exact"] * 3
        if name in REFUSED[report.database.partition(" ")[0]]:
            expected = ["exact", "refused", "refused"]
        elif name.endswith(BEYOND) or name == "time 24:00":
            expected = ["mismatch"] * 3
        assert verdicts == expected, name


def test_every_type_conforms_under_hostile_settings(db: Database) -> None:
    check(check_types(db, settings=HOSTILE[db.engine.dialect.name]))


def test_every_type_conforms_under_hostile_settings_async(async_url: str) -> None:
    async def run() -> Report:
        async with AsyncDatabase(async_url) as db:
            return await check_types_async(db, settings=HOSTILE[db.engine.dialect.name])

    check(asyncio.run(run()))


def test_nothing_stays_behind_and_nothing_of_the_user_is_touched(db: Database) -> None:
    def state() -> tuple[Any, ...]:
        inspector = inspect(db.engine)
        enums = inspector.get_enums() if db.engine.dialect.name == "postgresql" else []
        return sorted(inspector.get_table_names()), enums

    if db.engine.dialect.name == "postgresql":
        with db.begin() as uow:
            uow.session.execute(text("CREATE TYPE mood AS ENUM ('sad', 'ok')"))
    before = state()
    cases = [Case("mood", Enum("sad", "ok", name="mood"), str, ["ok"]), Case("text", String(9), str, ["a"])]
    assert not check_types(db, cases).faults
    assert state() == before


@dataclass(frozen=True)
class Pair:
    left: int
    right: int


class PairType(TypeDecorator[Pair]):
    """Two numbers in one text; Python decodes them, so no database has a JSON form of it."""

    impl = String(20)
    cache_ok = True

    def process_bind_param(self, value: Pair | None, dialect: Any) -> str | None:
        return None if value is None else f"{value.left};{value.right}"

    def process_result_value(self, value: str | None, dialect: Any) -> Pair | None:
        return None if value is None else pair(value)


def pair(text: str) -> Pair:
    left, right = text.split(";")
    return Pair(int(left), int(right))


class CodedPair(PairType):
    cache_ok = True
    load: Callable[[str], Pair] = staticmethod(pair)

    def shape_codec(self) -> Codec[str, Pair]:
        return Codec(lambda column, dialect: type_coerce(column, String), str, self.load)


class SwappedPair(CodedPair):
    cache_ok = True
    load = staticmethod(lambda text: Pair(pair(text).right, pair(text).left))


class ForeignPair(CodedPair):
    """Its codec knows other databases."""

    cache_ok = True

    def shape_codec(self) -> Codec[str, Pair]:
        return Codec(lambda column, dialect: None, str, pair)


@pytest.mark.parametrize(
    ("kind", "verdicts"),
    [
        (CodedPair(), ["exact", "exact", "exact"]),
        (PairType(), ["exact", "refused", "refused"]),
        (ForeignPair(), ["exact", "refused", "refused"]),
        (SwappedPair(), ["exact", "wrong", "wrong"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_codec_of_ones_own_is_checked(db: Database, kind: PairType, verdicts: list[str]) -> None:
    report = check_types(db, [Case("pair", kind, Pair, [Pair(1, 2), Pair(-1, 2**40)])])
    assert report.rows() == [("pair", *verdicts)]
    assert [fault.path for fault in report.faults] == [
        path for path, verdict in zip(("root", "collection", "nested"), verdicts, strict=True) if verdict == "wrong"
    ]


def test_a_value_that_cannot_be_written_is_a_fault(db: Database) -> None:
    report = check_types(db, [Case("text", String(20), str, [object()])])
    assert [fault.verdict for fault in report.faults] == ["failed"] * 3
    assert "could not be written" in str(report)


def test_it_runs_from_a_shell(sqlite_url: str, new_database: Callable[..., str], capsys: Any) -> None:
    assert main([sqlite_url]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("sqlite 3.")
    assert all(case.name in shown for case in cases_for("sqlite"))
    assert main([]) == 2
    assert main([new_database(driver="asyncpg")]) == 0
    assert "asyncpg" in capsys.readouterr().out
