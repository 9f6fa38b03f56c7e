"""The kit that users run against their own server: green on ours under hostile settings, and it finds what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hostile import HOSTILE
from sqlalchemy import Enum, String, TypeDecorator, inspect, text, type_coerce

from hermetic import AsyncDatabase, Codec, Database
from hermetic.testing.conformance import Case, Report, cases_for, check_types, check_types_async
from hermetic.testing.conformance.__main__ import main
from hermetic.testing.conformance.report import PATHS

PAGE = Path(__file__).parents[2] / "docs" / "types.md"
VERDICTS = {
    ("exact", "exact", "exact", "exact"): "exact",
    ("exact", "refused", "refused", "exact"): "per level",
    ("mismatch", "mismatch", "mismatch", "mismatch"): "`ValueMismatch`",
}


def documented(database: str) -> dict[str, str]:
    """Return the column of the table in docs/types.md, without the types that the database lacks."""
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in PAGE.read_text().splitlines() if "|" in row]
    column = [name.lower() for name in rows[0]].index(database)
    return {row[0]: row[column] for row in rows[2:] if row[column] != "no case"}


def check(report: Report) -> None:
    assert not report.faults, report
    found = {name: VERDICTS[verdicts] for name, *rest in report.rows() if (verdicts := tuple(rest))}
    assert found == documented(report.database.partition(" ")[0])


@pytest.mark.timeout(240)  # some 800 statements and 300 plans
def test_every_type_conforms_under_hostile_settings(db: Database) -> None:
    check(check_types(db, settings=HOSTILE[db.engine.dialect.name]))


@pytest.mark.timeout(240)
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
        (CodedPair(), ["exact", "exact", "exact", "exact"]),
        (PairType(), ["exact", "refused", "refused", "exact"]),
        (ForeignPair(), ["exact", "refused", "refused", "exact"]),
        (SwappedPair(), ["exact", "wrong", "wrong", "exact"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_codec_of_ones_own_is_checked(db: Database, kind: PairType, verdicts: list[str]) -> None:
    report = check_types(db, [Case("pair", kind, Pair, [Pair(1, 2), Pair(-1, 2**40)])])
    assert report.rows() == [("pair", *verdicts)]
    assert {fault.path for fault in report.faults} == {
        path for path, verdict in zip(PATHS, verdicts, strict=True) if verdict == "wrong"
    }


def test_a_value_that_cannot_be_written_is_a_fault(db: Database) -> None:
    report = check_types(db, [Case("text", String(20), str, [object()])])
    assert [fault.verdict for fault in report.faults] == ["failed"] * len(PATHS)
    assert "could not be written" in str(report)


def test_it_runs_from_a_shell(sqlite_url: str, capsys: Any) -> None:
    for url, driver in ((sqlite_url, "pysqlite"), (sqlite_url.replace("sqlite", "sqlite+aiosqlite", 1), "aiosqlite")):
        assert main([url]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("sqlite 3.") and driver in shown
        assert all(case.name in shown for case in cases_for("sqlite"))
    assert main([]) == 2
