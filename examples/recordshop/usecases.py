"""What the shop does: a use case is a function of a unit of work. It decides; whoever opened the unit commits."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from hermetic import AsyncUnitOfWork
from recordshop.models import Invoice, InvoiceLine
from recordshop.repositories import Invoices, Tracks
from recordshop.shapes import BillingAddress


class OrderRefused(Exception):
    """The shop does not take this order; nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Item:
    """A track and how many of it."""

    track_id: int
    quantity: int = 1


async def place_order(uow: AsyncUnitOfWork, customer_id: int, items: Sequence[Item]) -> int:
    """Sell the items at the prices of this moment and return the number of the invoice.

    Raises:
        OrderRefused: there is no item, a quantity below 1, an unknown track or an unknown customer.
    Statements: 2 SELECT and 2 INSERT for any number of items; on SQLite 1 INSERT for each item.
    """
    if not items:
        raise OrderRefused("an order needs at least one item")
    if any(item.quantity < 1 for item in items):
        raise OrderRefused("the quantity of an item is 1 or more")
    customer = await uow.get(BillingAddress, customer_id)
    if customer is None:
        raise OrderRefused(f"there is no customer {customer_id}")
    prices = await Tracks(uow).prices({item.track_id for item in items})
    unknown = sorted({item.track_id for item in items} - prices.keys())
    if unknown:
        raise OrderRefused(f"there is no track {', '.join(map(str, unknown))}")

    lines = [InvoiceLine(track_id=i.track_id, quantity=i.quantity, unit_price=prices[i.track_id]) for i in items]
    invoice = Invoice(
        customer_id=customer_id,
        invoice_date=datetime.now(UTC),
        billing_address=customer.address,
        billing_city=customer.city,
        billing_state=customer.state,
        billing_country=customer.country,
        billing_postal_code=customer.postal_code,
        total=sum(line.unit_price * line.quantity for line in lines),
        lines=lines,
    )
    Invoices(uow).add(invoice)
    await uow.flush()
    return invoice.id
