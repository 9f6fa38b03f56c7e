"""Nothing that a statement leaves in its session reaches the next borrower of the connection.

A setting, a lock, a temporary table or a channel outlives the transaction, and a pool hands it on. Each statement is
looked at once, by its text, and one that may leave something marks its connection, which is closed in place of going
back. Closing is right for whatever was left, on every database; a reset would have to know it all, and would also undo
what listeners of the application set when the connection was made. A statement of another kind costs one look into a
table.

Source: PostgreSQL manual, "DISCARD", "SET" and "Advisory Locks"; MariaDB documentation, "User-Defined Variables",
"GET_LOCK" and "CREATE TABLE"; SQLite, "PRAGMA Statements".
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, event

from hermetic.errors import StateRefused
from hermetic.guard import caller

_LEFT = "hermetic_left"
_COMMON = (
    "alter analyze begin commit create delete drop end explain grant insert merge release replace revoke rollback "
    "savepoint select start table truncate update values with"
)
_PLAIN = {
    "postgresql": frozenset(
        f"{_COMMON} abort checkpoint close cluster comment copy declare fetch import lock move notify reassign refresh "
        "reindex security show vacuum".split()
    ),
    "mariadb": frozenset(f"{_COMMON} check checksum desc describe optimize rename repair show xa".split()),
    "sqlite": frozenset(f"{_COMMON} reindex vacuum".split()),
}
_NOTHING_LEFT = {  # of the kinds that else leave something
    "postgresql": re.compile(r"set\s+(local|transaction|constraints)\b|prepare\s+transaction\b"),
    "mariadb": re.compile(r"set\s+(transaction|statement)\b"),
    "sqlite": re.compile(r"pragma\s+(\w+\.)?(\w*_(list|info|xinfo|check)\b|\w+\s*$)"),
}
_TEMPORARY = r"\b(create|into)\s+(or\s+replace\s+)?((local|global)\s+)?temp(orary)?\b(?!.*\bon\s+commit\s+drop\b)"
_LEAVING = {
    "postgresql": re.compile(
        r"\b(pg_(try_)?advisory_lock(_shared)?|dblink_connect(_u)?|setseed)\s*\("
        r"|\bset_config\s*\((?!([^()]|\([^()]*\))*,\s*true\s*\))"
        r"|\bpg_temp\s*\.|\bwith\s+hold\b|" + _TEMPORARY,
        re.DOTALL,
    ),
    "mariadb": re.compile(r"\bget_lock\s*\(|(?<![@\w`])@(?![@\s])|" + _TEMPORARY, re.DOTALL),
    "sqlite": re.compile(_TEMPORARY, re.DOTALL),
}
_QUOTED = {
    "postgresql": re.compile(r"'(?:[^']|'')*'|%\(\w+\)s|\$(\w*)\$.*?\$\1\$|/\*.*?\*/|--[^\n]*", re.DOTALL),
    "mariadb": re.compile(
        r"'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|/\*(?![!M]).*?\*/|(?:--\s|#)[^\n]*", re.DOTALL
    ),
    "sqlite": re.compile(r"'(?:[^']|'')*'|/\*.*?\*/|--[^\n]*", re.DOTALL),
}


@lru_cache(maxsize=1024)
def leaves_state(sql: str, database: str) -> bool:
    """Return whether a statement may leave something in its session that outlives the transaction."""
    plain = _PLAIN.get(database)
    if plain is None:
        return False
    text = _QUOTED[database].sub(" ", sql).lower()
    if _LEAVING[database].search(text):
        return True
    return any(_is_of_other_kind(part.strip(" \t\r\n("), database) for part in text.split(";"))


def _is_of_other_kind(statement: str, database: str) -> bool:
    word = re.match(r"\w*", statement)
    if not statement or word is None or word[0] in _PLAIN[database]:
        return False
    return not _NOTHING_LEFT[database].match(statement)


def watch_residue(engine: Engine, *, is_shared: bool) -> None:
    """Close each connection that may be left with something, when it comes back; behind a pooler, which would lend the
    session to others, refuse the statement.

    Installed behind what sends statements when a connection comes back.
    """
    database = engine.dialect.name

    def sending(connection: Any, cursor: Any, sql: str, *_: Any) -> None:
        if leaves_state(sql, database):
            if is_shared:
                raise StateRefused(_beginning(sql), caller())
            connection.info[_LEFT] = True

    def returned(connection: Any, record: Any) -> None:
        if record.info.pop(_LEFT, False) and connection is not None:
            record.invalidate()

    event.listen(engine, "before_cursor_execute", sending)
    event.listen(engine, "checkin", returned)


def has_residue(connection: Connection) -> bool:
    """Return whether a connection that is in use will be closed when it comes back."""
    return not connection.closed and not connection.invalidated and _LEFT in connection.info


def _beginning(sql: str) -> str:
    """Return the first two words: what follows may be values."""
    return " ".join(sql.split()[:2])
