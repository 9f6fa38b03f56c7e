"""What `python -m recordshop` does: find a database, fill the shop, tell the story, and serve it if asked to."""

import argparse
import asyncio
import os
import socket
import sqlite3
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from hermetic import AsyncDatabase, HermeticError
from hermetic.testing import NoServerBinaries, ServerFailed, start
from recordshop.api import create_app
from recordshop.data import NotChinook, Rows, generate, load_chinook
from recordshop.demo import say, tell
from recordshop.stock import NotEmpty, stock

PORT = 8000


def main() -> int:
    """Run the demo and return its exit code."""
    arguments = parsed()
    try:
        rows = load_chinook(arguments.data) if arguments.data else generate()
        with database(only_sqlite=arguments.sqlite) as (url, place):
            asyncio.run(run(url, place, rows, arguments))
    except (HermeticError, NotChinook, NotEmpty) as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader has seen enough; Python manual, "Note on SIGPIPE"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 dev.py demo",
        description="The record shop: shapes, units of work and a use case over the Chinook schema.",
        epilog="HERMETIC_URL names a database of your own: it must be empty or a record shop; nothing is dropped.",
    )
    parser.add_argument("--sqlite", action="store_true", help="use embedded SQLite, no server")
    parser.add_argument("--data", type=Path, metavar="FILE", help="take the rows of a Chinook SQLite file")
    parser.add_argument("--serve", action="store_true", help="serve the API afterwards, until Ctrl-C")
    return parser.parse_args()


@contextmanager
def database(*, only_sqlite: bool) -> Generator[tuple[str, str]]:
    """Yield the URL of the database and its description: yours, else a private PostgreSQL, else an SQLite file."""
    own = os.environ.get("HERMETIC_URL")
    if own and not only_sqlite:
        yield own, "your own, from HERMETIC_URL"
        return
    if not only_sqlite:
        try:
            server = start(profile="demo")
        except (NoServerBinaries, ServerFailed) as error:
            print(f"No private PostgreSQL ({str(error).splitlines()[0]}), so SQLite serves.")
        else:
            with server:
                yield server.url_for(), f"private, on port {server.port}, gone when this ends"
            return
    with tempfile.TemporaryDirectory(prefix="hermetic-recordshop-", ignore_cleanup_errors=True) as directory:
        yield f"sqlite:///{Path(directory) / 'shop.db'}", "a temporary file, gone when this ends"


async def run(url: str, place: str, rows: Rows, arguments: argparse.Namespace) -> None:
    """Fill the shop, tell the story, and serve it if asked to."""
    async with AsyncDatabase(url) as db:
        began = time.perf_counter()
        is_new = await stock(db, rows)
        seconds = time.perf_counter() - began
        print(f"The record shop on {server_of(db)}: {place}.")
        kind = "of Chinook" if arguments.data else "generated in Chinook's size"
        count = f"{sum(map(len, rows.values())):,} rows"
        print(f"{count} {kind}, filled in {seconds:.1f} s." if is_new else "It was filled before; its rows are used.")
        await tell(db)
        if arguments.serve:
            await serve(db)


def server_of(db: AsyncDatabase) -> str:
    dialect = db.engine.dialect
    if dialect.name == "sqlite":
        return f"SQLite {sqlite3.sqlite_version}"
    return f"PostgreSQL {'.'.join(map(str, dialect.server_version_info or ()))}"


async def serve(db: AsyncDatabase) -> None:
    """Serve the API on port 8000, or on a free one when that is busy, until Ctrl-C."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", PORT))
        except OSError:
            listener.bind(("127.0.0.1", 0))
        listener.listen()  # before the address is printed, so that whoever reads it is served
        print()
        say(f"http://127.0.0.1:{listener.getsockname()[1]}/docs   (Ctrl-C ends it)")
        sys.stdout.flush()
        server = uvicorn.Server(uvicorn.Config(create_app(db), log_level="warning"))
        await server.serve(sockets=[listener])
