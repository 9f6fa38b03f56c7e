"""Where the SQL lives: one repository for each aggregate, one method for each question. None of them can commit."""

from collections.abc import Collection
from decimal import Decimal

from sqlalchemy import select

from hermetic import AsyncRepository
from recordshop.models import Employee, Invoice, Track
from recordshop.shapes import EmployeeNode, InvoiceCard


class Invoices(AsyncRepository[Invoice]):
    async def newest(self, limit: int = 20) -> list[InvoiceCard]:
        """Return one screen of invoices, the newest first."""
        return await self.all(
            InvoiceCard, select(Invoice).order_by(Invoice.invoice_date.desc(), Invoice.id.desc()).limit(limit)
        )


class Tracks(AsyncRepository[Track]):
    async def prices(self, track_ids: Collection[int]) -> dict[int, Decimal]:
        """Return the price of each of these tracks; a track that does not exist is not in it."""
        rows = await self.all(select(Track.id, Track.unit_price).where(Track.id.in_(track_ids)))
        return {track_id: price for track_id, price in rows}


class Employees(AsyncRepository[Employee]):
    async def chart(self) -> list[EmployeeNode]:
        """Return those who report to nobody, each with the people below."""
        return await self.all(EmployeeNode, select(Employee).where(Employee.reports_to.is_(None)).order_by(Employee.id))
