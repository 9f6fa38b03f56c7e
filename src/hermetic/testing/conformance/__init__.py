"""Does this server give every value back exactly? Boundary values of each column type, read by every path of a shape.

From a shell: `python -m hermetic.testing.conformance postgresql+psycopg://user@host/name`.
In a test suite, for column types of your own too:

    report = check_types(db, [Case("point", Point(), Point2D, [Point2D(0.1, -0.0)])])
    assert not report.faults, report
"""

from hermetic.testing.conformance.cases import Case, cases_for
from hermetic.testing.conformance.check import check_types, check_types_async
from hermetic.testing.conformance.report import Finding, Report

__all__ = ["Case", "Finding", "Report", "cases_for", "check_types", "check_types_async"]
