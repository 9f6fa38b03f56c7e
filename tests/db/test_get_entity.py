"""`get` of an entity: the same as `Session.get`, for every kind of key and mapping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from bases import own_base
from sqlalchemy import ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from hermetic import AsyncDatabase, AsyncUnitOfWork, Database, NotFound, NotLoaded, UnitOfWork

Base = own_base()


class Warehouse(Base):
    __tablename__ = "warehouse"
    country: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    city: Mapped[str]


class Hull(Base):
    __tablename__ = "hull"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    holds: Mapped[list[Hold]] = relationship(back_populates="hull", lazy="joined", passive_deletes="all")
    crews: Mapped[list[Crew]] = relationship(back_populates="hull", passive_deletes="all")
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_on": "kind", "polymorphic_identity": "hull"}


class Ferry(Hull):
    __tablename__ = "ferry"
    id: Mapped[int] = mapped_column(ForeignKey("hull.id"), primary_key=True)
    decks: Mapped[int]
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "ferry"}


class Hold(Base):
    __tablename__ = "hold"
    id: Mapped[int] = mapped_column(primary_key=True)
    hull_id: Mapped[int] = mapped_column(ForeignKey("hull.id", ondelete="CASCADE"), index=True)
    hull: Mapped[Hull] = relationship(back_populates="holds")


class Crew(Base):
    __tablename__ = "crew"
    id: Mapped[int] = mapped_column(primary_key=True)
    hull_id: Mapped[int] = mapped_column(ForeignKey("hull.id", ondelete="CASCADE"), index=True)
    hull: Mapped[Hull] = relationship(back_populates="crews")


@pytest.fixture
def harbour(db: Database) -> Database:
    db.create_all(Base)
    with db.begin() as uow:
        uow.add_all([Warehouse(country="cz", number=1, city="Brno"), Warehouse(country="cz", number=2, city="Zlín")])
        uow.add_all([Hull(id=1, kind="hull"), Ferry(id=2, decks=3)])
        uow.flush()
        uow.add_all([Hold(id=1, hull_id=2), Hold(id=2, hull_id=2), Crew(id=1, hull_id=1)])
    return db


def _described(entity: Any) -> Any:
    if entity is None:
        return None
    values = {name: value for name, value in vars(entity).items() if not name.startswith("_") and name != "holds"}
    return type(entity).__name__, values, [hold.id for hold in vars(entity).get("holds", ())]


KEYS: list[tuple[type[Any], Any]] = [
    (Warehouse, ("cz", 2)),
    (Warehouse, ("cz", 3)),
    (Warehouse, {"country": "cz", "number": 1}),
    (Hull, 1),
    (Hull, (1,)),
    (Hull, 2),
    (Ferry, 2),
    (Ferry, 1),
    (Hold, 2),
    (Hold, 99),
    (Hold, [2]),
    (Warehouse, ["cz", 2]),
]


def test_it_finds_what_the_session_finds(harbour: Database) -> None:
    for model, key in KEYS:
        with Session(harbour.engine) as session:
            expected = _described(session.get(model, key))
        with harbour.begin() as uow, harbour.recorded() as statements:
            first = uow.get(model, key)
            second = uow.get(model, key)
        assert _described(first) == expected, (model, key)
        assert first is second
        assert len(statements) == (1 if first is not None else 2)


def test_a_row_of_keys_is_a_key(harbour: Database) -> None:
    with harbour.begin() as uow:
        for model, columns in ((Hold, [Hold.id]), (Warehouse, [Warehouse.country, Warehouse.number])):
            row = uow.session.execute(select(*columns).order_by(*columns)).first()
            assert isinstance(uow.get(model, row), model)


def test_it_finds_what_is_here_already(harbour: Database) -> None:
    with harbour.begin() as uow:
        ferry = uow.one(select(Ferry))
        with harbour.recorded() as statements:
            assert uow.get(Hull, 2) is ferry
            assert uow.get(Ferry, 2) is ferry
        assert statements == []


def test_what_was_deleted_is_not_found(harbour: Database) -> None:
    with harbour.begin() as uow:
        depot = uow.get_one(Warehouse, ("cz", 1))
        uow.delete(depot)
        assert uow.get(Warehouse, ("cz", 1)) is None
        with pytest.raises(NotFound):
            uow.get_one(Warehouse, ("cz", 1))


def test_each_place_that_gets_an_entity_is_told_as_its_own(harbour: Database) -> None:
    def here(uow: UnitOfWork) -> Hull:
        return uow.get_one(Hull, 1)

    def there(uow: UnitOfWork) -> Hull:
        return uow.get_one(Hull, 1)

    ways: list[Callable[[UnitOfWork], Hull]] = [here, there, here]
    for way in ways:
        with harbour.begin() as uow, pytest.raises(NotLoaded) as caught:
            _ = way(uow).crews
        assert f"in {way.__name__}" in str(caught.value)


def test_the_async_twin(async_url: str) -> None:
    async def run() -> None:
        async with AsyncDatabase(async_url) as db:
            await db.create_all(Base)

            async def fill(uow: AsyncUnitOfWork) -> None:
                uow.add(Warehouse(country="cz", number=1, city="Brno"))

            await db.run(fill)
            async with db.begin() as uow:
                assert (await uow.get_one(Warehouse, ("cz", 1))).city == "Brno"
                assert await uow.get(Warehouse, ("cz", 2)) is None

    asyncio.run(run())
