"""Every shape of the record shop against plain SQLAlchemy objects, row by row, on the real Chinook rows."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from oracle import ORACLE, expected
from sqlalchemy import select
from sqlalchemy.orm import Session

from hermetic import AsyncDatabase, Database, Shape
from recordshop import shapes
from recordshop.repositories import Employees, Invoices
from recordshop.shapes import EmployeeNode, InvoiceCard

by_name = pytest.mark.parametrize("shape", ORACLE, ids=lambda shape: shape.__name__)


def facts(found: list[Any]) -> Any:
    return msgspec.to_builtins(found, builtin_types=(datetime, Decimal))


def test_the_oracle_knows_every_shape() -> None:
    defined = {each for each in vars(shapes).values() if isinstance(each, type) and issubclass(each, Shape)}
    assert defined - {Shape} == set(ORACLE)


@by_name
def test_every_row_equals_the_plain_objects(shop: Database, shape: type[Any]) -> None:
    model = ORACLE[shape][0]
    with shop.recorded() as sent:
        found = shop.all(shape, select(model).order_by(model.id))
    assert len(sent) == 1
    with Session(shop.engine) as session:
        wanted = expected(session, shape)
    assert wanted
    assert facts(found) == wanted
    assert msgspec.json.encode(found) == msgspec.json.encode(wanted)


@by_name
def test_one_row_by_its_key_equals_the_plain_object(shop: Database, shape: type[Any]) -> None:
    with shop.recorded() as sent:
        found = shop.get_one(shape, 3)
    assert len(sent) == 1
    with Session(shop.engine) as session:
        assert facts([found]) == expected(session, shape, 3)


@by_name
def test_a_unit_of_work_reads_the_same_in_one_statement(shop: Database, shape: type[Any]) -> None:
    statement = select(ORACLE[shape][0]).where(ORACLE[shape][0].id <= 8).order_by(ORACLE[shape][0].id.desc())
    with shop.recorded() as sent, shop.begin() as uow:
        inside = uow.all(shape, statement)
    assert len(sent) == 1
    assert inside == shop.all(shape, statement)


def test_the_repositories_read_one_screen_and_one_chart(shop_url: str) -> None:
    async def read() -> tuple[list[InvoiceCard], list[EmployeeNode], int]:
        async with AsyncDatabase(shop_url) as db:
            with db.recorded() as sent:
                async with db.begin() as uow:
                    return await Invoices(uow).newest(20), await Employees(uow).chart(), len(sent)

    screen, chart, statements = asyncio.run(read())
    assert statements == 2
    with Database(shop_url) as db, Session(db.engine) as session:
        invoices = expected(session, InvoiceCard)
        newest = sorted(invoices, key=lambda each: (each["invoice_date"], each["id"]), reverse=True)
        assert facts(screen) == newest[:20]
        assert facts(chart) == expected(session, EmployeeNode, 1)


def test_the_chart_of_chinook_has_three_levels(shop: Database) -> None:
    chief = shop.get_one(EmployeeNode, 1)
    assert [[below.id for below in manager.reports or ()] for manager in chief.reports or ()] == [[3, 4, 5], [7, 8]]
