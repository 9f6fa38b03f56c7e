"""Two hierarchies: vehicles with a table for each class, events in one table; with collections on either side."""

from __future__ import annotations

import enum

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from shop import Base


class Kind(enum.Enum):
    CAR = "car"
    SPORTS = "sports"
    TRUCK = "truck"
    BIKE = "bike"


class Depot(Base):
    __tablename__ = "depot"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    vehicles: Mapped[list[Vehicle]] = relationship(back_populates="depot", passive_deletes=True)
    events: Mapped[list[Event]] = relationship(back_populates="depot", passive_deletes="all")


class Vehicle(Base):
    __tablename__ = "vehicle"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": Kind.BIKE}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[Kind]
    name: Mapped[str | None] = mapped_column(String(40))
    depot_id: Mapped[int | None] = mapped_column(ForeignKey("depot.id", ondelete="CASCADE"), index=True)
    depot: Mapped[Depot | None] = relationship(back_populates="vehicles")


class Car(Vehicle):
    __tablename__ = "car"
    __mapper_args__ = {"polymorphic_identity": Kind.CAR}  # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True)
    doors: Mapped[int]
    garage_id: Mapped[int | None] = mapped_column(ForeignKey("depot.id", ondelete="SET NULL"), index=True)
    garage: Mapped[Depot | None] = relationship(foreign_keys=[garage_id])
    seats: Mapped[list[Seat]] = relationship(back_populates="car", passive_deletes="all")


class SportsCar(Car):
    __tablename__ = "sports_car"
    __mapper_args__ = {"polymorphic_identity": Kind.SPORTS}  # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("car.id", ondelete="CASCADE"), primary_key=True)
    speed: Mapped[float]


class Truck(Vehicle):
    __tablename__ = "truck"
    __mapper_args__ = {"polymorphic_identity": Kind.TRUCK}  # noqa: RUF012
    id: Mapped[int] = mapped_column(ForeignKey("vehicle.id", ondelete="CASCADE"), primary_key=True)
    load: Mapped[int]


class Seat(Base):
    __tablename__ = "seat"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(String(40))
    car_id: Mapped[int] = mapped_column(ForeignKey("car.id", ondelete="CASCADE"), index=True)
    car: Mapped[Car] = relationship(back_populates="seats")


class Event(Base):
    __tablename__ = "event"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_abstract": True}  # noqa: RUF012
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(10))
    at: Mapped[int]
    depot_id: Mapped[int] = mapped_column(ForeignKey("depot.id", ondelete="CASCADE"), index=True)
    depot: Mapped[Depot] = relationship(back_populates="events")


class Arrival(Event):
    __mapper_args__ = {"polymorphic_identity": "in"}  # noqa: RUF012
    note: Mapped[str | None] = mapped_column(String(40))
    vehicle_id: Mapped[int | None] = mapped_column(ForeignKey("vehicle.id", ondelete="SET NULL"), index=True)
    vehicle: Mapped[Vehicle | None] = relationship()
    marks: Mapped[list[Mark]] = relationship(back_populates="arrival", passive_deletes="all")


class Departure(Event):
    __mapper_args__ = {"polymorphic_identity": "out"}  # noqa: RUF012
    reason: Mapped[str | None] = mapped_column(String(40))


class Mark(Base):
    __tablename__ = "mark"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(40))
    arrival_id: Mapped[int] = mapped_column(ForeignKey("event.id", ondelete="CASCADE"), index=True)
    arrival: Mapped[Arrival] = relationship(back_populates="marks")
