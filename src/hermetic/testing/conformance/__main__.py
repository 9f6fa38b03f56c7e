"""`python -m hermetic.testing.conformance URL`: exit 1 where a value comes back changed."""

from __future__ import annotations

import asyncio
import sys

from sqlalchemy import make_url

from hermetic.testing.conformance.check import check_types, check_types_async
from hermetic.testing.conformance.report import Report
from hermetic.work import AsyncDatabase, Database


async def _checked(url: str) -> Report:
    async with AsyncDatabase(url) as db:
        return await check_types_async(db)


def main(arguments: list[str]) -> int:
    """Check the server of a URL and print the table."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m hermetic.testing.conformance postgresql+psycopg://user@host/name\n")
        return 2
    url = arguments[0]
    if make_url(url).get_dialect().is_async:
        report = asyncio.run(_checked(url))
    else:
        with Database(url) as db:
            report = check_types(db)
    sys.stdout.write(f"{report}\n")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
