"""Arrays of PostgreSQL come back exactly, at the root and inside a collection, whatever the session's settings."""

from __future__ import annotations

import asyncio
import datetime
import enum
import math
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Date,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Interval,
    LargeBinary,
    Numeric,
    Text,
    Time,
    Uuid,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, Database, Shape

HOSTILE = (
    "SET TimeZone = 'Asia/Kolkata'",
    "SET DateStyle = 'SQL, DMY'",
    "SET IntervalStyle = 'iso_8601'",
    "SET extra_float_digits = 0",
    "SET bytea_output = 'escape'",
)


class Color(enum.Enum):
    RED = "red"
    NULL = "null"


class ArrayBase(DeclarativeBase):
    """Plain: arrays are PostgreSQL's, and `Base` makes tables on every database."""


class Rack(ArrayBase):
    __tablename__ = "rack"
    id: Mapped[int] = mapped_column(primary_key=True)
    trays: Mapped[list[Tray]] = relationship(order_by="Tray.id")


class Tray(ArrayBase):
    __tablename__ = "tray"
    id: Mapped[int] = mapped_column(primary_key=True)
    rack_id: Mapped[int] = mapped_column(ForeignKey("rack.id"))
    whole: Mapped[list[int | None] | None] = mapped_column(ARRAY(BigInteger))
    words: Mapped[list[str | None] | None] = mapped_column(ARRAY(Text))
    yes: Mapped[list[bool | None] | None] = mapped_column(ARRAY(Boolean))
    keys: Mapped[list[uuid.UUID | None] | None] = mapped_column(ARRAY(Uuid))
    money: Mapped[list[Decimal | None] | None] = mapped_column(ARRAY(Numeric(18, 4)))
    days: Mapped[list[datetime.date | None] | None] = mapped_column(ARRAY(Date))
    hours: Mapped[list[datetime.time | None] | None] = mapped_column(ARRAY(Time))
    instants: Mapped[list[datetime.datetime | None] | None] = mapped_column(ARRAY(DateTime(timezone=True)))
    local: Mapped[list[datetime.datetime | None] | None] = mapped_column(ARRAY(DateTime))
    reals: Mapped[list[float | None] | None] = mapped_column(ARRAY(Float))
    raw: Mapped[list[bytes | None] | None] = mapped_column(ARRAY(LargeBinary))
    colors: Mapped[list[Color | None] | None] = mapped_column(
        ARRAY(Enum(Color, name="tray_color", values_callable=lambda kind: [each.value for each in kind]))
    )
    names: Mapped[list[Color | None] | None] = mapped_column(ARRAY(Enum(Color, native_enum=False)))
    spans: Mapped[list[datetime.timedelta | None] | None] = mapped_column(ARRAY(Interval))
    grid: Mapped[list[list[int]] | None] = mapped_column(ARRAY(BigInteger, dimensions=2))


class TrayLine(Shape[Tray]):
    whole: list[int | None] | None
    words: list[str | None] | None
    yes: list[bool | None] | None
    keys: list[uuid.UUID | None] | None
    money: list[Decimal | None] | None
    days: list[datetime.date | None] | None
    hours: list[datetime.time | None] | None
    instants: list[datetime.datetime | None] | None
    local: list[datetime.datetime | None] | None
    reals: list[float | None] | None
    raw: list[bytes | None] | None
    colors: list[Color | None] | None
    names: list[Color | None] | None
    spans: list[datetime.timedelta | None] | None
    grid: list[list[int]] | None


class RackCard(Shape[Rack]):
    trays: list[TrayLine]


UTC = datetime.UTC
FULL: dict[str, list[Any]] = {
    "whole": [2**63 - 1, None, -(2**63) + 1, 0],
    "words": ["é 😀 \u2028 \"'\\ {,} % : \n", None, "", "NULL", "null"],
    "yes": [True, None, False],
    "keys": [uuid.UUID(int=5), None],
    "money": [Decimal("-12345678901234.0001"), None, Decimal("0.0000"), Decimal("NaN")],
    "days": [datetime.date(1, 1, 2), None, datetime.date(9999, 12, 30)],
    "hours": [datetime.time(23, 59, 59, 999999), None, datetime.time(0)],
    "instants": [
        datetime.datetime(2030, 1, 2, 10, 11, 12, 123456, UTC),
        None,
        datetime.datetime(1900, 1, 1, tzinfo=UTC),
    ],
    "local": [datetime.datetime(2030, 1, 2, 10, 11, 12, 123456), None, datetime.datetime(1, 1, 2)],  # noqa: DTZ001
    "reals": [0.1 + 0.2, None, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan],
    "raw": [bytes(range(256)), None, b""],
    "colors": [Color.NULL, None, Color.RED],
    "names": [Color.NULL, None, Color.RED],
    "spans": [-datetime.timedelta(days=400, microseconds=1), None, datetime.timedelta(0)],
    "grid": [[1, 2], [3, 4]],
}
ROWS: list[dict[str, Any]] = [{}, FULL, {name: [] for name in FULL}, {name: [None] for name in FULL if name != "grid"}]
EXPECTED = [TrayLine(**{name: row.get(name) for name in TrayLine.__struct_fields__}) for row in ROWS]


def _rack() -> Rack:
    return Rack(id=1, trays=[Tray(id=number, **row) for number, row in enumerate(ROWS, 1)])


def _check(found: list[TrayLine]) -> None:
    for name in TrayLine.__struct_fields__:  # by repr: NaN equals nothing, and a Decimal's scale counts
        assert [repr(getattr(line, name)) for line in found] == [repr(getattr(line, name)) for line in EXPECTED], name


TRAYS = select(Tray).order_by(Tray.id)


def test_arrays_are_exact_under_hostile_settings(new_database: Callable[..., str]) -> None:
    with Database(new_database()) as db:
        ArrayBase.metadata.create_all(db.engine)
        with db.begin() as uow:
            uow.add(_rack())
        with db.begin() as uow:
            for setting in HOSTILE:
                uow.session.execute(text(setting))
            _check(uow.all(TrayLine, TRAYS))
            _check(uow.get_one(RackCard, 1).trays)
        with db.recorded() as statements:
            _check(db.all(TrayLine, TRAYS))
            _check(db.get_one(RackCard, 1).trays)
        assert len(statements) == 2


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_arrays_are_exact_under_hostile_settings_async(new_database: Callable[..., str], driver: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(new_database(driver=driver)) as db:
            await db.create_all(ArrayBase)
            async with db.begin() as uow:
                uow.add(_rack())
            async with db.begin() as uow:
                for setting in HOSTILE:
                    await uow.session.execute(text(setting))
                _check(await uow.all(TrayLine, TRAYS))
                _check((await uow.get_one(RackCard, 1)).trays)
            _check(await db.all(TrayLine, TRAYS))
            _check((await db.get_one(RackCard, 1)).trays)

    asyncio.run(main())


class Sheet(ArrayBase):
    __tablename__ = "sheet"
    id: Mapped[int] = mapped_column(primary_key=True)
    pile_id: Mapped[int] = mapped_column(ForeignKey("pile.id"))
    heights: Mapped[list[list[float]]] = mapped_column(ARRAY(Float, dimensions=2))


class Pile(ArrayBase):
    __tablename__ = "pile"
    id: Mapped[int] = mapped_column(primary_key=True)
    sheets: Mapped[list[Sheet]] = relationship()


def test_an_array_without_exact_form_is_read_by_a_statement_of_its_own(new_database: Callable[..., str]) -> None:
    class SheetLine(Shape[Sheet]):
        heights: list[list[float]]

    class PileCard(Shape[Pile]):
        sheets: list[SheetLine]

    heights = [[0.1 + 0.2, math.inf], [5e-324, -1.0]]
    with Database(new_database()) as db:
        ArrayBase.metadata.create_all(db.engine)
        with db.begin() as uow:
            uow.add(Pile(id=1, sheets=[Sheet(id=1, heights=heights)]))
        plan = db.plan(PileCard, select(Pile))
        assert (plan.strategy, plan.statements) == ("per_level", 2)
        assert "PileCard.sheets[].heights has no exact form in JSON" in plan.reason
        assert db.get_one(PileCard, 1).sheets[0].heights == heights
