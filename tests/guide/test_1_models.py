"""Section 1: the annotation decides the column, the conventions decide the rest, and a wrong model is refused."""

from __future__ import annotations

import datetime
import functools
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, NewType

import pytest
from observatory import SUBARU, Band, Instrument, LegacyBase, LegacyTelescope, Mount, Observation, Telescope
from shells import only_sqlite, only_sync, reflected
from sqlalchemy import BigInteger, Column, DateTime, Enum, ForeignKey, MetaData, String, func, insert, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship
from sqlalchemy.schema import CreateTable

from hermetic import Base, ModelError, Shape, ShapeError, lint_models
from hermetic.model import InexactDecimal, Json, NaiveDateTime

Slug = NewType("Slug", str)
Code = Annotated[str, 8]
Length = NewType("Length", Decimal)
JST = datetime.timezone(datetime.timedelta(hours=9))

VALUES: dict[str, Any] = {
    "pixels": 2**40,
    "price": Decimal("1234567.80"),
    "first_light": datetime.datetime(1999, 1, 28, 18, 30, 0, 123456, tzinfo=JST),
    "exposure": datetime.timedelta(hours=30, microseconds=1),
    "band": Band.INFRARED,
    "mount": Mount("alt-azimuth", 2),
    "serial": uuid.UUID("12345678-1234-5678-1234-567812345678"),
    "note": None,
}


class InstrumentCard(Shape[Instrument]):
    pixels: int
    price: Decimal
    first_light: datetime.datetime
    exposure: datetime.timedelta
    band: Band
    mount: Mount
    serial: uuid.UUID
    note: str | None


class LibraryBase(Base):
    """A project's own base."""

    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Almanac(LibraryBase):
    __tablename__ = "almanac"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(unique=True)
    printed_at: Mapped[datetime.datetime]
    succeeds_id: Mapped[int | None] = mapped_column(ForeignKey("almanac.id"), index=True)


def ddl(model: type[Any]) -> list[str]:
    """Return the lines of the CREATE TABLE that PostgreSQL would get."""
    lines = str(CreateTable(model.__table__).compile(dialect=postgresql.dialect())).splitlines()
    return [line.strip().removesuffix(",").strip() for line in lines]


def refusals(define: Callable[[], object]) -> dict[str, str]:
    """Return what a definition is refused for: the line to paste for each place."""
    with pytest.raises(ModelError) as refused:
        define()
    return {each.where: each.fix for each in refused.value.problems}


# the annotation decides the column


@only_sync
@pytest.mark.parametrize(
    ("table", "column", "nullable"),
    [
        ("telescope", "id", False),
        ("telescope", "name", False),
        ("telescope", "nickname", True),
        ("observation", "target", False),
        ("instrument", "note", True),
    ],
)
async def test_only_an_optional_annotation_admits_null(db: Any, table: str, column: str, nullable: bool) -> None:
    assert (await reflected(db, table))[column]["nullable"] is nullable


async def test_the_server_refuses_null_where_the_annotation_does(db: Any) -> None:
    with pytest.raises(IntegrityError):
        async with db.engine.begin() as connection:
            await connection.execute(insert(Telescope).values(name=None))


@only_sync
async def test_a_bare_annotation_is_a_whole_column(db: Any) -> None:
    found = (await reflected(db, "observation"))["target"]
    # MariaDB has no VARCHAR without a length
    assert (str(found["type"]).removesuffix("(255)"), found["nullable"]) == ("VARCHAR", False)


@only_sync
@pytest.mark.parametrize(("column", "expected"), [("name", "VARCHAR(40)"), ("nickname", "VARCHAR")])
async def test_mapped_column_adds_only_the_length(db: Any, column: str, expected: str) -> None:
    assert str((await reflected(db, "telescope"))[column]["type"]).removesuffix("(255)") == expected


def test_a_column_that_admits_null_behind_a_type_without_none_is_refused() -> None:
    def define() -> object:
        class Eyepiece(LibraryBase):
            __tablename__ = "eyepiece"
            id: Mapped[int] = mapped_column(primary_key=True)
            maker: Mapped[str] = mapped_column(String(40), nullable=True)

        return Eyepiece

    assert refusals(define) == {"Eyepiece.maker": "maker: Mapped[str | None] = mapped_column(String(40))"}


def test_a_not_null_column_behind_an_optional_type_is_refused() -> None:
    def define() -> object:
        class Eyepiece(LibraryBase):
            __tablename__ = "eyepiece"
            id: Mapped[int] = mapped_column(primary_key=True)
            maker: Mapped[str | None] = mapped_column(nullable=False)

        return Eyepiece

    assert refusals(define) == {"Eyepiece.maker": "maker: Mapped[str]"}


async def test_a_loaded_attribute_has_the_annotated_type(db: Any) -> None:
    async with db.begin() as uow:
        subaru = await uow.get_one(Telescope, SUBARU)
    assert (type(subaru.name), type(subaru.nickname)) == (str, str)


def test_a_1x_style_column_still_works() -> None:
    class Ledger(LibraryBase):
        __tablename__ = "ledger"
        id = Column(BigInteger, primary_key=True)
        title = Column(String(30), nullable=False)

    assert "title VARCHAR(30) NOT NULL" in ddl(Ledger)


# the conventions decide the rest


@only_sync
@pytest.mark.parametrize(
    ("column", "postgresql", "mariadb", "sqlite"),
    [
        ("id", "BIGINT", "BIGINT", "INTEGER"),
        ("pixels", "BIGINT", "BIGINT", "INTEGER"),
        ("price", "NUMERIC(12, 2)", "DECIMAL(12, 2)", "BIGINT"),
        ("first_light", "TIMESTAMP", "DATETIME", "DATETIME"),
        ("exposure", "INTERVAL", "BIGINT", "BIGINT"),
        ("band", "VARCHAR(64)", "VARCHAR(64)", "VARCHAR(64)"),
        ("mount", "JSONB", "LONGTEXT", "JSON"),
        ("serial", "UUID", "UUID", "CHAR(32)"),
        ("note", "VARCHAR(200)", "VARCHAR(200)", "VARCHAR(200)"),
    ],
)
async def test_the_server_has_the_type_of_the_convention(
    db: Any, shell: Any, column: str, postgresql: str, mariadb: str, sqlite: str
) -> None:
    expected = {"postgresql": postgresql, "mariadb": mariadb, "sqlite": sqlite}
    assert str((await reflected(db, "instrument"))[column]["type"]) == expected[shell.dialect]


def test_datetime_is_timestamp_with_time_zone() -> None:
    assert "first_light TIMESTAMP WITH TIME ZONE NOT NULL" in ddl(Instrument)


def test_a_column_of_time_without_zone_is_refused() -> None:
    def define() -> object:
        class Exposure(LibraryBase):
            __tablename__ = "exposure"
            id: Mapped[int] = mapped_column(primary_key=True)
            began_at: Mapped[datetime.datetime] = mapped_column(DateTime())

        return Exposure

    assert refusals(define) == {"Exposure.began_at": "began_at: Mapped[datetime.datetime]"}


def test_a_decimal_without_precision_is_refused() -> None:
    def define() -> object:
        class Exposure(LibraryBase):
            __tablename__ = "exposure"
            id: Mapped[int] = mapped_column(primary_key=True)
            cost: Mapped[Decimal]

        return Exposure

    assert refusals(define)["Exposure.cost"].endswith("Decimal] = mapped_column(Numeric(12, 2))")


def test_an_enum_stored_by_the_names_of_its_members_is_refused() -> None:
    def define() -> object:
        class Exposure(LibraryBase):
            __tablename__ = "exposure"
            id: Mapped[int] = mapped_column(primary_key=True)
            band: Mapped[Band] = mapped_column(Enum(Band))

        return Exposure

    assert refusals(define) == {"Exposure.band": "band: Mapped[Band]"}


@pytest.mark.parametrize(
    ("kind", "value", "factory"),
    [
        (list[str], [], "list"),
        (datetime.datetime, datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), "lambda: datetime.datetime.now"),
        (uuid.UUID, uuid.UUID(int=1), "uuid.uuid4"),
    ],
    ids=["shared by all rows", "the time of the import", "the id of the import"],
)
def test_a_default_that_was_made_at_import_is_refused(kind: Any, value: Any, factory: str) -> None:
    def define() -> object:
        annotations = {"id": Mapped[int], "it": Mapped[kind]}
        body = {"id": mapped_column(primary_key=True), "it": mapped_column(default=value)}
        if kind == list[str]:
            body["it"] = mapped_column(Json(list[str]), default=value)
        return type("Dated", (LibraryBase,), {"__tablename__": "dated", "__annotations__": annotations, **body})

    assert f"default={factory}" in refusals(define)["Dated.it"]


def test_a_time_that_the_server_sets_on_update_is_refused_because_reading_it_back_is_another_statement() -> None:
    def define() -> object:
        class Exposure(LibraryBase):
            __tablename__ = "exposure"
            id: Mapped[int] = mapped_column(primary_key=True)
            changed_at: Mapped[datetime.datetime] = mapped_column(onupdate=func.now())

        return Exposure

    assert "onupdate=lambda: datetime.datetime.now(datetime.UTC)" in refusals(define)["Exposure.changed_at"]


def test_a_foreign_key_without_index_is_refused() -> None:
    def define() -> object:
        class Loan(LibraryBase):
            __tablename__ = "loan"
            id: Mapped[int] = mapped_column(primary_key=True)
            almanac_id: Mapped[int] = mapped_column(ForeignKey("almanac.id"))

        return Loan

    line = 'almanac_id: Mapped[int] = mapped_column(ForeignKey("almanac.id"), index=True)'
    assert refusals(define) == {"Loan.almanac_id": line}


@pytest.mark.parametrize("way", ["dynamic", "noload"])
def test_a_relationship_that_loads_behind_ones_back_or_never_is_refused(way: Any) -> None:
    def define() -> object:
        class Shelf(LibraryBase):
            __tablename__ = "shelf"
            id: Mapped[int] = mapped_column(primary_key=True)
            almanacs: Mapped[list[Almanac]] = relationship(lazy=way, viewonly=True)

        return Shelf

    assert refusals(define) == {"Shelf.almanacs": "almanacs: Mapped[list[Almanac]] = relationship(viewonly=True)"}


def test_a_cascade_that_loads_every_child_before_it_deletes_is_refused() -> None:
    def define() -> object:
        class Cupboard(LibraryBase):
            __tablename__ = "cupboard"
            id: Mapped[int] = mapped_column(primary_key=True)
            almanacs: Mapped[list[Almanac]] = relationship(cascade="all, delete-orphan")

        return Cupboard

    assert "passive_deletes=True" in refusals(define)["Cupboard.almanacs"]


def test_all_problems_of_a_model_are_in_one_error_and_the_corrected_model_is_accepted() -> None:
    def define() -> object:
        class Exposure(LibraryBase):
            __tablename__ = "exposure"
            id: Mapped[int] = mapped_column(primary_key=True)
            began_at: Mapped[datetime.datetime] = mapped_column(DateTime())
            target: Mapped[str] = mapped_column(nullable=True)

        return Exposure

    assert list(refusals(define)) == ["Exposure.began_at", "Exposure.target"]

    class Exposure(LibraryBase):
        __tablename__ = "exposure"
        id: Mapped[int] = mapped_column(primary_key=True)
        began_at: Mapped[datetime.datetime]
        target: Mapped[str | None]

    assert "began_at TIMESTAMP WITH TIME ZONE NOT NULL" in ddl(Exposure)


@only_sqlite
async def test_an_int_key_is_the_rowid_of_sqlite(db: Any) -> None:
    async with db.begin() as uow:
        telescope = Telescope(name="Arecibo")
        uow.add(telescope)
    assert telescope.id == await db.one(
        select(text("rowid")).select_from(Telescope).where(Telescope.id == telescope.id)
    )


async def test_every_type_comes_back_exactly_in_an_entity(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(Instrument(**VALUES))
    async with db.begin() as uow:
        found = await uow.one(select(Instrument))
    assert {name: getattr(found, name) for name in VALUES} == VALUES


async def test_every_type_comes_back_exactly_in_a_shape(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(Instrument(**VALUES))
    assert await db.one(InstrumentCard, select(Instrument)) == InstrumentCard(**VALUES)


async def test_an_instant_comes_back_in_utc(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(Instrument(**VALUES))
    assert (await db.one(select(Instrument.first_light))).tzinfo is datetime.UTC


async def test_an_instant_is_compared_as_an_instant(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(Instrument(**VALUES))
    same = VALUES["first_light"].astimezone(datetime.timezone(datetime.timedelta(hours=-5)))
    assert await db.exists(select(Instrument).where(Instrument.first_light == same))


async def test_a_naive_datetime_is_refused_with_the_aware_call(db: Any) -> None:
    with pytest.raises(NaiveDateTime, match=r"datetime\.datetime\.now\(datetime\.UTC\)"):
        async with db.begin() as uow:
            uow.add(Instrument(**{**VALUES, "first_light": datetime.datetime(1999, 1, 28)}))  # noqa: DTZ001


async def test_a_decimal_that_does_not_fit_is_refused_and_not_rounded(db: Any) -> None:
    with pytest.raises(InexactDecimal, match=r"quantize"):
        async with db.begin() as uow:
            uow.add(Instrument(**{**VALUES, "price": Decimal("0.005")}))


async def test_an_enum_is_stored_by_its_value(db: Any) -> None:
    async with db.begin() as uow:
        uow.add(Instrument(**VALUES))
    async with db.engine.connect() as connection:
        assert (await connection.execute(text("SELECT band FROM instrument"))).scalar_one() == "K"


def test_constraints_have_names_that_a_migration_can_use() -> None:
    assert {line.split()[1] for line in ddl(Almanac) if line.startswith("CONSTRAINT")} == {
        "pk_almanac",
        "fk_almanac_succeeds_id_almanac",
        "uq_almanac_title",
    }


async def test_create_all_and_drop_all_make_and_remove_the_tables(db: Any) -> None:
    await db.create_all(LibraryBase)
    created = await reflected(db, "almanac")
    await db.drop_all(LibraryBase)
    assert {"title", "printed_at"} <= created.keys()


def test_a_base_of_ones_own_keeps_the_conventions() -> None:
    assert {"id BIGSERIAL NOT NULL", "printed_at TIMESTAMP WITH TIME ZONE NOT NULL"} <= set(ddl(Almanac))


# a project's own entries in the type map


@functools.cache
def with_own_entries() -> tuple[type[Any], type[Any], type[Any]]:
    """Return two models of a base with entries of its own, and one of a base on that base, which says one otherwise."""

    class ArchiveBase(Base):
        __abstract__ = True
        metadata = MetaData(naming_convention=Base.metadata.naming_convention)
        type_annotation_map = {Slug: String(50)}  # noqa: RUF012  # SQLAlchemy's name for it

    class CabinetBase(ArchiveBase):
        __abstract__ = True
        type_annotation_map = {Slug: String(20), Code: String(8)}  # noqa: RUF012

    class Plate(ArchiveBase):
        __tablename__ = "plate"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[Slug]
        old_slug: Mapped[Slug | None]
        taken_at: Mapped[datetime.datetime]
        label: Mapped[Slug] = mapped_column(String(5))

    class Chart(ArchiveBase):
        __tablename__ = "chart"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[Slug]

    class Drawer(CabinetBase):
        __tablename__ = "drawer"
        id: Mapped[int] = mapped_column(primary_key=True)
        slug: Mapped[Slug]
        code: Mapped[Code]

    return Plate, Chart, Drawer


def test_an_own_entry_decides_the_column_and_the_conventions_stay() -> None:
    plate, _, _ = with_own_entries()
    assert {
        "slug VARCHAR(50) NOT NULL",
        "old_slug VARCHAR(50)",
        "taken_at TIMESTAMP WITH TIME ZONE NOT NULL",
        "id BIGSERIAL NOT NULL",
    } <= set(ddl(plate))


def test_what_a_column_states_itself_comes_before_an_own_entry() -> None:
    plate, _, _ = with_own_entries()
    assert "label VARCHAR(5) NOT NULL" in ddl(plate)


def test_a_base_on_a_base_may_say_otherwise() -> None:
    _, chart, drawer = with_own_entries()
    assert "slug VARCHAR(50) NOT NULL" in ddl(chart)
    assert {"slug VARCHAR(20) NOT NULL", "code VARCHAR(8) NOT NULL"} <= set(ddl(drawer))


def test_models_on_a_plain_declarative_base_are_reported_and_not_refused() -> None:
    assert {each.where for each in lint_models(LegacyBase)} >= {"LegacyObservation.telescope_id"}


async def test_models_on_a_plain_declarative_base_work(db: Any) -> None:
    class LegacyCard(Shape[LegacyTelescope]):
        id: int
        name: str

    assert (await db.get(LegacyCard, SUBARU)).name == "Subaru"


def test_a_plain_base_without_problems_has_an_empty_report() -> None:
    class TidyBase(DeclarativeBase):
        pass

    class Tidy(TidyBase):
        __tablename__ = "tidy"
        id: Mapped[int] = mapped_column(primary_key=True)

    assert lint_models(TidyBase) == []


# the type travels on: a shape is held to its model


def test_a_shape_that_denies_null_is_refused_when_it_is_defined() -> None:
    with pytest.raises(ShapeError, match=r"nickname"):

        class Wrong(Shape[Telescope]):
            nickname: str


def test_a_shape_of_another_type_is_refused_when_it_is_defined() -> None:
    with pytest.raises(ShapeError, match=r"target"):

        class Wrong(Shape[Observation]):
            target: int


def test_all_problems_of_a_shape_are_in_one_error() -> None:
    with pytest.raises(ShapeError) as refused:

        class Wrong(Shape[Telescope]):
            id: str
            nickname: str
            nam: str

    assert [each.where for each in refused.value.problems] == ["Wrong.id", "Wrong.nickname", "Wrong.nam"]
