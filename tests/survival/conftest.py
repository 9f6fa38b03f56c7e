"""The servers of the suite, which are not those of other tests: they are killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from survival.place import Place, opened

_FOUND: list[str] = []


@pytest.fixture(scope="session")
def place() -> Iterator[Place]:
    """PostgreSQL behind a proxy, and MariaDB."""
    with opened() as made:
        yield made


@pytest.fixture
def found() -> list[str]:
    """What a test writes here is shown at the end of the run."""
    return _FOUND


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _FOUND:
        terminalreporter.section("survival")
        for line in _FOUND:
            terminalreporter.write_line(line)
