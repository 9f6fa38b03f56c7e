"""The routes. They know the protocol and nothing else: no SQL, no transaction, no serialisation."""

from typing import Annotated, TypeVar

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from hermetic import AsyncDatabase, AsyncUnitOfWork
from hermetic.web.fastapi import lifespan, reader, unit_of_work
from recordshop.repositories import Employees, Invoices
from recordshop.shapes import AlbumCard, ArtistCard, CustomerCard, EmployeeNode, InvoiceCard, PlaylistCard
from recordshop.usecases import Item, OrderRefused, place_order

Card = TypeVar("Card")
Key = Annotated[int, Field(ge=1, lt=2**63)]


class OrderedItem(BaseModel):
    track_id: Key
    quantity: Annotated[int, Field(ge=1, le=100)] = 1


class Order(BaseModel):
    customer_id: Key
    items: Annotated[list[OrderedItem], Field(min_length=1, max_length=100)]


def create_app(db: AsyncDatabase) -> FastAPI:
    """Return the application that serves the shop from `db`, and closes it at the end."""
    app = FastAPI(title="Record shop", lifespan=lifespan(db))
    begun, reading = unit_of_work(db), reader(db)

    @app.get("/invoices")
    async def newest_invoices(
        uow: Annotated[AsyncUnitOfWork, begun], limit: Annotated[int, Query(ge=1, le=100)] = 20
    ) -> list[InvoiceCard]:
        return await Invoices(uow).newest(limit)

    @app.get("/invoices/{invoice_id}")
    async def invoice(reads: Annotated[AsyncDatabase, reading], invoice_id: Key) -> InvoiceCard:
        return found(await reads.get(InvoiceCard, invoice_id))

    @app.get("/artists/{artist_id}")
    async def artist(reads: Annotated[AsyncDatabase, reading], artist_id: Key) -> ArtistCard:
        return found(await reads.get(ArtistCard, artist_id))

    @app.get("/albums/{album_id}")
    async def album(reads: Annotated[AsyncDatabase, reading], album_id: Key) -> AlbumCard:
        return found(await reads.get(AlbumCard, album_id))

    @app.get("/playlists/{playlist_id}")
    async def playlist(reads: Annotated[AsyncDatabase, reading], playlist_id: Key) -> PlaylistCard:
        return found(await reads.get(PlaylistCard, playlist_id))

    @app.get("/customers/{customer_id}")
    async def customer(reads: Annotated[AsyncDatabase, reading], customer_id: Key) -> CustomerCard:
        return found(await reads.get(CustomerCard, customer_id))

    @app.get("/employees")
    async def employees(uow: Annotated[AsyncUnitOfWork, begun]) -> list[EmployeeNode]:
        return await Employees(uow).chart()

    @app.post("/orders", status_code=201)
    async def order(uow: Annotated[AsyncUnitOfWork, begun], body: Order) -> InvoiceCard:
        items = [Item(item.track_id, item.quantity) for item in body.items]
        invoice_id = await place_order(uow, body.customer_id, items)
        return await uow.get_one(InvoiceCard, invoice_id)

    @app.exception_handler(OrderRefused)
    async def refused(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=422)

    return app


def found(card: Card | None) -> Card:
    """Return the card, or answer 404."""
    if card is None:
        raise HTTPException(404)
    return card
