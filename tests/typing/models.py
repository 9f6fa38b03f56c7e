"""The models and shapes of the type tests; the face of the design, as a user would write it."""

from dataclasses import dataclass
from typing import Annotated, TypedDict

from pydantic import BaseModel
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from hermetic import Base, Shape, count, many, path, shape_of


class User(Base):
    __tablename__ = "user_account"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(30))
    fullname: Mapped[str | None]
    addresses: Mapped[list["Address"]] = relationship(
        back_populates="user", cascade="all, delete-orphan", passive_deletes=True
    )


class Address(Base):
    __tablename__ = "address"
    id: Mapped[int] = mapped_column(primary_key=True)
    email_address: Mapped[str]
    user_id: Mapped[int] = mapped_column(ForeignKey("user_account.id", ondelete="CASCADE"), index=True)
    user: Mapped["User"] = relationship(back_populates="addresses")


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


@dataclass(frozen=True)
class UserDTO:
    id: int
    addresses: list["AddressDict"]


class AddressDict(TypedDict):
    email_address: str


class UserModel(BaseModel):
    name: str


UserData = shape_of(User, UserDTO)
AddressData = shape_of(Address, AddressDict)
UserForm = shape_of(User, UserModel)


class AliceCard(Shape[User], tag="alice"):
    name: str


class BobCard(Shape[User], tag="bob"):
    id: int


AnyUser = shape_of(User, AliceCard, BobCard)
