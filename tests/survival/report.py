"""What a run found, kept beside the suite, and the table of `docs/survival.md`, which is made of nothing else.

`results/NAME.json` is the last measurement of a figure: each stands alone, so a run of one replaces one.
"""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from survival.figure import Figure, Row
from survival.place import Place

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[2] / "docs" / "survival.md"

_MARKED = re.compile(r"(<!-- figures: [^\n]* -->\n).*(<!-- end of figures -->)", re.DOTALL)
_PACKAGES = ("SQLAlchemy", "psycopg", "asyncpg", "PyMySQL", "asyncmy", "advanced-alchemy")


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement of a figure.

    Attributes:
        command: what was run, without the names of figures.
        date: the day, in UTC.
        cores: of the machine.
        versions: of whatever took part.
        rows: what each way made of it.
    """

    command: str
    date: str
    cores: int
    versions: dict[str, str]
    rows: list[Row]


def result(place: Place, rows: Iterable[Row], *, is_long: bool) -> Result:
    """Return the measurement that was made here and now."""
    versions = {"Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:  # a rival that is left out
            continue
    versions["PostgreSQL"] = str(place.cluster.sql("SHOW server_version")[0][0]).partition(" ")[0]
    if (mariadb := place.mariadb()) is not None:
        versions["MariaDB"] = str(mariadb.sql("SELECT VERSION()")[0][0]).partition("-")[0]
    command = "python3 dev.py survive" if is_long else "python3 dev.py survive --short"
    return Result(command, str(datetime.now(UTC).date()), os.cpu_count() or 1, versions, list(rows))


def keep(name: str, found: Result) -> None:
    """Write a measurement in the place of the last one of its figure."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(asdict(found), indent=1) + "\n", "utf-8")


def kept() -> dict[str, Result]:
    """Return the last measurement of each figure, by its name."""
    found = {}
    for path in sorted(RESULTS.glob("*.json")):
        fields = json.loads(path.read_text("utf-8"))
        found[path.stem] = Result(**{**fields, "rows": [Row(**row) for row in fields["rows"]]})
    return found


def page(text: str, figures: Sequence[Figure], results: dict[str, Result]) -> str:
    """Return the text of the page with the table of these results between its marks."""
    measured = [(figure, results[figure.name]) for figure in figures if figure.name in results]
    lines = ["| promise | fault | hermetic | SQLAlchemy and advanced-alchemy in the same test |", "| --- " * 4 + "|"]
    for figure, found in measured:
        ours = _cell(row for row in found.rows if not row.is_control)
        theirs = _cell(row for row in found.rows if row.is_control)
        lines.append(f"| **{figure.name}**: {figure.promise} | {figure.fault} | {ours} | {theirs} |")
    runs: dict[str, list[str]] = {}
    for figure, found in measured:
        versions = ", ".join(f"{name} {number}" for name, number in found.versions.items())
        runs.setdefault(f"on {found.date}, {found.cores} cores: {versions}.\n{found.command}", []).append(figure.name)
    for run, names in runs.items():
        place, command = run.split("\n")
        lines += ["", f"`{command} {' '.join(names)}` {place}"]
    table = "\n".join(lines)
    return _MARKED.sub(lambda marks: f"{marks[1]}\n{table}\n\n{marks[2]}", text)


def _cell(rows: Iterable[Row]) -> str:
    said = []
    for row in rows:
        way = row.way if row.is_control else row.way.removeprefix("hermetic, ")
        said.append(f"{way}: {row.found}" + (" **(broken)**" if not row.is_kept and not row.is_control else ""))
    return "<br>".join(said)
