"""The record shop, filled with the real Chinook rows, on each database."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "examples"))

from hermetic import AsyncDatabase, Database  # noqa: E402
from recordshop.data import load_chinook  # noqa: E402
from recordshop.stock import stock  # noqa: E402


@pytest.fixture(scope="session")
def chinook() -> Path:
    """The real Chinook file; HERMETIC_CHINOOK names another place."""
    place = Path(os.environ.get("HERMETIC_CHINOOK") or ROOT.parent / "shared/data/chinook/chinook.sqlite")
    if not place.exists():
        pytest.skip("the real Chinook rows are not here; HERMETIC_CHINOOK=FILE names the SQLite file")
    return place


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shop_url(request: pytest.FixtureRequest, chinook: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a shop that holds the real rows; tests add to it, and compare with what is there at that time."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('shop') / 'shop.db'}"
    else:
        make: Callable[[], str] = request.getfixturevalue("new_database")
        url = make()

    async def fill() -> None:
        async with AsyncDatabase(url) as db:
            assert await stock(db, load_chinook(chinook))

    asyncio.run(fill())
    return url


@pytest.fixture
def shop(shop_url: str) -> Iterator[Database]:
    with Database(shop_url) as db:
        yield db
