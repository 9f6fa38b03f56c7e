"""The eleven tables of Chinook, typed: what is stored, and nothing about how it is read."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import ForeignKey, MetaData, Numeric, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from hermetic import Base

Id = Annotated[int, mapped_column(primary_key=True)]
Money = Annotated[Decimal, mapped_column(Numeric(10, 2))]
Name = Annotated[str, mapped_column(String(120))]

# `passive_deletes="all"`: a row that others refer to is not deleted, and the database is the one to say so.


class ShopBase(Base):
    """The tables of the shop, apart from those of any other models in the same process."""

    __abstract__ = True
    metadata = MetaData(naming_convention=Base.metadata.naming_convention)


class Artist(ShopBase):
    __tablename__ = "artist"

    id: Mapped[Id]
    name: Mapped[Name | None]

    albums: Mapped[list["Album"]] = relationship(back_populates="artist", passive_deletes="all")


class Album(ShopBase):
    __tablename__ = "album"

    id: Mapped[Id]
    title: Mapped[str] = mapped_column(String(160))
    artist_id: Mapped[int] = mapped_column(ForeignKey("artist.id"), index=True)

    artist: Mapped["Artist"] = relationship(back_populates="albums")
    tracks: Mapped[list["Track"]] = relationship(back_populates="album", passive_deletes="all")


class Genre(ShopBase):
    __tablename__ = "genre"

    id: Mapped[Id]
    name: Mapped[Name | None]

    tracks: Mapped[list["Track"]] = relationship(back_populates="genre", passive_deletes="all")


class MediaType(ShopBase):
    __tablename__ = "media_type"

    id: Mapped[Id]
    name: Mapped[Name | None]

    tracks: Mapped[list["Track"]] = relationship(back_populates="media_type", passive_deletes="all")


class Track(ShopBase):
    __tablename__ = "track"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(200))
    album_id: Mapped[int | None] = mapped_column(ForeignKey("album.id"), index=True)
    media_type_id: Mapped[int] = mapped_column(ForeignKey("media_type.id"), index=True)
    genre_id: Mapped[int | None] = mapped_column(ForeignKey("genre.id"), index=True)
    composer: Mapped[str | None] = mapped_column(String(220))
    milliseconds: Mapped[int]
    size_bytes: Mapped[int | None]
    unit_price: Mapped[Money]

    album: Mapped["Album | None"] = relationship(back_populates="tracks")
    media_type: Mapped["MediaType"] = relationship(back_populates="tracks")
    genre: Mapped["Genre | None"] = relationship(back_populates="tracks")
    playlists: Mapped[list["Playlist"]] = relationship(back_populates="tracks", secondary="playlist_track")
    invoice_lines: Mapped[list["InvoiceLine"]] = relationship(back_populates="track", passive_deletes="all")


class Playlist(ShopBase):
    __tablename__ = "playlist"

    id: Mapped[Id]
    name: Mapped[Name | None]

    tracks: Mapped[list["Track"]] = relationship(back_populates="playlists", secondary="playlist_track")


class PlaylistTrack(ShopBase):
    """Which track is in which playlist; `Playlist.tracks` and `Track.playlists` go through it."""

    __tablename__ = "playlist_track"

    playlist_id: Mapped[int] = mapped_column(ForeignKey("playlist.id", ondelete="CASCADE"), primary_key=True)
    track_id: Mapped[int] = mapped_column(ForeignKey("track.id", ondelete="CASCADE"), primary_key=True, index=True)


class Contact:
    """Where a person is reached; customers and employees have the same columns."""

    address: Mapped[str | None] = mapped_column(String(70))
    city: Mapped[str | None] = mapped_column(String(40))
    state: Mapped[str | None] = mapped_column(String(40))
    country: Mapped[str | None] = mapped_column(String(40))
    postal_code: Mapped[str | None] = mapped_column(String(10))
    phone: Mapped[str | None] = mapped_column(String(24))
    fax: Mapped[str | None] = mapped_column(String(24))


class Employee(Contact, ShopBase):
    __tablename__ = "employee"

    id: Mapped[Id]
    last_name: Mapped[str] = mapped_column(String(20))
    first_name: Mapped[str] = mapped_column(String(20))
    title: Mapped[str | None] = mapped_column(String(30))
    email: Mapped[str | None] = mapped_column(String(60))
    birth_date: Mapped[datetime | None]
    hire_date: Mapped[datetime | None]
    reports_to: Mapped[int | None] = mapped_column(ForeignKey("employee.id"), index=True)

    manager: Mapped["Employee | None"] = relationship(back_populates="reports", remote_side="Employee.id")
    reports: Mapped[list["Employee"]] = relationship(back_populates="manager", passive_deletes="all")
    customers: Mapped[list["Customer"]] = relationship(back_populates="support_rep", passive_deletes="all")


class Customer(Contact, ShopBase):
    __tablename__ = "customer"

    id: Mapped[Id]
    first_name: Mapped[str] = mapped_column(String(40))
    last_name: Mapped[str] = mapped_column(String(20))
    company: Mapped[str | None] = mapped_column(String(80))
    email: Mapped[str] = mapped_column(String(60))
    support_rep_id: Mapped[int | None] = mapped_column(ForeignKey("employee.id"), index=True)

    support_rep: Mapped["Employee | None"] = relationship(back_populates="customers")
    invoices: Mapped[list["Invoice"]] = relationship(back_populates="customer", passive_deletes="all")


class Invoice(ShopBase):
    __tablename__ = "invoice"

    id: Mapped[Id]
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"), index=True)
    invoice_date: Mapped[datetime] = mapped_column(index=True)
    billing_address: Mapped[str | None] = mapped_column(String(70))
    billing_city: Mapped[str | None] = mapped_column(String(40))
    billing_state: Mapped[str | None] = mapped_column(String(40))
    billing_country: Mapped[str | None] = mapped_column(String(40))
    billing_postal_code: Mapped[str | None] = mapped_column(String(10))
    total: Mapped[Money]

    customer: Mapped["Customer"] = relationship(back_populates="invoices")
    lines: Mapped[list["InvoiceLine"]] = relationship(
        back_populates="invoice", cascade="all, delete-orphan", passive_deletes=True, order_by="InvoiceLine.id"
    )


class InvoiceLine(ShopBase):
    __tablename__ = "invoice_line"

    id: Mapped[Id]
    invoice_id: Mapped[int] = mapped_column(ForeignKey("invoice.id", ondelete="CASCADE"), index=True)
    track_id: Mapped[int] = mapped_column(ForeignKey("track.id"), index=True)
    unit_price: Mapped[Money]
    quantity: Mapped[int]

    invoice: Mapped["Invoice"] = relationship(back_populates="lines")
    track: Mapped["Track"] = relationship(back_populates="invoice_lines")
