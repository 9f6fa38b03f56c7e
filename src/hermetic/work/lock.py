"""`lock=`: a SELECT ... FOR UPDATE of one entity, always fresh.

Source: PostgreSQL manual, "The Locking Clause" and "Explicit Locking"; MariaDB documentation, "SELECT ... FOR UPDATE";
SQLite, "File Locking And Concurrency".
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, FromClause, Join, Select, Table, delete, false, inspect
from sqlalchemy.orm.util import AliasedClass

from hermetic.engine import Lock, without_waiting
from hermetic.errors import WrongStatement
from hermetic.shape import TABLES, entity_mapper, is_distinct, is_grouped


def locking(statement: Select[Any], verb: str, lock: Lock) -> Select[Any]:
    """Return the statement with a lock on the rows of its entity, and on no other rows.

    Raises:
        WrongStatement: its rows are not those of one entity.
    """
    entity = _entity(statement, verb)
    return statement.with_for_update(
        of=_rows(entity), nowait=lock == "nowait", skip_locked=lock == "skip_locked"
    ).execution_options(populate_existing=True)


def joins_more(result: Any, statement: Select[Any], verb: str) -> bool:
    """Return whether the rows were joined with rows that are not locked."""
    # only the compile state knows of the joins of eager loading; `test_what_an_eager_join_brings_is_fresh` fails when a
    # release moves this
    sent = result.raw.context.compiled.compile_state.statement
    return sum(map(_size, sent.get_final_froms())) > len(entity_mapper(_entity(statement, verb)).tables)


def lock_file(connection: Connection, statement: Select[Any], verb: str, lock: Lock) -> None:
    """Take the only lock that SQLite has, that of the writer, so that what is read behind it stays true.

    A write of nothing takes it; `BEGIN IMMEDIATE` would, but the transaction has begun. Whoever holds it is alone, so
    that there are no rows to skip.
    """
    table = next(each for each in entity_mapper(_entity(statement, verb)).tables if isinstance(each, Table))
    with without_waiting(connection, when=lock == "nowait"):
        # marked as a read of ours: it writes nothing whose commit could be in doubt
        options = {TABLES: frozenset([table.fullname])}
        connection.execute(delete(table).where(false()), execution_options=options)


def _entity(statement: Select[Any], verb: str) -> Any:
    chosen = statement.column_descriptions
    entity = chosen[0].get("entity")
    reason = ""
    if len(chosen) > 1 or entity is None or chosen[0]["expr"] is not entity:
        reason = f"it selects {', '.join(str(each['name']) for each in chosen)}"
    elif is_grouped(statement) or is_distinct(statement):
        reason = f"it is {'grouped' if is_grouped(statement) else 'DISTINCT'}"
    if reason:
        raise WrongStatement(
            verb,
            f"lock= locks the rows of one entity, and {reason}",
            "lock the entities, then read the rest: [await] uow.all(select(User)..., lock=True)\n"
            "or write the lock into the statement: select(...).with_for_update(of=User)",
        )
    return entity


def _rows(entity: Any) -> Any:
    found = inspect(entity)
    is_own_alias = isinstance(entity, AliasedClass) and len(found.with_polymorphic_mappers) < 2
    return entity if is_own_alias else list(entity_mapper(entity).tables)


def _size(rows: FromClause) -> int:
    return _size(rows.left) + _size(rows.right) if isinstance(rows, Join) else 1
