"""`python -m recordshop`, run as its readers run it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE = re.compile(r"^  (naive|guide|shape) .* (\d+) +(\d+\.\d)$", re.MULTILINE)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-W", "always::ResourceWarning", "-m", "recordshop", *arguments]


def variables(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HERMETIC_URL")}
    return kept | {"PYTHONPATH": str(ROOT / "examples")} | more


def demo(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, env=variables(**more), capture_output=True, encoding="utf-8")


def told(done: subprocess.CompletedProcess[str]) -> str:
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize("arguments", [["--sqlite"], []], ids=["sqlite", "default"])
def test_the_demo_compares_orders_and_stumbles(arguments: list[str]) -> None:
    told_text = told(demo(*arguments))
    statements = {way: int(count) for way, count, _ in TABLE.findall(told_text)}
    assert statements["naive"] > 100
    assert (statements["guide"], statements["shape"]) == (2, 1)
    assert "SQLite" in told_text if arguments else "PostgreSQL 1" in told_text or "so SQLite serves" in told_text
    assert "invoice 413" in told_text
    assert "not-loaded: Invoice.lines was read but not loaded" in told_text
    assert "not-the-owner: commit was called" in told_text
    assert "shape-mismatch: 3 problems in shape Wrong" in told_text
    assert max(map(len, told_text.splitlines())) <= 100
    assert len(told_text.splitlines()) <= 55


def test_the_demo_takes_real_rows(chinook: Path) -> None:
    text = told(demo("--sqlite", "--data", str(chinook)))
    assert "15,607 rows of Chinook" in text
    assert "For Those About To Rock" in text


def test_the_demo_uses_a_server_of_your_own_and_keeps_what_is_there(new_database: Callable[[], str]) -> None:
    url = new_database()
    assert "15,607 rows generated" in told(demo(HERMETIC_URL=url))
    again = told(demo(HERMETIC_URL=url))
    assert "It was filled before" in again
    assert "invoice 414" in again


@pytest.mark.parametrize(
    ("arguments", "more", "reason"),
    [
        (["--data", "nowhere.db"], {}, "nowhere.db is not a Chinook SQLite file"),
        ([], {"HERMETIC_URL": "postgresql+psycopg://nobody@127.0.0.1:1/shop"}, "cannot-connect"),
        ([], {"HERMETIC_URL": "nonsense"}, "unknown-driver"),
        ([], {"HERMETIC_URL": "mysql+asyncmy://nobody@127.0.0.1:1/shop"}, "unsupported-database"),
    ],
)
def test_what_cannot_work_is_said_in_a_sentence(arguments: list[str], more: dict[str, str], reason: str) -> None:
    done = demo(*arguments, **more)
    assert done.returncode == 1
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_serves_on_another_port_until_ctrl_c() -> None:
    with socket.socket() as busy:
        with suppress(OSError):  # then someone else has it
            busy.bind(("127.0.0.1", 8000))
            busy.listen()
        with subprocess.Popen(
            command("--sqlite", "--serve"),
            cwd=ROOT,
            env=variables(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        ) as run:
            try:
                assert run.stdout is not None
                url = next(line.split()[0] for line in run.stdout if "/docs" in line)
                with urllib.request.urlopen(url) as page:
                    assert b"Record shop" in page.read()
                with urllib.request.urlopen(url.replace("/docs", "/invoices/413")) as body:
                    assert body.read().startswith(b'{"id":413')
                run.send_signal(signal.SIGINT)
                _, errors = run.communicate(timeout=20)
            finally:
                run.kill()
    assert ":8000/" not in url
    assert errors == ""
    assert run.returncode == 130
