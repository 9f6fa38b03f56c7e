"""The system notices a network that is gone: keepalives, and a limit for what is not acknowledged."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable

import pytest

from hermetic import AsyncDatabase, Database

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the options have other names, or none, elsewhere")


def _told(number: int) -> tuple[int, ...]:
    with socket.socket(fileno=socket.dup(number)) as found:
        keeps = found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        return (keeps, *(found.getsockopt(socket.IPPROTO_TCP, option) for option in options))


def test_psycopg_keeps_the_connection_alive(new_database: Callable[..., str]) -> None:
    with Database(new_database()) as db, db.engine.connect() as connection:
        assert _told(connection.connection.driver_connection.fileno()) == (1, 30, 10, 3, 30_000)


def test_what_the_url_says_about_the_network_holds(new_database: Callable[..., str]) -> None:
    url = f"{new_database()}?keepalives_idle=7&tcp_user_timeout=5000"
    with Database(url) as db, db.engine.connect() as connection:
        assert _told(connection.connection.driver_connection.fileno()) == (1, 7, 10, 3, 5000)


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_async_drivers_keep_the_connection_alive(driver: str, new_database: Callable[..., str]) -> None:
    async def main() -> None:
        async with AsyncDatabase(new_database(driver)) as db, db.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            number = raw.fileno() if driver == "psycopg" else raw._transport.get_extra_info("socket").fileno()
            assert _told(number) == (1, 30, 10, 3, 30_000)

    asyncio.run(main())
