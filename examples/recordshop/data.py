"""The rows of the shop: generated in Chinook's size, or read from a real Chinook file."""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import cycle, islice
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import inspect

from hermetic import Base
from recordshop.models import (
    Album,
    Artist,
    Customer,
    Employee,
    Genre,
    Invoice,
    InvoiceLine,
    MediaType,
    Playlist,
    PlaylistTrack,
    Track,
)

Row = dict[str, Any]
Rows = dict[type[Base], list[Row]]

MODELS: tuple[type[Base], ...] = (
    Artist,
    Album,
    Genre,
    MediaType,
    Track,
    Playlist,
    PlaylistTrack,
    Employee,
    Customer,
    Invoice,
    InvoiceLine,
)
"""Each after those it refers to."""


class NotChinook(Exception):
    """The file is not a Chinook database."""


# a real Chinook file


def load_chinook(path: Path) -> Rows:
    """Return the rows of a Chinook SQLite file: snake_case names, instants in UTC, money to the cent.

    Raises:
        NotChinook: there is no such file, or it holds something else.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
            file.row_factory = sqlite3.Row
            return {model: [_row(model, row) for row in _table(file, model)] for model in MODELS}
    except (sqlite3.Error, KeyError) as error:
        raise NotChinook(f"{path} is not a Chinook SQLite file ({error})") from error


def _table(file: sqlite3.Connection, model: type[Base]) -> Iterator[sqlite3.Row]:
    yield from file.execute(f"SELECT * FROM {model.__name__} ORDER BY 1, 2")  # the models have Chinook's own names


def _row(model: type[Base], row: sqlite3.Row) -> Row:
    columns = inspect(model).columns
    named = {_name(model, name): row[name] for name in row.keys()}  # a Row iterates its values
    return {name: _value(columns[name].type.python_type, value) for name, value in named.items()}


def _name(model: type[Base], chinook: str) -> str:
    if chinook == f"{model.__name__}Id":
        return "id"
    return {"Bytes": "size_bytes"}.get(chinook) or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", chinook).lower()


def _value(kind: type, stored: Any) -> Any:
    if stored is None:
        return None
    if kind is datetime:
        return datetime.fromisoformat(stored).replace(tzinfo=UTC)
    if kind is Decimal:  # SQLite keeps 0.99 as a float, whose shortest text is what was written
        return Decimal(str(stored)).quantize(Decimal("0.01"))
    return stored


# a generated one: the same rows in every run, in Chinook's numbers

ARTISTS, ALBUMS, TRACKS, CUSTOMERS, INVOICES = 275, 347, 3503, 59, 412
ITEMS = (2, 4, 6, 9, 14, 1, 2)  # lines of an invoice, in turn
ENTRIES = (3290, 0, 213, 0, 1477, 0, 0, 3290, 1, 213, 39, 75, 25, 25, 25, 15, 26, 1)  # tracks of each playlist
MANAGERS = (None, 1, 2, 2, 2, 1, 6, 6)  # of each employee

GENRES = (
    *("Rock", "Jazz", "Metal", "Alternative", "Blues", "Latin", "Reggae", "Pop", "Soundtrack", "Bossa Nova"),
    *("Electronica", "Heavy Metal", "Soul", "World", "Hip Hop", "Science Fiction", "Television", "Drama", "Comedy"),
    *("Classical", "Opera", "Folk", "Funk", "Gospel", "Easy Listening"),
)
MEDIA = ("MPEG audio", "AAC audio", "MPEG-4 video", "FLAC audio", "Vorbis audio")
TITLES = (
    *("General Manager", "Sales Manager", "Sales Agent", "Sales Agent", "Sales Agent"),
    *("IT Manager", "IT Staff", "IT Staff"),
)
FIRST = ("Ada", "Bela", "Chidi", "Dana", "Emre", "Freya", "Goro", "Hana", "Ines", "Jonas", "Kofi", "Lúcia", "Nils")
LAST = ("Almeida", "Brandt", "Costa", "Dvořák", "Eriksen", "Fischer", "García", "Horváth", "Ito", "Jensen", "Köhler")
COUNTRIES = ("Brazil", "Canada", "Czechia", "France", "Germany", "Hungary", "India", "Japan", "Norway", "Portugal")
ADJECTIVES = ("Amber", "Broken", "Crimson", "Distant", "Electric", "Frozen", "Golden", "Hollow", "Silent", "Wandering")
NOUNS = ("Bridges", "Comets", "Engines", "Gardens", "Harbours", "Lanterns", "Mirrors", "Rivers", "Shadows", "Tigers")
PLACES = ("at Dawn", "in Berlin", "in the Rain", "of Autumn", "of Glass", "on Fire", "over Water", "under Ice")
BILLED = ("address", "city", "state", "country", "postal_code")
START = datetime(2021, 1, 1, tzinfo=UTC)


def generate() -> Rows:
    """Return the rows of a shop that nobody has: as many as Chinook has, the same in every run."""
    random = Random(1)
    albums = sorted([*range(1, ALBUMS + 1), *(random.randint(1, ALBUMS) for _ in range(TRACKS - ALBUMS))])
    tracks = [_track(random, number, album) for number, album in enumerate(albums, 1)]
    customers = [_customer(random, number) for number in range(1, CUSTOMERS + 1)]
    invoices, lines = _sales(random, customers, tracks)
    return {
        Artist: [{"id": n, "name": f"The {_name_of(random)}"} for n in range(1, ARTISTS + 1)],
        Album: [_album(random, n) for n in range(1, ALBUMS + 1)],
        Genre: [{"id": n, "name": name} for n, name in enumerate(GENRES, 1)],
        MediaType: [{"id": n, "name": name} for n, name in enumerate(MEDIA, 1)],
        Track: tracks,
        Playlist: [{"id": n, "name": f"{random.choice(ADJECTIVES)} Mix {n}"} for n in range(1, len(ENTRIES) + 1)],
        PlaylistTrack: [
            {"playlist_id": playlist, "track_id": track}
            for playlist, size in enumerate(ENTRIES, 1)
            for track in sorted(random.sample(range(1, TRACKS + 1), size))
        ],
        Employee: [_employee(random, n, manager) for n, manager in enumerate(MANAGERS, 1)],
        Customer: customers,
        Invoice: invoices,
        InvoiceLine: lines,
    }


def _name_of(random: Random) -> str:
    return f"{random.choice(ADJECTIVES)} {random.choice(NOUNS)}"


def _album(random: Random, number: int) -> Row:
    artist = number if number <= ARTISTS else random.randint(1, ARTISTS)
    return {"id": number, "title": f"{random.choice(NOUNS)} {random.choice(PLACES)}", "artist_id": artist}


def _track(random: Random, number: int, album: int) -> Row:
    milliseconds = random.randint(90_000, 600_000)
    return {
        "id": number,
        "name": f"{_name_of(random)} {random.choice(PLACES)}",
        "album_id": album,
        "media_type_id": random.randint(1, len(MEDIA)),
        "genre_id": random.randint(1, len(GENRES)),
        "composer": random.choice((None, f"{random.choice(FIRST)} {random.choice(LAST)}")),
        "milliseconds": milliseconds,
        "size_bytes": milliseconds * 32,
        "unit_price": random.choice((Decimal("0.99"), Decimal("0.99"), Decimal("1.99"))),
    }


def _person(random: Random, number: int) -> Row:
    first, last = random.choice(FIRST), random.choice(LAST)
    return {
        "id": number,
        "first_name": first,
        "last_name": last,
        "email": f"{first}.{last}.{number}@example.com".lower(),
        "address": f"{random.randint(1, 200)} {random.choice(NOUNS)} Street",
        "city": random.choice(NOUNS),
        "state": None,
        "country": random.choice(COUNTRIES),
        "postal_code": f"{random.randint(1, 99_999):05}",
        "phone": f"+{random.randint(10**9, 10**10)}",
        "fax": None,
    }


def _employee(random: Random, number: int, manager: int | None) -> Row:
    return _person(random, number) | {
        "title": TITLES[number - 1],
        "birth_date": datetime(1960 + 4 * number, number, 10, tzinfo=UTC),
        "hire_date": START - timedelta(days=400 * number),
        "reports_to": manager,
    }


def _customer(random: Random, number: int) -> Row:
    return _person(random, number) | {"company": None, "support_rep_id": random.randint(3, 5)}


def _sales(random: Random, customers: Sequence[Row], tracks: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    invoices: list[Row] = []
    lines: list[Row] = []
    for number, size in enumerate(islice(cycle(ITEMS), INVOICES), 1):
        customer = random.choice(customers)
        bought = random.sample(tracks, size)
        invoices.append(
            {
                "id": number,
                "customer_id": customer["id"],
                "invoice_date": START + timedelta(days=number * 4, minutes=random.randint(540, 1080)),
                **{f"billing_{name}": customer[name] for name in BILLED},
                "total": sum(track["unit_price"] for track in bought),
            }
        )
        lines += [
            {"id": id_, "invoice_id": number, "track_id": track["id"], "unit_price": track["unit_price"], "quantity": 1}
            for id_, track in enumerate(bought, len(lines) + 1)
        ]
    return invoices, lines
