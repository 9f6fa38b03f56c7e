"""The routes of the record shop over ASGI: bodies, errors, documentation."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import msgspec
import pytest
from oracle import Facts, expected
from sqlalchemy import select
from sqlalchemy.orm import Session

from hermetic import AsyncDatabase, Database
from recordshop.api import create_app
from recordshop.models import Invoice, InvoiceLine
from recordshop.shapes import AlbumCard, ArtistCard, CustomerCard, EmployeeNode, InvoiceCard, PlaylistCard

T = TypeVar("T")


def ask(url: str, talk: Callable[[httpx.AsyncClient, AsyncDatabase], Awaitable[T]]) -> T:
    async def served() -> T:
        async with AsyncDatabase(url) as db:
            transport = httpx.ASGITransport(create_app(db))
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return await talk(client, db)

    return asyncio.run(served())


def get(url: str, path: str) -> tuple[int, Any, int]:
    """Return status, body and the number of statements."""

    async def talk(client: httpx.AsyncClient, db: AsyncDatabase) -> tuple[int, Any, int]:
        with db.recorded() as sent:
            response = await client.get(path)
        return response.status_code, response.json(), len(sent)

    return ask(url, talk)


def order(url: str, body: object) -> httpx.Response:
    return ask(url, lambda client, _: client.post("/orders", json=body))


def wanted(url: str, shape: type[Any], *keys: int) -> list[Facts]:
    with Database(url) as db, Session(db.engine) as session:
        facts: list[Facts] = json.loads(msgspec.json.encode(expected(session, shape, *keys)))
        return facts


def sizes(url: str) -> tuple[int, int]:
    with Database(url) as db:
        return db.count(select(Invoice)), db.count(select(InvoiceLine))


@pytest.mark.parametrize(
    ("path", "shape", "key"),
    [
        ("/invoices/98", InvoiceCard, 98),
        ("/albums/141", AlbumCard, 141),
        ("/artists/90", ArtistCard, 90),
        ("/playlists/1", PlaylistCard, 1),
        ("/playlists/2", PlaylistCard, 2),
        ("/customers/6", CustomerCard, 6),
    ],
)
def test_a_body_is_the_shape_read_in_one_statement(shop_url: str, path: str, shape: type[Any], key: int) -> None:
    assert get(shop_url, path) == (200, *wanted(shop_url, shape, key), 1)


def test_one_screen_of_invoices_is_one_statement(shop_url: str) -> None:
    status, screen, statements = get(shop_url, "/invoices?limit=5")
    assert (status, len(screen), statements) == (200, 5, 1)
    assert screen == wanted(shop_url, InvoiceCard, *(invoice["id"] for invoice in screen))


def test_the_chart_is_one_statement(shop_url: str) -> None:
    assert get(shop_url, "/employees") == (200, wanted(shop_url, EmployeeNode, 1), 1)


@pytest.mark.parametrize("path", ["/invoices/99999", "/albums/99999", f"/playlists/{2**63 - 1}"])
def test_what_does_not_exist_is_404(shop_url: str, path: str) -> None:
    assert get(shop_url, path)[0] == 404


@pytest.mark.parametrize("path", ["/invoices/0", f"/albums/{2**63}", "/customers/x", "/invoices?limit=0"])
def test_what_cannot_exist_is_422_without_a_statement(shop_url: str, path: str) -> None:
    status, _, statements = get(shop_url, path)
    assert (status, statements) == (422, 0)


def test_an_order_answers_with_its_invoice_and_can_be_read_again(shop_url: str) -> None:
    before = sizes(shop_url)
    response = order(shop_url, {"customer_id": 2, "items": [{"track_id": 2820}, {"track_id": 6, "quantity": 2}]})
    card = response.json()
    assert response.status_code == 201
    assert card["total"] == "3.97"
    assert [line["quantity"] for line in card["lines"]] == [1, 2]
    assert sizes(shop_url) == (before[0] + 1, before[1] + 2)
    assert get(shop_url, f"/invoices/{card['id']}")[:2] == (200, card)
    assert [card] == wanted(shop_url, InvoiceCard, card["id"])


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"customer_id": 2, "items": [{"track_id": 1}, {"track_id": 99999}]}, "there is no track 99999"),
        ({"customer_id": 99999, "items": [{"track_id": 1}]}, "there is no customer 99999"),
        ({"customer_id": 2, "items": []}, None),
        ({"customer_id": 2, "items": [{"track_id": 1, "quantity": 0}]}, None),
        ({"customer_id": 2, "items": [{"track_id": 2**63}]}, None),
    ],
)
def test_a_refused_order_is_422_and_writes_nothing(shop_url: str, body: object, detail: str | None) -> None:
    before = sizes(shop_url)
    response = order(shop_url, body)
    assert response.status_code == 422
    assert detail is None or response.json() == {"detail": detail}
    assert sizes(shop_url) == before


def test_the_documentation_knows_the_shapes() -> None:
    document = create_app(AsyncDatabase("sqlite:///:memory:")).openapi()
    schemas = document["components"]["schemas"]
    body = document["paths"]["/invoices"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert body["items"] == {"$ref": "#/components/schemas/InvoiceCard"}
    for name in ("InvoiceCard", "InvoiceItem", "TrackOnInvoice", "AlbumName", "ArtistName", "PlaylistCard", "TrackRow"):
        assert name in schemas
    assert schemas["InvoiceCard"]["properties"]["lines"]["items"] == {"$ref": "#/components/schemas/InvoiceItem"}
    assert set(schemas["InvoiceCard"]["required"]) == {"id", "invoice_date", "country", "total", "customer", "lines"}
    assert {"type": "null"} in schemas["TrackOnInvoice"]["properties"]["album"]["anyOf"]
    reports = schemas["EmployeeNode"]["properties"]["reports"]
    assert {"$ref": "#/components/schemas/EmployeeNode"} in [each.get("items") for each in reports["anyOf"]]
