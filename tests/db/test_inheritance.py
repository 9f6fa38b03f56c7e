"""Class hierarchies: each row is read by the shape of its class, in every strategy, and equals the entity."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any

import httpx
import msgspec
import pytest
from fastapi import FastAPI
from fleet import Arrival, Car, Departure, Depot, Event, Mark, Seat, SportsCar, Truck, Vehicle
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shapes_support import every_strategy, plain
from sqlalchemy import select, update
from sqlalchemy.orm import Session, aliased

from hermetic import AsyncDatabase, Database, Shape, ShapeError, ValueMismatch, many, path, shape_of

QUICK = settings(
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    database=None,
    suppress_health_check=list(HealthCheck),
    max_examples=12,
)


class SeatLine(Shape[Seat]):
    label: str


class BikeLine(Shape[Vehicle], tag="bike"):
    id: int
    name: str | None


class CarLine(Shape[Car], tag="car"):
    id: int
    doors: int
    garage_name: Annotated[str | None, path(Car.garage, Depot.name)]
    seats: list[SeatLine]


class TruckLine(Shape[Truck], tag="truck"):
    id: int
    load: int
    name: str | None


AnyVehicle = CarLine | BikeLine | TruckLine
VehicleCard = shape_of(Vehicle, CarLine, BikeLine, TruckLine)


class MarkLine(Shape[Mark]):
    text: str


class ArrivalLine(Shape[Arrival], tag="in"):
    at: int
    note: str | None
    vehicle: CarLine | BikeLine | TruckLine | None
    marks: list[MarkLine]


class DepartureLine(Shape[Departure], tag="out"):
    at: int
    reason: str | None


EventCard = shape_of(Event, ArrivalLine, DepartureLine)


class DepotCard(Shape[Depot]):
    name: str
    vehicles: list[CarLine | BikeLine | TruckLine]
    last: Annotated[list[ArrivalLine | DepartureLine], many(Depot.events, order_by=Event.at.desc(), limit=2)]


# the same of entities


def vehicle(entity: Any) -> Any:
    match entity:
        case None:
            return None
        case Car():
            garage = None if entity.garage is None else entity.garage.name
            seats = [{"label": each.label} for each in sorted(entity.seats, key=lambda each: each.id)]
            return {"id": entity.id, "doors": entity.doors, "garage_name": garage, "seats": seats}
        case Truck():
            return {"id": entity.id, "load": entity.load, "name": entity.name}
        case _:
            return {"id": entity.id, "name": entity.name}


def event(entity: Any) -> Any:
    if isinstance(entity, Departure):
        return {"at": entity.at, "reason": entity.reason}
    marks = [{"text": each.text} for each in sorted(entity.marks, key=lambda each: each.id)]
    return {"at": entity.at, "note": entity.note, "vehicle": vehicle(entity.vehicle), "marks": marks}


def depot(entity: Any) -> Any:
    last = sorted(entity.events, key=lambda each: (-each.at, each.id))[:2]
    vehicles = [vehicle(each) for each in sorted(entity.vehicles, key=lambda each: each.id)]
    return {"name": entity.name, "vehicles": vehicles, "last": [event(each) for each in last]}


@st.composite
def fleets(draw: st.DrawFn) -> list[Any]:
    """Draw depots with their vehicles and events; ids are set, so that order is known."""
    depots = [Depot(id=k, name=f"d{k}") for k in range(1, draw(st.integers(1, 3)) + 1)]
    some, made, seat = st.none() | st.sampled_from(depots), [], 0
    for k in range(1, draw(st.integers(0, 6)) + 1):
        name, home = draw(st.none() | st.just(f"v{k}")), draw(some)
        kind = draw(st.sampled_from([Vehicle, Car, SportsCar, Truck]))
        values: dict[str, Any] = {"id": k, "name": name, "depot": home}
        if issubclass(kind, Car):
            seats = draw(st.integers(0, 2))
            values |= {
                "doors": k,
                "garage": draw(some),
                "seats": [Seat(id=seat + n, label=f"s{n}") for n in range(1, seats + 1)],
            }
            seat += seats
        values |= {"speed": k / 3} if kind is SportsCar else {"load": -k} if kind is Truck else {}
        made.append(kind(**values))
    events, mark = [], 0
    for k in range(1, draw(st.integers(0, 5)) + 1):
        values = {"id": k, "at": draw(st.integers(0, 2)), "depot": draw(st.sampled_from(depots))}
        if draw(st.booleans()):
            texts = draw(st.integers(0, 2))
            values["marks"] = [Mark(id=mark + n, text=f"m{n}") for n in range(1, texts + 1)]
            mark += texts
            events.append(
                Arrival(note="n", vehicle=draw(st.none() | st.sampled_from(made)) if made else None, **values)
            )
        else:
            events.append(Departure(reason=None, **values))
    return [*depots, *made, *events]


@pytest.fixture
def stock(db: Database) -> Iterator[tuple[Database, Session]]:
    with Session(db.engine) as session:
        yield db, session


def _replace(session: Session, rows: list[Any]) -> None:
    session.rollback()
    session.expunge_all()
    for table in (Mark, Event, Seat, SportsCar, Car, Truck, Vehicle, Depot):
        session.execute(table.__table__.delete())
    session.add_all(rows)
    session.commit()


@settings(QUICK)
@given(rows=fleets())
def test_each_row_is_read_by_the_shape_of_its_class_in_every_strategy(
    stock: tuple[Database, Session], rows: list[Any]
) -> None:
    db, session = stock
    _replace(session, rows)
    cases = [(DepotCard, Depot, depot), (VehicleCard, Vehicle, vehicle), (EventCard, Event, event)]
    for shape, model, walk in cases:
        expected = [walk(each) for each in session.scalars(select(model).order_by(model.id))]
        for entity in (model, aliased(model)):
            statement = select(entity).order_by(entity.id)
            for asked in [statement, statement.limit(50), *every_strategy(db, shape, statement)]:
                with db.recorded() as sent:
                    found = db.all(shape, asked)
                plan = db.plan(shape, asked)
                assert [plain(each) for each in found] == expected, plan.strategy
                assert len(sent) == plan.statements


def stocked(db: Database) -> Database:
    with db.begin() as uow:
        home = Depot(id=1, name="north")
        uow.add(home)
        uow.add(Car(id=1, doors=3, depot=home, seats=[Seat(label="left")]))
        uow.add(Truck(id=2, load=40, depot=home))
        uow.add(SportsCar(id=3, doors=2, speed=0.1))
        uow.add(Vehicle(id=4, name="bike"))
    return db


def test_the_root_is_one_statement_and_one_type_for_each_class(db: Database) -> None:
    with stocked(db).recorded() as sent:
        found = db.all(VehicleCard, select(Vehicle).order_by(Vehicle.id))
    assert [type(each) for each in found] == [CarLine, TruckLine, CarLine, BikeLine]
    assert len(sent) == 1
    assert db.get(VehicleCard, 2) == TruckLine(id=2, load=40, name=None)
    page = db.page(VehicleCard, select(Vehicle).order_by(Vehicle.name), limit=2)
    assert len(page.items) == 2


def test_the_shape_of_one_class_reads_the_rows_of_that_class(db: Database) -> None:
    with stocked(db).begin() as uow:
        uow.add(Arrival(at=1, depot_id=1))
        uow.add(Departure(at=2, depot_id=1))
    assert [each.at for each in db.all(DepartureLine, select(Departure))] == [2]
    assert [each.id for each in db.all(CarLine, select(Car).order_by(Car.id))] == [1, 3]
    assert [each.at for each in db.all(shape_of(Arrival, ArrivalLine), select(Arrival))] == [1]


def test_json_says_the_kind_and_is_read_back(db: Database) -> None:
    found = stocked(db).all(VehicleCard, select(Vehicle).order_by(Vehicle.id))
    body = db.json(VehicleCard, select(Vehicle).order_by(Vehicle.id))
    assert body == msgspec.json.encode(found)
    assert body.startswith(b'[{"type":"car","id":1')
    assert msgspec.json.decode(body, type=list[CarLine | BikeLine | TruckLine]) == found


def test_a_row_of_an_unknown_class_is_a_mismatch(db: Database) -> None:
    with stocked(db).begin() as uow:
        uow.add(Departure(id=1, at=2, depot_id=1))
    with Session(db.engine) as session:
        session.execute(update(Event.__table__).values(kind="lost"))
        session.commit()
    for shape, statement in ((EventCard, select(Event)), (DepotCard, select(Depot))):
        for asked in [statement, *every_strategy(db, shape, statement)]:
            with pytest.raises(ValueMismatch, match="a row of Event is of a kind that no class of the model has"):
                db.all(shape, asked)


def test_the_async_shell_reads_the_same(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            await db.create_all(Vehicle)
            async with db.begin() as uow:
                home = Depot(id=1, name="north")
                uow.add(Car(id=1, doors=3, depot=home))
                uow.add(Truck(id=2, load=40, depot=home))
            found = await db.one(DepotCard, select(Depot))
            assert [type(each) for each in found.vehicles] == [CarLine, TruckLine]
            assert len(await db.all(VehicleCard, select(Vehicle))) == 2

    asyncio.run(main())


def test_fastapi_documents_one_of_the_classes_and_sends_its_kind(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            await db.create_all(Vehicle)
            async with db.begin() as uow:
                uow.add(Truck(id=1, load=40, depot=Depot(id=1, name="north")))
            app = FastAPI()

            @app.get("/depots")
            async def depots() -> list[DepotCard]:
                return await db.all(DepotCard, select(Depot))

            @app.get("/vehicles")
            async def vehicles() -> list[Annotated[CarLine | BikeLine | TruckLine, VehicleCard]]:
                return await db.all(VehicleCard, select(Vehicle))

            @app.get("/plain")
            async def plain_union() -> list[CarLine | BikeLine | TruckLine]:
                return await db.all(VehicleCard, select(Vehicle))

            client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://app")
            truck = {"type": "truck", "id": 1, "load": 40, "name": None}
            assert (await client.get("/vehicles")).json() == (await client.get("/plain")).json() == [truck]
            assert (await client.get("/depots")).json() == [{"name": "north", "vehicles": [truck], "last": []}]
            api = (await client.get("/openapi.json")).json()
            await client.aclose()
        kinds = {name: f"#/components/schemas/{name.title()}Line" for name in ("car", "bike", "truck")}
        documented = {
            "oneOf": [{"$ref": each} for each in kinds.values()],
            "discriminator": {"propertyName": "type", "mapping": kinds},
        }
        schemas = api["components"]["schemas"]
        assert schemas["DepotCard"]["properties"]["vehicles"]["items"] == documented
        assert schemas["TruckLine"]["properties"]["type"]["const"] == "truck"
        body = api["paths"]["/vehicles"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert body["items"] == documented

    asyncio.run(main())


# refused


def test_a_class_that_no_member_reads_is_refused_with_the_shape_to_write() -> None:
    with pytest.raises(ShapeError) as refused:
        shape_of(Vehicle, CarLine, TruckLine)
    assert [str(each) for each in refused.value.problems] == [
        "CarLine | TruckLine  no member reads the rows of Vehicle\n"
        "  fix: class VehicleLine(Shape[Vehicle], tag='bike'): id: int"
    ]


def test_a_member_of_the_base_class_reads_the_rest(db: Database) -> None:
    class EventLine(Shape[Event], tag="event"):
        at: int

    read = shape_of(Event, ArrivalLine, EventLine)
    with stocked(db).begin() as uow:
        uow.add(Departure(id=1, at=2, depot_id=1))
    with Session(db.engine) as session:
        session.execute(update(Event.__table__).values(kind="lost"))
        session.commit()
    for asked in [select(Event), *every_strategy(db, read, select(Event))]:
        assert db.all(read, asked) == [EventLine(at=2)]


class Fast(Shape[SportsCar], tag="fast"):
    speed: float


class Untagged(Shape[Truck]):
    load: int


class Again(Shape[Car], tag="again"):
    doors: int


@pytest.mark.parametrize(
    ("members", "text"),
    [
        (
            (CarLine, BikeLine, Untagged),
            "the JSON of Untagged does not say its kind\n  fix: class Untagged(Shape[Truck]",
        ),
        ((CarLine, BikeLine, Again, TruckLine), "2 members read the rows of Car: CarLine, Again\n  fix: delete Again"),
        (
            (CarLine, Fast),
            "no member reads the rows of Truck\n  fix: class TruckLine(Shape[Truck], tag='truck'): id: int\n"
            "       or class VehicleLine(Shape[Vehicle], tag='bike'): id: int  # for every row that no",
        ),
        ((CarLine, SeatLine), "SeatLine is no shape of Vehicle or of a class below it"),
        ((CarLine, int), "int is no shape of Vehicle or of a class below it"),
    ],
)
def test_a_union_that_cannot_be_told_apart_is_refused(members: tuple[Any, ...], text: str) -> None:
    with pytest.raises(ShapeError) as refused:
        shape_of(Vehicle, *members)
    assert text in "\n".join(str(each) for each in refused.value.problems)


def test_a_union_over_a_class_that_is_no_hierarchy_is_refused() -> None:
    class OtherSeat(Shape[Seat], tag="other"):
        id: int

    with pytest.raises(ShapeError, match="Seat is no class hierarchy"):
        shape_of(Seat, OtherSeat, SeatLine)
