"""The story that `python -m recordshop` tells: one screen read in three ways, one order, three mistakes."""

import statistics
import textwrap
import time
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import joinedload, selectinload

from hermetic import AsyncDatabase, AsyncRepository, HermeticError, Shape
from recordshop.models import Album, Customer, Invoice, InvoiceLine, Track
from recordshop.shapes import AlbumName, InvoiceCard, InvoiceItem
from recordshop.usecases import Item, place_order

ROUNDS = 7
WIDTH = 96

Screen = Sequence[Invoice] | Sequence[InvoiceCard]
Way = Callable[[AsyncDatabase], Awaitable[list[str]]]


async def tell(db: AsyncDatabase) -> None:
    """Print the whole story; it adds one invoice to the shop."""
    await compare(db)
    await sell(db)
    await stumble(db)


# one screen of invoices, in three ways


def newest() -> Select[Invoice]:
    return select(Invoice).order_by(Invoice.invoice_date.desc(), Invoice.id.desc()).limit(20)


def written(screen: Screen) -> list[str]:
    """Return a text for each line; entities and shapes are read by the same code."""
    return [
        f"{invoice.id} {invoice.customer.last_name}: {line.quantity} {line.track.name}, {_album(line.track.album)}"
        for invoice in screen
        for line in invoice.lines
    ]


def _album(album: Album | AlbumName | None) -> str:
    return f"{album.title} by {album.artist.name}" if album else "single"


async def naive(db: AsyncDatabase) -> list[str]:
    """Plain SQLAlchemy, each relationship loaded when it is touched."""
    async with AsyncSession(db.engine) as session:
        return await session.run_sync(lambda plain: written(plain.scalars(newest()).all()))


async def eager(db: AsyncDatabase) -> list[str]:
    """Plain SQLAlchemy as the guide says: selectinload for the collection, joinedload for what is to-one."""
    lines = selectinload(Invoice.lines).joinedload(InvoiceLine.track).joinedload(Track.album).joinedload(Album.artist)
    async with AsyncSession(db.engine) as session:
        invoices = await session.scalars(newest().options(joinedload(Invoice.customer), lines))
        return written(invoices.all())


async def shaped(db: AsyncDatabase) -> list[str]:
    return written(await db.all(InvoiceCard, newest()))


async def compare(db: AsyncDatabase) -> None:
    """Count the statements of each way in one run, then time the ways in turn, and print what was measured."""
    ways: dict[str, Way] = {
        "naive   lazy relationships in a loop": naive,
        "guide   selectinload, joinedload": eager,
        "shape   db.all(InvoiceCard, ...)": shaped,
    }
    statements: dict[str, int] = {}
    texts: list[list[str]] = []
    for name, way in ways.items():
        with db.recorded() as sent:
            texts.append(await way(db))
        statements[name] = len(sent)
    assert texts[0] == texts[1] == texts[2]
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            began = time.perf_counter()
            await way(db)
            seconds[name].append(time.perf_counter() - began)

    head(f"20 invoices with customers, {len(texts[0])} lines, tracks, albums and artists")
    say(f"{'':42}{'statements':>12}{'ms':>10}")
    for name in ways:
        say(f"{name:42}{statements[name]:>12}{statistics.median(seconds[name]) * 1000:>10.1f}")
    say(f"Median of {ROUNDS} runs, measured now; the same loop over the same rows, from entities and from shapes.")


# one order


async def sell(db: AsyncDatabase) -> None:
    """Place an order through the use case, and show what it became."""
    customer = await db.one(select(Customer.id).order_by(Customer.id).limit(1))
    first, second = await db.all(select(Track.id).order_by(Track.id).limit(2))
    with db.recorded() as sent:
        invoice_id = await db.run(place_order, customer, [Item(first), Item(second, quantity=2)])
    card = await db.get_one(InvoiceCard, invoice_id)

    head(f"await db.run(place_order, {customer}, [Item({first}), Item({second}, quantity=2)])")
    buyer = f"{card.customer.first_name} {card.customer.last_name}, {card.country}"
    say(f"invoice {card.id}   {card.invoice_date:%Y-%m-%d %H:%M} UTC   {buyer}   {len(sent)} statements, 1 transaction")
    for line in card.lines:
        say(f"{line.quantity:>4} x {line.unit_price}   {line.track.name}, {_album(line.track.album)}")
    say(f"{card.total:>11}   in all")


# three mistakes


async def stumble(db: AsyncDatabase) -> None:
    """Do three things that must not work, and print what their authors read."""

    class Hasty(AsyncRepository[Invoice]):
        async def pay(self) -> None:
            await self._uow.session.commit()

    async with db.begin() as uow:
        invoice = await uow.one(newest().limit(1))
        try:
            _ = invoice.lines
        except HermeticError as error:
            show("touching what nobody loaded: invoice.lines", error)
        try:
            await Hasty(uow).pay()
        except HermeticError as error:
            show("committing in a repository: self._uow.session.commit()", error)
    try:

        class Wrong(Shape[Invoice]):  # pyright: ignore[reportUnusedClass]
            total: float
            totl: Decimal
            lines: InvoiceItem

    except HermeticError as error:
        show("a wrong shape, when it is defined: total: float, totl: Decimal, lines: InvoiceItem", error)


# typography


def head(text: str) -> None:
    print(f"\n{text}\n")


def say(text: str) -> None:
    print(f"  {text}")


def show(title: str, error: HermeticError) -> None:
    head(title)
    for line in str(error).splitlines():
        margin = " " * (len(line) - len(line.lstrip()))
        say(textwrap.fill(line, WIDTH, subsequent_indent=f"  {margin}     ", break_on_hyphens=False))
