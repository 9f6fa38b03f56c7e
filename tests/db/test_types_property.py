"""Random values of each type come back as plain SQLAlchemy reads them, on every path and driver."""

from __future__ import annotations

import asyncio
import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
import requires
from hostile import HOSTILE
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Date,
    DateTime,
    Double,
    Interval,
    LargeBinary,
    Numeric,
    Text,
    Time,
    Uuid,
)

from hermetic import AsyncDatabase, Database
from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval
from hermetic.testing.conformance import Case, check_types, check_types_async

QUICK = settings(
    deadline=None,
    phases=[Phase.generate],  # the report names the value; shrinking would make tables for an hour
    database=None,
    suppress_health_check=list(HealthCheck),
    max_examples=20,
    print_blob=False,
)
FIRST = datetime.datetime(1, 1, 2)  # noqa: DTZ001  # naive: these columns have no zone
LAST = datetime.datetime(9999, 12, 30)  # noqa: DTZ001
ZONES = st.integers(-1439, 1439).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes)))
SPANS = st.timedeltas(datetime.timedelta(days=-100_000), datetime.timedelta(days=100_000))
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)
DATES = st.dates(FIRST.date(), LAST.date())
FINITE = st.floats(allow_nan=False, allow_infinity=False)
DOCUMENTS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def kinds(dialect: str) -> list[tuple[str, Any, Any, st.SearchStrategy[Any]]]:
    floats = st.floats(
        allow_nan=requires.has(dialect, "nan"), allow_infinity=requires.has(dialect, "infinity"), allow_subnormal=True
    )
    common: list[tuple[str, Any, Any, st.SearchStrategy[Any]]] = [
        ("bigint", BigInteger(), int, st.integers(-(2**63), 2**63 - 1)),
        ("text", Text(), str, TEXTS),
        ("double", Double(), float, floats),
        ("decimal", ExactDecimal(18, 4), Decimal, st.decimals(-(10**13), 10**13, places=4)),
        ("bytes", LargeBinary(), bytes, st.binary(max_size=200)),
        ("uuid", Uuid(), uuid.UUID, st.uuids(version=4)),
        ("date", Date(), datetime.date, DATES),
        ("time", Time(), datetime.time, st.times()),
        ("datetime", DateTime(), datetime.datetime, st.datetimes(FIRST, LAST)),
        ("instant", AwareDateTime(), datetime.datetime, st.datetimes(FIRST, LAST, timezones=ZONES)),
        ("duration", ExactInterval(), datetime.timedelta, SPANS),
        ("interval", Interval(), datetime.timedelta, SPANS),
        ("json", JSON(), Any, DOCUMENTS),
    ]
    if not requires.has(dialect, "arrays"):
        return common
    return [
        *common,
        ("numeric", Numeric(), Decimal, st.decimals(allow_infinity=False, allow_nan=False)),
        ("double[]", ARRAY(Double()), list[float | None], st.lists(st.none() | floats, max_size=4)),
        ("date[]", ARRAY(Date()), list[datetime.date | None], st.lists(st.none() | DATES, max_size=4)),
        ("bytea[]", ARRAY(LargeBinary()), list[bytes], st.lists(st.binary(max_size=9), max_size=4)),
    ]


def drawn(data: Any, dialect: str) -> list[Case]:
    name, kind, annotation, values = data.draw(st.sampled_from(kinds(dialect)))
    return [Case(name, kind, annotation, data.draw(st.lists(values, min_size=1, max_size=25)))]


@pytest.mark.timeout(180)
@settings(QUICK)
@given(data=st.data())
def test_random_values_come_back(db: Database, data: Any) -> None:
    name = db.engine.dialect.name
    report = check_types(db, drawn(data, name), settings=HOSTILE[name])
    assert not report.faults, report
    assert {verdict for _, *verdicts in report.rows() for verdict in verdicts} == {"exact"}


@pytest.mark.timeout(180)
@settings(QUICK)
@given(data=st.data())
def test_random_values_come_back_async(async_url: str, data: Any) -> None:
    async def run() -> Any:
        async with AsyncDatabase(async_url) as db:
            name = db.engine.dialect.name
            return await check_types_async(db, drawn(data, name), settings=HOSTILE[name])

    report = asyncio.run(run())
    assert not report.faults, report
    assert {verdict for _, *verdicts in report.rows() for verdict in verdicts} == {"exact"}
