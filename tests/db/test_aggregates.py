"""Values over the children of a parent, on every database and by every strategy, against Python over plain entities."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Annotated, Any

import pytest
import requires
from shapes_support import every_strategy, plain
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, Select, Table, case, select, update
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import REAL

from hermetic import Base, Database, ExactDecimal, Shape, aggregate, count, many, path

UTC = datetime.UTC


class Ledger(Base):
    __abstract__ = True
    metadata = Base.metadata.__class__(naming_convention=Base.metadata.naming_convention)


mark = Table(
    "ledger_mark",
    Ledger.metadata,
    Column("purchase_id", ForeignKey("ledger_purchase.id"), primary_key=True),
    Column("label_id", ForeignKey("ledger_label.id"), primary_key=True, index=True),
    Column("place", Integer, nullable=False),
)


class Region(Ledger):
    __tablename__ = "ledger_region"
    id: Mapped[int] = mapped_column(primary_key=True)
    customers: Mapped[list[Payer]] = relationship(back_populates="region", passive_deletes="all")


class Payer(Ledger):
    __tablename__ = "ledger_customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    region_id: Mapped[int] = mapped_column(ForeignKey("ledger_region.id"), index=True)
    region: Mapped[Region] = relationship(back_populates="customers")
    purchases: Mapped[list[Purchase]] = relationship(back_populates="customer", passive_deletes="all")


class Purchase(Ledger):
    __tablename__ = "ledger_purchase"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("ledger_customer.id"), index=True)
    total: Mapped[Decimal | None] = mapped_column(ExactDecimal(16, 2))
    pieces: Mapped[int | None]
    units: Mapped[int] = mapped_column(BigInteger)
    weight: Mapped[float]
    single: Mapped[float] = mapped_column(REAL().with_variant(mysql.FLOAT(), "mysql", "mariadb"))
    note: Mapped[str]
    day: Mapped[datetime.date]
    hour: Mapped[datetime.time]
    at: Mapped[datetime.datetime]
    took: Mapped[datetime.timedelta]
    customer: Mapped[Payer] = relationship(back_populates="purchases")
    labels: Mapped[list[Label]] = relationship(secondary=mark)


class Label(Ledger):
    __tablename__ = "ledger_label"
    id: Mapped[int] = mapped_column(primary_key=True)
    weight: Mapped[int]


NOON = datetime.datetime(2030, 1, 2, 12, tzinfo=UTC)


def _purchase(number: int, **given: Any) -> Purchase:
    values: dict[str, Any] = {
        "total": Decimal(number) / 4,
        "pieces": number,
        "units": 2**63 - 1,
        "weight": number / 8,
        "single": number / 16,
        "note": f"note {number}",
        "day": datetime.date(2030, 1, number),
        "hour": datetime.time(number, 2, 3, 4),
        "at": NOON + datetime.timedelta(microseconds=number),
        "took": datetime.timedelta(days=number, microseconds=1),
    }
    return Purchase(**values | given)


@pytest.fixture
def ledger(db: Database) -> Database:
    """Two regions, one of them empty; customers with purchases, with values that are NULL, and with none."""
    db.create_all(Ledger)
    with db.begin() as uow:
        uow.add_all([Region(id=1), Region(id=2), *(Label(id=number, weight=2**number) for number in (1, 2, 3))])
        uow.flush()
        uow.add_all([Payer(id=number, region_id=1) for number in (1, 2, 3)])
        uow.flush()
        uow.add_all([_purchase(number, id=number, customer_id=1) for number in (3, 1, 2)])
        uow.add(_purchase(4, id=4, customer_id=2, total=None, pieces=None))
        uow.flush()
        marks = [(1, 1, 3), (1, 2, 2), (1, 3, 1), (2, 3, 7)]
        columns = ("purchase_id", "label_id", "place")
        uow.session.execute(mark.insert(), [dict(zip(columns, each, strict=True)) for each in marks])
    return db


def read(db: Database, shape: Any, statement: Select[Any]) -> Any:
    """Return what every strategy reads, each in the statements that its plan says."""
    found = [plain(each) for each in db.all(shape, statement)]
    asked = every_strategy(db, shape, statement)
    assert len(asked) == 3
    for each in asked:
        with db.recorded() as sent:
            again = [plain(each) for each in db.all(shape, each)]
        plan = db.plan(shape, each)
        assert again == found, plan.strategy
        assert len(sent) == plan.statements
    return found


class PurchaseLine(Shape[Purchase]):
    id: int


class Sums(Shape[Payer]):
    id: int
    number: Annotated[int, count(Payer.purchases)]
    has: Annotated[bool, aggregate.exists(Payer.purchases)]
    total: Annotated[Decimal, aggregate.sum(Payer.purchases, Purchase.total)]
    total_or_none: Annotated[Decimal | None, aggregate.sum(Payer.purchases, Purchase.total)]
    pieces: Annotated[int, aggregate.sum(Payer.purchases, Purchase.pieces)]
    weight: Annotated[float, aggregate.sum(Payer.purchases, Purchase.weight)]
    single: Annotated[float, aggregate.sum(Payer.purchases, Purchase.single)]
    mean: Annotated[Decimal | None, aggregate.avg(Payer.purchases, Purchase.total)]
    mean_pieces: Annotated[float | None, aggregate.avg(Payer.purchases, Purchase.pieces)]
    exact_pieces: Annotated[Decimal | None, aggregate.avg(Payer.purchases, Purchase.pieces)]
    mean_weight: Annotated[float | None, aggregate.avg(Payer.purchases, Purchase.weight)]


FIRST = {
    "id": 1,
    "number": 3,
    "has": True,
    "total": Decimal("1.50"),
    "total_or_none": Decimal("1.50"),
    "pieces": 6,
    "weight": 0.75,
    "single": 0.375,
    "mean": Decimal("0.5"),
    "mean_pieces": 2.0,
    "exact_pieces": Decimal(2),
    "mean_weight": 0.25,
}
NULLS = FIRST | {
    "id": 2,
    "number": 1,
    "total": Decimal(0),
    "total_or_none": None,
    "pieces": 0,
    "weight": 0.5,
    "single": 0.25,
    "mean": None,
    "mean_pieces": None,
    "exact_pieces": None,
    "mean_weight": 0.5,
}
NONE = NULLS | {"id": 3, "number": 0, "has": False, "weight": 0.0, "single": 0.0, "mean_weight": None}


def test_numbers_add_up_and_nothing_adds_up_to_zero_or_none(ledger: Database) -> None:
    found = read(ledger, Sums, select(Payer).order_by(Payer.id))
    assert found == [FIRST, NULLS, NONE]
    kinds = [{name: type(value) for name, value in each.items()} for each in found]
    assert kinds == [{name: type(value) for name, value in each.items()} for each in (FIRST, NULLS, NONE)]
    assert [str(each["total"]) for each in found] == ["1.50", "0.00", "0.00"]  # the scale of the column is kept


class RegionSums(Shape[Region]):
    id: int
    customers: list[Sums]


class CustomerRegion(Shape[Payer]):
    region: RegionSums


def test_aggregates_inside_a_collection_are_those_at_the_root(ledger: Database) -> None:
    found = read(ledger, RegionSums, select(Region).order_by(Region.id))
    assert found == [{"id": 1, "customers": [FIRST, NULLS, NONE]}, {"id": 2, "customers": []}]
    assert [str(each["total"]) for each in found[0]["customers"]] == ["1.50", "0.00", "0.00"]
    assert read(ledger, CustomerRegion, select(Payer).where(Payer.id == 3)) == [{"region": found[0]}]


class Ends(Shape[Payer]):
    first_total: Annotated[Decimal | None, aggregate.min(Payer.purchases, Purchase.total)]
    pieces: Annotated[int | None, aggregate.max(Payer.purchases, Purchase.pieces)]
    weight: Annotated[float | None, aggregate.max(Payer.purchases, Purchase.weight)]
    single: Annotated[float | None, aggregate.min(Payer.purchases, Purchase.single)]
    note: Annotated[str | None, aggregate.max(Payer.purchases, Purchase.note)]
    day: Annotated[datetime.date | None, aggregate.max(Payer.purchases, Purchase.day)]
    hour: Annotated[datetime.time | None, aggregate.min(Payer.purchases, Purchase.hour)]
    at: Annotated[datetime.datetime | None, aggregate.max(Payer.purchases, Purchase.at)]
    took: Annotated[datetime.timedelta | None, aggregate.max(Payer.purchases, Purchase.took)]


class RegionEnds(Shape[Region]):
    customers: list[Ends]


def test_smallest_and_largest_values_come_in_the_types_of_their_columns(ledger: Database) -> None:
    expected = {
        "first_total": Decimal("0.25"),
        "pieces": 3,
        "weight": 0.375,
        "single": 0.0625,
        "note": "note 3",
        "day": datetime.date(2030, 1, 3),
        "hour": datetime.time(1, 2, 3, 4),
        "at": NOON + datetime.timedelta(microseconds=3),
        "took": datetime.timedelta(days=3, microseconds=1),
    }
    found = read(ledger, Ends, select(Payer).order_by(Payer.id))
    assert found[0] == expected
    assert found[2] == dict.fromkeys(expected)
    assert read(ledger, RegionEnds, select(Region).where(Region.id == 1)) == [{"customers": found}]


class Filtered(Shape[Payer]):
    heavy: Annotated[int, count(Payer.purchases, where=Purchase.pieces >= 2)]
    heavy_pieces: Annotated[int, aggregate.sum(Payer.purchases, Purchase.pieces, where=Purchase.pieces >= 2)]
    light: Annotated[int, count(Payer.purchases, where=Purchase.pieces >= 3)]
    heavy_lines: Annotated[list[PurchaseLine], many(Payer.purchases, where=Purchase.pieces >= 2)]
    top: Annotated[list[PurchaseLine], many(Payer.purchases, order_by=Purchase.total.desc(), limit=1)]
    purchases: list[PurchaseLine]
    squares: Annotated[int, aggregate.sum(Payer.purchases, Purchase.pieces * Purchase.pieces)]
    small: Annotated[int, aggregate.sum(Payer.purchases, case((Purchase.pieces < 2, 10), else_=0))]


def test_equal_filters_and_other_filters_keep_to_their_own_rows(ledger: Database) -> None:
    found = read(ledger, Filtered, select(Payer).order_by(Payer.id))
    assert found[0] == {
        "heavy": 2,
        "heavy_pieces": 5,
        "light": 1,
        "heavy_lines": [{"id": 2}, {"id": 3}],
        "top": [{"id": 3}],
        "purchases": [{"id": 1}, {"id": 2}, {"id": 3}],
        "squares": 14,
        "small": 10,
    }
    assert found[1]["small"] == found[1]["squares"] == 0


class LabelLine(Shape[Label]):
    id: int


class Marked(Shape[Purchase]):
    labels: Annotated[list[LabelLine], many(Purchase.labels, order_by=mark.c.place)]
    first: Annotated[list[LabelLine], many(Purchase.labels, order_by=mark.c.place, limit=2)]
    weight: Annotated[int, aggregate.sum(Purchase.labels, Label.weight)]
    front: Annotated[int, aggregate.sum(Purchase.labels, Label.weight, where=mark.c.place < 3)]
    has: Annotated[bool, aggregate.exists(Purchase.labels)]


class CustomerMarked(Shape[Payer]):
    id: int
    purchases: list[Marked]


def test_aggregates_over_many_to_many_may_filter_by_the_link_table(ledger: Database) -> None:
    first = {
        "labels": [{"id": 3}, {"id": 2}, {"id": 1}],
        "first": [{"id": 3}, {"id": 2}],
        "weight": 14,
        "front": 12,
        "has": True,
    }
    second = {"labels": [{"id": 3}], "first": [{"id": 3}], "weight": 8, "front": 0, "has": True}
    none = {"labels": [], "first": [], "weight": 0, "front": 0, "has": False}
    assert read(ledger, Marked, select(Purchase).order_by(Purchase.id)) == [first, second, none, none]
    found = read(ledger, CustomerMarked, select(Payer).order_by(Payer.id))
    assert [each["purchases"] for each in found] == [[first, second, none], [none], []]


class Units(Shape[Payer]):
    total: Annotated[int, aggregate.sum(Payer.purchases, Purchase.units)]
    mean: Annotated[Decimal | None, aggregate.avg(Payer.purchases, Purchase.units)]


class RegionUnits(Shape[Region]):
    customers: list[Units]


def test_sum_of_more_than_64_bits_is_exact_or_an_error(ledger: Database) -> None:
    first = select(Payer).where(Payer.id == 1)
    if not requires.has(ledger.engine.dialect.name, "wide sums"):
        with pytest.raises(DBAPIError, match="integer overflow"):
            ledger.all(Units, first)
        return
    assert read(ledger, Units, first) == [{"total": 3 * (2**63 - 1), "mean": Decimal(2**63 - 1)}]
    assert read(ledger, RegionUnits, select(Region))[0]["customers"][0]["total"] == 3 * (2**63 - 1)


def test_decimal_context_of_the_caller_does_not_round_an_average(ledger: Database) -> None:
    class Mean(Shape[Payer]):
        mean: Annotated[Decimal | None, aggregate.avg(Payer.purchases, Purchase.total)]

    with ledger.begin() as uow:
        uow.session.execute(update(Purchase).values(total=Decimal(0)))
        uow.session.execute(update(Purchase).where(Purchase.id == 1).values(total=Decimal(1)))
    with decimal.localcontext(decimal.Context(prec=3)):
        found = read(ledger, Mean, select(Payer).where(Payer.id == 1))
    assert found == [{"mean": Decimal("0.3333333333333333333333333333")}]


class PurchaseCard(Shape[Purchase]):
    id: int
    labels: list[LabelLine]
    owner: Annotated[int, path(Purchase.customer, Payer.id)]


class PayerId(Shape[Payer]):
    id: int


class Last(Shape[Payer]):
    total: Annotated[Decimal | None, aggregate.latest(Payer.purchases, Purchase.total, order_by=Purchase.pieces.desc())]
    region: Annotated[
        int | None, aggregate.latest(Payer.purchases, Purchase.customer, Payer.region_id, order_by=Purchase.id)
    ]
    who: Annotated[PayerId | None, aggregate.latest(Payer.purchases, Purchase.customer, order_by=Purchase.id)]
    first: Annotated[PurchaseCard | None, aggregate.latest(Payer.purchases, order_by=Purchase.at)]
    small: Annotated[
        PurchaseLine | None,
        aggregate.latest(Payer.purchases, order_by=Purchase.id.desc(), where=Purchase.pieces < 3),
    ]
    number: Annotated[int, count(Payer.purchases)]


class RegionLast(Shape[Region]):
    customers: list[Last]
    newest: Annotated[Last | None, aggregate.latest(Region.customers, order_by=Payer.id.desc())]


def test_latest_is_the_first_row_in_its_order_or_a_value_of_it(ledger: Database) -> None:
    found = read(ledger, Last, select(Payer).order_by(Payer.id))
    first = {"id": 1, "labels": [{"id": 1}, {"id": 2}, {"id": 3}], "owner": 1}
    assert found == [
        {"total": Decimal("0.75"), "region": 1, "who": {"id": 1}, "first": first, "small": {"id": 2}, "number": 3},
        {
            "total": None,
            "region": 1,
            "who": {"id": 2},
            "first": {"id": 4, "labels": [], "owner": 2},
            "small": None,
            "number": 1,
        },
        {"total": None, "region": None, "who": None, "first": None, "small": None, "number": 0},
    ]
    regions = read(ledger, RegionLast, select(Region).order_by(Region.id))
    assert regions == [{"customers": found, "newest": found[2]}, {"customers": [], "newest": None}]


# how often a statement reads a table, as the database itself plans it


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


def _on_postgresql(rows: list[Any], table: str) -> int:
    return sum(node.get("Relation Name") == table for node in _nodes(rows[0][0][0]["Plan"]))


def _on_sqlite(rows: list[Any], table: str) -> int:
    return sum(row[3].startswith((f"SCAN {table}", f"SEARCH {table}")) for row in rows)


def _on_mariadb(rows: list[Any], table: str) -> int:
    return sum(row[2] is not None and row[2].startswith(table) for row in rows)


EXPLAIN: dict[str, tuple[str, Callable[[list[Any], str], int]]] = {
    "postgresql": ("EXPLAIN (FORMAT JSON) ", _on_postgresql),
    "sqlite": ("EXPLAIN QUERY PLAN ", _on_sqlite),
    "mariadb": ("EXPLAIN ", _on_mariadb),
}


def scans(db: Database, shape: Any, strategy: str, table: str) -> int:
    """Return how often the plan of a read of every root reads a table."""
    statement = select(shape.__shape__().model).execution_options(hermetic_strategy=strategy)
    plan, values = db._autocommit.plans.plan(shape.__shape__(), statement, "plan")
    explain, count_in = EXPLAIN[db.engine.dialect.name]
    with db.engine.connect() as connection:
        sql, parameters = plan.root.bind(values)
        return count_in(list(connection.exec_driver_sql(explain + sql, parameters)), table)


class Together(Shape[Payer]):
    purchases: list[PurchaseLine]
    top: Annotated[list[PurchaseLine], many(Payer.purchases, order_by=Purchase.total.desc(), limit=3)]
    number: Annotated[int, count(Payer.purchases)]
    total: Annotated[Decimal, aggregate.sum(Payer.purchases, Purchase.total)]
    last: Annotated[datetime.date | None, aggregate.max(Payer.purchases, Purchase.day)]


class RegionTogether(Shape[Region]):
    customers: list[Together]


@pytest.mark.parametrize("shape", [Together, RegionTogether])
def test_set_based_read_finds_the_rows_of_lists_and_aggregates_once(ledger: Database, shape: Any) -> None:
    requires.needs(ledger, "kept CTEs")
    assert scans(ledger, shape, "set_based", "ledger_purchase") == 1


class Listed(Shape[Payer]):
    number: Annotated[int, count(Payer.purchases)]
    purchases: list[PurchaseLine]
    total: Annotated[Decimal, aggregate.sum(Payer.purchases, Purchase.total)]
    last: Annotated[datetime.date | None, aggregate.max(Payer.purchases, Purchase.day)]


class First(Shape[Payer]):
    top: Annotated[list[PurchaseLine], many(Payer.purchases, order_by=Purchase.total.desc(), limit=2)]
    number: Annotated[int, count(Payer.purchases)]
    mean: Annotated[Decimal | None, aggregate.avg(Payer.purchases, Purchase.total)]


class Values(Shape[Payer]):
    number: Annotated[int, count(Payer.purchases)]
    has: Annotated[bool, aggregate.exists(Payer.purchases)]
    took: Annotated[datetime.timedelta | None, aggregate.min(Payer.purchases, Purchase.took)]


class RegionListed(Shape[Region]):
    customers: list[Listed]
    number: Annotated[int, count(Region.customers)]


class RegionFirst(Shape[Region]):
    customers: list[First]


class RegionValues(Shape[Region]):
    has: Annotated[bool, aggregate.exists(Region.customers)]
    customers: list[Values]


@pytest.mark.parametrize("shape", [Listed, First, Values, RegionListed, RegionFirst, RegionValues])
def test_correlated_read_finds_the_rows_of_a_list_and_of_aggregates_once(ledger: Database, shape: Any) -> None:
    assert scans(ledger, shape, "correlated", "ledger_purchase") == 1


def test_list_and_aggregates_of_one_scan_are_right_for_every_parent(ledger: Database) -> None:
    customers = select(Payer).order_by(Payer.id)
    listed, first, values = (read(ledger, shape, customers) for shape in (Listed, First, Values))
    lines = [{"id": 1}, {"id": 2}, {"id": 3}]
    assert listed[0] == {"number": 3, "purchases": lines, "total": Decimal("1.50"), "last": datetime.date(2030, 1, 3)}
    assert listed[2] == {"number": 0, "purchases": [], "total": Decimal(0), "last": None}
    assert first[0] == {"top": [{"id": 3}, {"id": 2}], "number": 3, "mean": Decimal("0.5")}
    assert first[2] == {"top": [], "number": 0, "mean": None}
    assert values[0] == {"number": 3, "has": True, "took": datetime.timedelta(days=1, microseconds=1)}
    regions = select(Region).order_by(Region.id)
    assert read(ledger, RegionListed, regions)[0] == {"customers": listed, "number": 3}
    assert read(ledger, RegionFirst, regions)[0] == {"customers": first}
    assert read(ledger, RegionValues, regions) == [{"has": True, "customers": values}, {"has": False, "customers": []}]
