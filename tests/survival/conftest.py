"""The servers of the suite, which are not those of other tests: they are killed."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from survival.place import Place, opened

_FOUND: list[str] = []


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    """PostgreSQL behind a proxy, and MariaDB."""
    with opened() as made:
        yield made


@pytest.fixture(autouse=True)
def unburdened() -> Iterator[None]:
    """Keep what thousands of tests left behind out of the garbage collector's sight while a figure tells time."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def found() -> list[str]:
    """What a test writes here is shown at the end of the run."""
    return _FOUND


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _FOUND:
        terminalreporter.section("survival")
        for line in _FOUND:
            terminalreporter.write_line(line)
