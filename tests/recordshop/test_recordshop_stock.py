"""The rows of the record shop: generated ones, real ones, and where they may go."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, inspect, select

from hermetic import AsyncDatabase, Base, Database, UnsupportedDatabase, lint_models
from recordshop.data import MODELS, NotChinook, Rows, generate, load_chinook
from recordshop.models import Employee, Invoice, InvoiceLine, Track
from recordshop.stock import NotEmpty, stock

SIZES = {
    "Artist": 275,
    "Album": 347,
    "Genre": 25,
    "MediaType": 5,
    "Track": 3503,
    "Playlist": 18,
    "PlaylistTrack": 8715,
    "Employee": 8,
    "Customer": 59,
    "Invoice": 412,
    "InvoiceLine": 2240,
}


def sizes(rows: Rows) -> dict[str, int]:
    return {model.__name__: len(rows[model]) for model in rows}


def put(url: str, rows: Rows) -> bool:
    async def opened() -> bool:
        async with AsyncDatabase(url) as db:
            return await stock(db, rows)

    return asyncio.run(opened())


def test_the_generated_shop_has_the_size_of_chinook() -> None:
    assert sizes(generate()) == SIZES


def test_the_generated_shop_is_the_same_in_every_run() -> None:
    assert generate() == generate()


def test_generated_rows_have_all_columns() -> None:
    rows = generate()
    for model in MODELS:
        for row in rows[model]:
            missing = set(inspect(model).columns.keys()) - row.keys()
            assert missing <= ({"id"} if "id" not in row else set())


def test_generated_totals_are_the_sums_of_their_lines() -> None:
    rows = generate()
    for invoice in rows[Invoice]:
        lines = [line for line in rows[InvoiceLine] if line["invoice_id"] == invoice["id"]]
        assert invoice["total"] == sum(line["unit_price"] * line["quantity"] for line in lines)


def test_the_real_shop_is_read_exactly(chinook: Path) -> None:
    rows = load_chinook(chinook)
    assert sizes(rows) == SIZES
    assert sum(row["total"] for row in rows[Invoice]) == Decimal("2328.60")
    assert rows[Invoice][0]["invoice_date"] == datetime(2021, 1, 1, tzinfo=UTC)
    assert rows[Employee][1]["reports_to"] == 1
    assert rows[Track][0]["size_bytes"] == 11170334


def test_the_real_rows_arrive_in_the_database(shop: Database, chinook: Path) -> None:
    with closing(sqlite3.connect(f"{chinook.absolute().as_uri()}?mode=ro", uri=True)) as file:
        for model in MODELS:
            (count,) = file.execute(f"SELECT count(*) FROM {model.__name__}").fetchone()
            arrived = shop.count(select(model))
            assert arrived == count or (model in (Invoice, InvoiceLine) and arrived > count)  # other tests add orders
        (cents,) = file.execute("SELECT sum(cast(round(UnitPrice * 100) AS INTEGER)) FROM Track").fetchone()
    assert shop.one(select(func.sum(Track.unit_price))) == Decimal(cents) / 100


@pytest.mark.parametrize("content", [None, b"", b"plainly something else" * 100])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "music.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(NotChinook, match=r"music\.db is not a Chinook SQLite file"):
        load_chinook(path)


def test_a_shop_is_filled_once(sqlite_url: str) -> None:
    rows = generate()
    assert put(sqlite_url, rows) is True
    assert put(sqlite_url, rows) is False
    with Database(sqlite_url) as db:
        assert db.count(select(Invoice)) == 412


def test_a_database_with_other_tables_is_left_as_it_is(sqlite_url: str, sqlite_path: Path) -> None:
    with closing(sqlite3.connect(sqlite_path)) as file:
        file.execute("CREATE TABLE customer (id INTEGER PRIMARY KEY)")
    with pytest.raises(NotEmpty, match=r"not a record shop \(customer\); nothing was changed"):
        put(sqlite_url, generate())
    with closing(sqlite3.connect(sqlite_path)) as file:
        assert file.execute("SELECT name FROM sqlite_master").fetchall() == [("customer",)]


def test_a_database_without_shapes_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UnsupportedDatabase):
        put("mysql+asyncmy://nobody@192.0.2.1/shop", generate())


def test_the_models_pass_the_lint() -> None:
    names = tuple(f"{model.__name__}." for model in MODELS)
    assert [problem for problem in lint_models(Base) if problem.where.startswith(names)] == []
