"""A FastAPI route that answers with 100 members and their addresses, served by uvicorn in a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from bench import ours
from bench.graph import DRIVERS
from bench.measure import Way, interleaved, settled
from bench.report import Section, at_least
from bench.shop import MEMBERS

ORM = "SQLAlchemy selectinload + pydantic response_model"
CONNECTIONS = 4
REQUESTS = 5  # of each connection, in one call of a way

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def opened(url: str, driver: str) -> AsyncGenerator[list[Way]]:
    command = (sys.executable, "-m", "bench.route_app")
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    connections: list[Connection] = []
    try:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write(url.replace("postgresql:", f"postgresql+{driver}:").encode() + b"\n")
        port = int(await server.stdout.readline())
        connections += [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
        yield [_way(name, path, connections) for path, name in {**ours.ROUTES, "/orm": ORM}.items()]
    finally:
        for _, writer in connections:
            writer.close()
        server.terminate()
        await server.wait()


async def measure(url: str, rounds: int) -> list[Section]:
    return [await _measured(url, driver, rounds) for driver in DRIVERS]


async def _measured(url: str, driver: str, rounds: int) -> Section:
    async with opened(url, driver) as ways, settled():
        timings = await interleaved(ways, MEMBERS, rounds=rounds, seconds=0.5)
    batch = CONNECTIONS * REQUESTS
    rows = [
        (way.name, f"{batch / timings.ms(way.name) * 1e3:,.0f}", f"{timings.ratio(ORM, way.name):.2f}x") for way in ways
    ]
    return Section(
        f"FastAPI route: {MEMBERS} members and their addresses, {driver}",
        f"Requests per second over {CONNECTIONS} kept-alive connections to one uvicorn process (uvloop and httptools "
        "where installed); client, server and database share the machine.",
        ("way", "requests/s", f"faster than {ORM}"),
        rows,
        [
            at_least(f"FastAPI route, {driver}: requests/s, {way}", [timings.ratio(ORM, way)], [4])
            for way in ours.ROUTES.values()
        ],
    )


def _way(name: str, path: str, connections: list[Connection]) -> Way:
    async def run(limit: int) -> bytes:
        request = f"GET {path}?limit={limit} HTTP/1.1\r\nhost: bench\r\n\r\n".encode()
        bodies = await asyncio.gather(*(_ask(connection, request) for connection in connections))
        return bodies[0]

    return Way(name, run, _plain)


async def _ask(connection: Connection, request: bytes) -> bytes:
    """Send the request several times over one connection, each after the answer to the one before."""
    reader, writer = connection
    body = b""
    for _ in range(REQUESTS):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(head.decode())
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.split(b":")[1]))
    return body


def _plain(body: bytes) -> list[Any]:
    return list(json.loads(body))
