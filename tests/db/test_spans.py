"""Intervals of PostgreSQL with months come back as they are, or not at all."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import ForeignKey, Interval, make_url, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, CalendarInterval, Database, Shape, Span, ValueMismatch


class SpanBase(DeclarativeBase):
    """Plain: only PostgreSQL has the type."""


class Contract(SpanBase):
    __tablename__ = "span_contract"
    id: Mapped[int] = mapped_column(primary_key=True)
    terms: Mapped[list[Term]] = relationship(order_by="Term.id")


class Term(SpanBase):
    __tablename__ = "span_term"
    id: Mapped[int] = mapped_column(primary_key=True)
    contract_id: Mapped[int] = mapped_column(ForeignKey("span_contract.id"), index=True)
    notice: Mapped[Span | None] = mapped_column(CalendarInterval())
    length: Mapped[datetime.timedelta | None] = mapped_column(Interval())


class NoticeLine(Shape[Term]):
    notice: Span | None


class ContractCard(Shape[Contract]):
    terms: list[NoticeLine]


class LengthLine(Shape[Term]):
    length: datetime.timedelta | None


SPANS = [Span(1), Span(12, -1, 86_400_000_000), Span(-25, 400, -1), None]


@pytest.fixture
def url(new_database: Callable[..., str]) -> str:
    made = new_database()
    with Database(made) as db:
        SpanBase.metadata.create_all(db.engine)
        with db.engine.begin() as connection:
            connection.execute(text("INSERT INTO span_contract VALUES (1)"))
    return made


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    with Database(url) as made:
        yield made


def test_a_span_goes_in_and_comes_back_by_every_way(db: Database) -> None:
    with db.begin() as uow:
        uow.add_all([Term(id=n, contract_id=1, notice=span) for n, span in enumerate(SPANS, 1)])
    by_id = select(Term).order_by(Term.id)
    with db.begin() as uow:
        assert [term.notice for term in uow.all(by_id)] == SPANS
    assert db.all(select(Term.notice).order_by(Term.id)) == SPANS
    assert [line.notice for line in db.all(NoticeLine, by_id)] == SPANS
    assert [line.notice for line in db.stream(NoticeLine, by_id)] == SPANS
    for strategy in ("correlated", "set_based", "per_level"):
        card = db.one(ContractCard, select(Contract).execution_options(hermetic_strategy=strategy))
        assert [line.notice for line in card.terms] == SPANS
    assert db.all(select(Term.id).where(Term.notice == Span(1))) == [1]
    assert db.json(NoticeLine, by_id.limit(1)) == b'[{"notice":{"months":1,"days":0,"microseconds":0}}]'


def test_the_server_stores_the_parts_apart(db: Database) -> None:
    with db.begin() as uow:
        uow.add(Term(id=1, contract_id=1, notice=Span(14, 3, 3_600_000_001)))
    assert db.all(select(text("notice::text")).select_from(text("span_term"))) == [
        "1 year 2 mons 3 days 01:00:00.000001"
    ]


@pytest.mark.parametrize("stored", ["1 month", "-1 year", "1 year -1 month", "2 years 3 days"])
@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_months_are_no_timedelta_and_the_error_names_the_way_out(db: Database, driver: str, stored: str) -> None:
    with db.engine.begin() as connection:
        row = {"length": stored}
        connection.execute(text("INSERT INTO span_term VALUES (1, 1, NULL, CAST(:length AS interval))"), row)

    async def read() -> Any:
        async with AsyncDatabase(make_url(db.engine.url).set(drivername=f"postgresql+{driver}")) as other:
            return await other.all(LengthLine, select(Term))

    for _ in range(2):
        with pytest.raises(ValueMismatch, match="CalendarInterval reads it as a Span") as refused:
            asyncio.run(read())
    assert (refused.value.field, refused.value.row) == ("LengthLine.length", 1)


def test_years_and_months_that_add_up_to_none_are_a_timedelta(db: Database) -> None:
    with db.engine.begin() as connection:
        connection.execute(text("INSERT INTO span_term VALUES (1, 1, NULL, '1 year -12 months 40 days')"))
    assert db.one(LengthLine, select(Term)).length == datetime.timedelta(days=40)


def test_asyncpg_sends_and_reads_spans(url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(make_url(url).set(drivername="postgresql+asyncpg")) as db:
            async with db.begin() as uow:
                uow.add_all([Term(id=n, contract_id=1, notice=span) for n, span in enumerate(SPANS, 1)])
            for _ in range(2):
                found = await db.all(NoticeLine, select(Term).order_by(Term.id))
                assert [line.notice for line in found] == SPANS
            card = await db.one(ContractCard, select(Contract))
            assert [line.notice for line in card.terms] == SPANS

    asyncio.run(main())
