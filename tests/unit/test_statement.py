"""What hermetic reads of a `Select` beyond SQLAlchemy's public names; a release that changes it fails here."""

from __future__ import annotations

import pytest
from sqlalchemy import JSON, Integer, Select, bindparam, desc, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hermetic.shape.statement import (
    cache_key,
    has_limit,
    is_distinct,
    is_distinct_on,
    is_grouped,
    locks_rows,
    order_of,
    variant,
    with_named_order,
)


class Plain(DeclarativeBase):
    pass


class Thing(Plain):
    __tablename__ = "thing"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def test_cache_key_is_equal_for_other_values_and_keeps_them() -> None:
    first, second = (cache_key(select(Thing).where(Thing.id == value).limit(value)) for value in (1, 2))
    assert first is not None and second is not None
    assert first.key == second.key
    assert [parameter.value for parameter in second.bindparams] == [2, 2]
    assert cache_key(select(Thing).where(Thing.name == bindparam("name"))) is not None


def test_grouping_distinct_limit_and_lock_are_told_apart() -> None:
    statements: list[Select[Thing]] = [
        select(Thing),
        select(Thing).group_by(Thing.id),
        select(Thing).having(Thing.id > 1),
        select(Thing).distinct(),
        select(Thing).limit(1),
        select(Thing).offset(1),
        select(Thing).with_for_update(),
    ]
    assert [is_grouped(each) for each in statements] == [False, True, True, False, False, False, False]
    assert [is_distinct(each) for each in statements] == [False, False, False, True, False, False, False]
    assert [has_limit(each) for each in statements] == [False, False, False, False, True, True, False]
    assert [locks_rows(each) for each in statements] == [False, False, False, False, False, False, True]


@pytest.mark.filterwarnings("ignore:Passing expression to")
def test_distinct_on_is_told_in_both_its_forms() -> None:
    forms = [
        select(Thing).distinct(),
        select(Thing).ext(distinct_on(Thing.name)),
        select(Thing).distinct(Thing.name),
        select(Thing).where(Thing.id.in_(select(Thing.id).ext(distinct_on(Thing.name)))).distinct(),
    ]
    assert [is_distinct_on(each) for each in forms] == [False, True, True, False]


def test_order_is_read_and_its_names_become_columns() -> None:
    assert order_of(select(Thing)) == ()
    named = with_named_order(select(Thing).order_by("name", desc("id")), Thing)
    assert [str(clause) for clause in order_of(named)] == ["thing.name", "thing.id DESC"]
    untouched = select(Thing).order_by(Thing.name)
    assert with_named_order(untouched, Thing) is untouched


def test_the_variant_of_a_type_is_found() -> None:
    kind = postgresql.ARRAY(Integer).with_variant(JSON(), "sqlite")
    assert variant(kind, postgresql.dialect()) is kind
    assert isinstance(variant(kind, sqlite.dialect()), JSON)
