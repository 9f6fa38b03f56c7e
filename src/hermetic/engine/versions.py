"""Refuse a server that the statements of hermetic were not written for, at its first connection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Engine, event

from hermetic.errors import HermeticError, ServerTooOld, UnsupportedDatabase

MINIMUM: dict[str, tuple[int, ...]] = {"mariadb": (10, 11), "postgresql": (14,), "sqlite": (3, 40)}
_NAMES = {"mariadb": "MariaDB", "postgresql": "PostgreSQL", "sqlite": "SQLite"}


def refusal(database: str, version: tuple[Any, ...] | None) -> HermeticError | None:
    """Return the error for a server of `version`, or None where it is new enough or hermetic knows nothing of it."""
    minimum = MINIMUM.get(database)
    if minimum is None or version is None:
        return None
    numbers = tuple(part for part in version if isinstance(part, int))
    if numbers >= minimum:
        return None
    return ServerTooOld(_NAMES[database], _dotted(numbers), _dotted(minimum))


def check_version(engine: Engine) -> None:
    """Check each server when a connection to it is made; SQLAlchemy has asked for the version by then, and closes the
    connection.

    Statements: 0; on MariaDB 1 for the first connection, because SQLAlchemy would refuse MySQL with words of its own.
    """

    def connected(connection: Any, record: Any) -> None:
        error = refusal(engine.dialect.name, engine.dialect.server_version_info)
        if error is not None:
            raise error

    def first_connected(connection: Any, record: Any) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT VERSION()")
        version = str(cursor.fetchall()[0][0])
        cursor.close()
        if "mariadb" not in version.lower():
            raise UnsupportedDatabase(f"MySQL {version}", ", ".join(sorted(MINIMUM)))

    event.listen(engine, "connect", connected)
    if engine.dialect.name == "mariadb":
        event.listen(engine, "first_connect", first_connected)


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(str(number) for number in numbers)
