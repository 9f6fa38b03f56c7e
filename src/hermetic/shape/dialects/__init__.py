"""Encodings and probes of each database; the only place that knows their SQL apart."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Dialect

from hermetic.errors import UnsupportedDatabase
from hermetic.shape.codec import Blocks
from hermetic.shape.dialects.mariadb import MariaDB
from hermetic.shape.dialects.postgresql import PostgreSQL
from hermetic.shape.dialects.sqlite import SQLite

_BLOCKS: dict[str, Callable[[Dialect], Blocks]] = {"mariadb": MariaDB, "postgresql": PostgreSQL, "sqlite": SQLite}


def blocks_for(dialect: Dialect) -> Blocks:
    """Return the building blocks of the database behind `dialect`.

    Raises:
        UnsupportedDatabase: hermetic cannot compile shapes for it.
    """
    blocks = _BLOCKS.get(dialect.name)
    if blocks is None:
        raise UnsupportedDatabase(dialect.name, ", ".join(sorted(_BLOCKS)))
    return blocks(dialect)


__all__ = ["blocks_for"]
