"""What each shape of the record shop must hold, built from plain SQLAlchemy objects: no line of hermetic takes part."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from recordshop import shapes
from recordshop.models import (
    Album,
    Artist,
    Customer,
    Employee,
    Invoice,
    InvoiceLine,
    Playlist,
    Track,
)

Facts = dict[str, Any]


def artist_name(artist: Artist) -> Facts:
    return {"id": artist.id, "name": artist.name}


def album_name(album: Album) -> Facts:
    return {"id": album.id, "title": album.title, "artist": artist_name(album.artist)}


def track_on_invoice(track: Track) -> Facts:
    return {"id": track.id, "name": track.name, "album": track.album and album_name(track.album)}


def invoice_item(line: InvoiceLine) -> Facts:
    return {"quantity": line.quantity, "unit_price": line.unit_price, "track": track_on_invoice(line.track)}


def customer_name(customer: Customer) -> Facts:
    return {"id": customer.id, "first_name": customer.first_name, "last_name": customer.last_name}


def invoice_card(invoice: Invoice) -> Facts:
    return {
        "id": invoice.id,
        "invoice_date": invoice.invoice_date,
        "country": invoice.billing_country,
        "total": invoice.total,
        "customer": customer_name(invoice.customer),
        "lines": [invoice_item(line) for line in sorted(invoice.lines, key=lambda line: line.id)],
    }


def track_row(track: Track) -> Facts:
    return {
        "id": track.id,
        "name": track.name,
        "composer": track.composer,
        "milliseconds": track.milliseconds,
        "unit_price": track.unit_price,
        "genre": track.genre and track.genre.name,
        "media_type": track.media_type.name,
    }


def album_card(album: Album) -> Facts:
    tracks = sorted(album.tracks, key=lambda track: track.id)
    return album_name(album) | {"tracks": [track_row(track) for track in tracks]}


def album_row(album: Album) -> Facts:
    return {"id": album.id, "title": album.title, "track_count": len(album.tracks)}


def artist_card(artist: Artist) -> Facts:
    albums = sorted(artist.albums, key=lambda album: (album.title, album.id))
    return artist_name(artist) | {"albums": [album_row(album) for album in albums]}


def playlist_card(playlist: Playlist) -> Facts:
    longest = sorted(playlist.tracks, key=lambda track: (-track.milliseconds, track.id))[:10]
    return {
        "id": playlist.id,
        "name": playlist.name,
        "track_count": len(playlist.tracks),
        "longest": [track_row(track) for track in longest],
    }


def invoice_row(invoice: Invoice) -> Facts:
    return {"id": invoice.id, "invoice_date": invoice.invoice_date, "total": invoice.total}


def customer_card(customer: Customer) -> Facts:
    latest = sorted(customer.invoices, key=lambda invoice: (-invoice.invoice_date.timestamp(), invoice.id))[:3]
    return {
        "id": customer.id,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "country": customer.country,
        "support_rep": customer.support_rep and customer.support_rep.last_name,
        "invoice_count": len(customer.invoices),
        "large_invoice_count": sum(invoice.total >= Decimal(10) for invoice in customer.invoices),
        "latest": [invoice_row(invoice) for invoice in latest],
    }


def billing_address(customer: Customer) -> Facts:
    return {name: getattr(customer, name) for name in ("address", "city", "state", "country", "postal_code")}


def employee_node(employee: Employee, levels: int = 3) -> Facts:
    reports = sorted(employee.reports, key=lambda report: report.id)
    return {
        "id": employee.id,
        "first_name": employee.first_name,
        "last_name": employee.last_name,
        "title": employee.title,
        "hire_date": employee.hire_date,
        "customer_count": len(employee.customers),
        "reports": [employee_node(report, levels - 1) for report in reports] if levels else None,
    }


_track_facts = (joinedload(Track.genre), joinedload(Track.media_type))

ORACLE: dict[type[Any], tuple[type[Any], Callable[[Any], Facts], tuple[Any, ...]]] = {
    shapes.ArtistName: (Artist, artist_name, ()),
    shapes.AlbumName: (Album, album_name, (joinedload(Album.artist),)),
    shapes.TrackOnInvoice: (Track, track_on_invoice, (joinedload(Track.album).joinedload(Album.artist),)),
    shapes.InvoiceItem: (
        InvoiceLine,
        invoice_item,
        (joinedload(InvoiceLine.track).joinedload(Track.album).joinedload(Album.artist),),
    ),
    shapes.CustomerName: (Customer, customer_name, ()),
    shapes.InvoiceCard: (
        Invoice,
        invoice_card,
        (
            joinedload(Invoice.customer),
            selectinload(Invoice.lines).joinedload(InvoiceLine.track).joinedload(Track.album).joinedload(Album.artist),
        ),
    ),
    shapes.TrackRow: (Track, track_row, _track_facts),
    shapes.AlbumCard: (
        Album,
        album_card,
        (joinedload(Album.artist), selectinload(Album.tracks).options(*_track_facts)),
    ),
    shapes.AlbumRow: (Album, album_row, (selectinload(Album.tracks),)),
    shapes.ArtistCard: (Artist, artist_card, (selectinload(Artist.albums).selectinload(Album.tracks),)),
    shapes.PlaylistCard: (Playlist, playlist_card, (selectinload(Playlist.tracks).options(*_track_facts),)),
    shapes.InvoiceRow: (Invoice, invoice_row, ()),
    shapes.CustomerCard: (
        Customer,
        customer_card,
        (joinedload(Customer.support_rep), selectinload(Customer.invoices)),
    ),
    shapes.BillingAddress: (Customer, billing_address, ()),
    shapes.EmployeeNode: (Employee, employee_node, (selectinload(Employee.reports), selectinload(Employee.customers))),
}
"""Each shape: its model, the facts of one object, and how the objects are loaded."""


def expected(session: Session, shape: type[Any], *keys: int) -> list[Facts]:
    """Return the facts of all rows in the order of their keys, or of the rows with these keys in this order."""
    model, facts, options = ORACLE[shape]
    found = {entity.id: facts(entity) for entity in session.scalars(select(model).options(*options))}
    return [found[key] for key in keys or sorted(found)]
