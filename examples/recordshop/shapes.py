"""What the shop shows. Each shape is checked against its model here, at import, and read in one statement."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from hermetic import Shape, count, many, path
from recordshop.models import Album, Artist, Customer, Employee, Genre, Invoice, InvoiceLine, MediaType, Playlist, Track

# one screen of invoices, five tables deep


class ArtistName(Shape[Artist]):
    id: int
    name: str | None


class AlbumName(Shape[Album]):
    id: int
    title: str
    artist: ArtistName


class TrackOnInvoice(Shape[Track]):
    id: int
    name: str
    album: AlbumName | None


class InvoiceItem(Shape[InvoiceLine]):
    quantity: int
    unit_price: Decimal
    track: TrackOnInvoice


class CustomerName(Shape[Customer]):
    id: int
    first_name: str
    last_name: str


class InvoiceCard(Shape[Invoice]):
    id: int
    invoice_date: datetime
    country: Annotated[str | None, path(Invoice.billing_country)]
    total: Decimal
    customer: CustomerName
    lines: list[InvoiceItem]


# the catalogue


class TrackRow(Shape[Track]):
    id: int
    name: str
    composer: str | None
    milliseconds: int
    unit_price: Decimal
    genre: Annotated[str | None, path(Track.genre, Genre.name)]
    media_type: Annotated[str | None, path(Track.media_type, MediaType.name)]


class AlbumCard(Shape[Album]):
    id: int
    title: str
    artist: ArtistName
    tracks: Annotated[list[TrackRow], many(Album.tracks, order_by=Track.id)]


class AlbumRow(Shape[Album]):
    id: int
    title: str
    track_count: Annotated[int, count(Album.tracks)]


class ArtistCard(Shape[Artist]):
    id: int
    name: str | None
    albums: Annotated[list[AlbumRow], many(Artist.albums, order_by=Album.title)]


class PlaylistCard(Shape[Playlist]):
    """A playlist and its longest tracks; the largest playlist has thousands, and a page shows ten."""

    id: int
    name: str | None
    track_count: Annotated[int, count(Playlist.tracks)]
    longest: Annotated[list[TrackRow], many(Playlist.tracks, order_by=Track.milliseconds.desc(), limit=10)]


# people


class InvoiceRow(Shape[Invoice]):
    id: int
    invoice_date: datetime
    total: Decimal


class CustomerCard(Shape[Customer]):
    id: int
    first_name: str
    last_name: str
    country: str | None
    support_rep: Annotated[str | None, path(Customer.support_rep, Employee.last_name)]
    invoice_count: Annotated[int, count(Customer.invoices)]
    large_invoice_count: Annotated[int, count(Customer.invoices, where=Invoice.total >= Decimal(10))]
    latest: Annotated[list[InvoiceRow], many(Customer.invoices, order_by=Invoice.invoice_date.desc(), limit=3)]


class BillingAddress(Shape[Customer]):
    """What an order copies from its customer."""

    address: str | None
    city: str | None
    state: str | None
    country: str | None
    postal_code: str | None


class EmployeeNode(Shape[Employee]):
    """An employee, and who reports to them, three levels down; below that, `reports` is None: not read."""

    id: int
    first_name: str
    last_name: str
    title: str | None
    hire_date: datetime | None
    customer_count: Annotated[int, count(Employee.customers)]
    reports: Annotated[list[EmployeeNode] | None, many(Employee.reports, order_by=Employee.id, depth=3)] = None
