"""What each database lacks, described once: a test asks for the feature, and never for the database."""

from __future__ import annotations

import pytest

from hermetic import Database

LACKS: dict[str, dict[str, str]] = {
    "postgresql": {
        "units of one snapshot": "each statement of a unit sees what others have committed on PostgreSQL",
    },
    "mariadb": {
        "arrays": "MariaDB has no arrays",
        "times of 24 hours": "MariaDB has no times with a zone",
        "infinity": "MariaDB stores no infinities",
        "nan": "MariaDB stores no NaN",
        "placed nulls": "MariaDB has no NULLS FIRST and NULLS LAST",
        "large nulls": "NULL is the smallest value in MariaDB's order",
        "partial index": "MariaDB indexes all rows of a table",
        "read committed": "a transaction of MariaDB sees one snapshot by default",
        "text keys": "MariaDB compares text in the collation of a column, which a list of keys does not know",
        "kept CTEs": "MariaDB 10.11 computes a CTE again for each name of it",
        "streamed collections": "MariaDB tells only behind the last row whether it has cut a collection",
        "deferred keys": "MariaDB checks a foreign key at once",
    },
    "sqlite": {
        "arrays": "SQLite has no arrays",
        "times of 24 hours": "the processor of SQLAlchemy reads the texts of SQLite",
        "nan": "SQLite stores NaN as NULL",
        "large nulls": "NULL is the smallest value in SQLite's order",
        "read committed": "a transaction of SQLite sees one snapshot",
        "wide sums": "SQLite adds up 64 bits",
        "row locks": "SQLite has one lock for the whole file, that of the writer",
        "deep nesting": "the parser of SQLite holds few levels",
    },
}


def has(database: str, feature: str) -> bool:
    """Return whether a database, named as its dialect, has a feature."""
    return feature not in LACKS[database]


def needs(db: Database, feature: str) -> None:
    """Skip the test where the database lacks a feature, with the reason."""
    needs_of(db.engine.dialect.name, feature)


def needs_of(database: str, feature: str) -> None:
    """Skip the test where the database, named as its dialect, lacks a feature, with the reason."""
    reason = LACKS[database].get(feature)
    if reason is not None:
        pytest.skip(reason)
