"""The models of the database tests: the face of the design, and what its edges need."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated

from bases import own_base
from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, deferred, mapped_column, relationship

from hermetic import AsyncDatabase, Shape, count, many, path

Base = own_base()


class User(Base):
    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(30))
    fullname: Mapped[str | None]
    bio: Mapped[str | None] = deferred(mapped_column(Text))
    addresses: Mapped[list[Address]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True, order_by="Address.id"
    )


class Address(Base):
    __tablename__ = "address"
    id: Mapped[int] = mapped_column(primary_key=True)
    email_address: Mapped[str] = mapped_column(String(80))
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    user: Mapped[User] = relationship(back_populates="addresses")


class AddressLine(Shape[Address]):
    email_address: str
    owner: Annotated[str, path(Address.user, User.name)]


class UserCard(Shape[User]):
    id: int
    name: str
    fullname: str | None
    addresses: list[AddressLine]
    address_count: Annotated[int, count(User.addresses)]
    newest: Annotated[list[AddressLine], many(User.addresses, order_by=Address.id.desc(), limit=3)]


@dataclasses.dataclass(frozen=True)
class Places:
    """The URLs of one database, for the sync and the async driver."""

    sync: str
    asynchronous: str


PLACES: dict[str, tuple[str, str]] = {
    "psycopg": ("psycopg", "psycopg"),
    "asyncpg": ("psycopg", "asyncpg"),
    "sqlite": ("sqlite", "aiosqlite"),
}
NewDatabase = Callable[..., str]


async def opened(url: str) -> AsyncDatabase:
    """Return an async database with the tables of this module."""
    db = AsyncDatabase(url)
    await db.create_all(User)
    return db
