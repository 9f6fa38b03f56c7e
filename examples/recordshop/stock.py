"""Put the shop into a database that is empty, and only there."""

from sqlalchemy import Connection, func, insert, inspect, select

from hermetic import AsyncDatabase, AsyncUnitOfWork
from recordshop.data import MODELS, Rows
from recordshop.models import Artist, Invoice, ShopBase
from recordshop.shapes import InvoiceCard


class NotEmpty(Exception):
    """The database holds tables that are not the shop's; it was left as it is."""


async def stock(db: AsyncDatabase, rows: Rows) -> bool:
    """Create the tables and fill them; a shop that is there already is used as it is. Nothing is ever dropped.

    Returns: whether `rows` were inserted.
    Raises:
        NotEmpty: other tables are there.
        UnsupportedDatabase: shapes cannot be read from this database; nothing was sent.
    """
    db.plan(InvoiceCard, select(Invoice))
    async with db.engine.connect() as connection:
        tables = await connection.run_sync(_tables)
    tables.pop("hermetic_outcome", None)  # comes with create_all(), and belongs to whoever uses the database
    ours = {model.__tablename__: set(inspect(model).columns.keys()) for model in MODELS}
    if tables and tables != ours:
        listed = ", ".join(sorted(tables)[:5])
        raise NotEmpty(
            f"the database is not empty, and not a record shop ({listed}{', ...' if len(tables) > 5 else ''});"
            " nothing was changed\nfix: name an empty one in HERMETIC_URL, e.g. after CREATE DATABASE recordshop"
        )
    await db.create_all(ShopBase)
    if await db.exists(select(Artist.id)):
        return False
    async with db.begin() as uow:
        await fill(uow, rows)
    return True


def _tables(connection: Connection) -> dict[str, set[str]]:
    return {
        table: {column["name"] for column in columns}
        for (_, table), columns in inspect(connection).get_multi_columns().items()
    }


async def fill(uow: AsyncUnitOfWork, rows: Rows) -> None:
    """Insert all rows, and let the database continue their numbering.

    Statements: 1 INSERT for each table, in batches; on PostgreSQL 1 SELECT more for each table with a sequence.
    """
    tables = [ShopBase.metadata.tables[model.__tablename__] for model in MODELS]
    for model, table in zip(MODELS, tables, strict=True):
        await uow.session.execute(insert(table), rows[model])  # into the table, not the model: rows need no entities
    if uow.session.get_bind().dialect.name != "postgresql":
        return
    for table in tables:
        if "id" in table.columns:
            sequence = func.pg_get_serial_sequence(table.name, "id")
            await uow.session.execute(select(func.setval(sequence, func.max(table.columns.id))))
