"""What a check of types found, as facts and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

PATHS = ("root", "correlated", "set_based", "per_level")
"""At the root of a statement, and inside collections, one and two levels deep, by each strategy."""

GOOD = ("exact", "refused", "mismatch")


@dataclass(frozen=True, slots=True)
class Finding:
    """How the values of one type came back on one path.

    `verdict` is `exact` (as plain SQLAlchemy reads them), `refused` (the strategy needs a JSON form that is exact, and
    there is none; without one asked for, `per_level` is chosen), `mismatch` (`ValueMismatch`, for a value that Python
    cannot hold), `wrong` (another value) or `failed` (another error).
    """

    case: str
    path: str
    verdict: str
    detail: str = ""

    @property
    def is_fault(self) -> bool:
        """Return whether a value was changed, lost, or could not be read."""
        return self.verdict not in GOOD

    def __str__(self) -> str:
        return f"{self.case}, {self.path}: {self.verdict} {self.detail.partition(chr(10))[0]}".rstrip()


@dataclass(frozen=True, slots=True)
class Report:
    """The findings of one database and driver; `str(report)` is a table."""

    database: str
    driver: str
    findings: Sequence[Finding]

    @property
    def faults(self) -> list[Finding]:
        """Return the findings that no application should meet; empty for a database that conforms."""
        return [finding for finding in self.findings if finding.is_fault]

    def rows(self) -> list[tuple[str, ...]]:
        """Return one row for each type: its name, then the verdict of each path."""
        found: dict[str, dict[str, str]] = {}
        for finding in self.findings:
            verdicts = found.setdefault(finding.case, {})
            if verdicts.get(finding.path, "exact") in GOOD:  # of several findings the fault is shown
                verdicts[finding.path] = finding.verdict
        return [(case, *(verdicts.get(path, "") for path in PATHS)) for case, verdicts in found.items()]

    def __str__(self) -> str:
        table = [("type", *PATHS), *self.rows()]
        widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        ]
        faults = [str(fault) for fault in self.faults]
        return "\n".join([f"{self.database}, {self.driver}", *lines, *faults])
