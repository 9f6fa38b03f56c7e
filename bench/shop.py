"""The schema of the graph benchmark: customers with ten orders each, three items an order, a product an item."""

import datetime
from decimal import Decimal

from sqlalchemy import ForeignKey, Numeric, String, insert
from sqlalchemy.orm import Mapped, mapped_column, relationship

from hermetic import AsyncDatabase, AsyncUnitOfWork, Base, Shape

CUSTOMERS = 2000
ORDERS = 10
ITEMS = 3
PRODUCTS = 5000


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    orders: Mapped[list["Order"]] = relationship(back_populates="customer", order_by="Order.id", passive_deletes="all")


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(String(10))
    placed: Mapped[datetime.datetime]
    customer: Mapped[Customer] = relationship(back_populates="orders")
    items: Mapped[list["Item"]] = relationship(back_populates="order", order_by="Item.id", passive_deletes="all")


class Item(Base):
    __tablename__ = "item"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[int] = mapped_column(ForeignKey("orders.id", ondelete="CASCADE"), index=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("product.id"), index=True)
    qty: Mapped[int]
    order: Mapped[Order] = relationship(back_populates="items")
    product: Mapped["Product"] = relationship()


class Product(Base):
    __tablename__ = "product"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40))
    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))


class ProductLine(Shape[Product]):
    id: int
    name: str
    price: Decimal


class ItemLine(Shape[Item]):
    id: int
    qty: int
    product: ProductLine


class OrderLine(Shape[Order]):
    id: int
    status: str
    placed: datetime.datetime
    items: list[ItemLine]


class CustomerCard(Shape[Customer]):
    id: int
    name: str
    orders: list[OrderLine]


async def fill(db: AsyncDatabase) -> None:
    """Create the tables and their rows."""
    await db.create_all(Base)

    async def rows(uow: AsyncUnitOfWork) -> None:
        day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
        send = uow.session.execute
        await send(
            insert(Product), [{"id": n, "name": f"product {n}", "price": Decimal(n) / 4} for n in range(PRODUCTS)]
        )
        await send(insert(Customer), [{"id": n, "name": f"customer {n}"} for n in range(CUSTOMERS)])
        orders = range(CUSTOMERS * ORDERS)
        await send(
            insert(Order),
            [
                {"id": n, "customer_id": n // ORDERS, "status": "sent", "placed": day + datetime.timedelta(minutes=n)}
                for n in orders
            ],
        )
        await send(
            insert(Item),
            [
                {"id": n, "order_id": n // ITEMS, "product_id": n * 7 % PRODUCTS, "qty": n % 5 + 1}
                for n in range(len(orders) * ITEMS)
            ],
        )

    await db.run(rows)
    async with db.engine.connect() as connection:
        await connection.exec_driver_sql("ANALYZE")
        await connection.commit()
