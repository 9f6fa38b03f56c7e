"""The measurements compare like with like: every way that can be imported here reads the same data.

In a process of its own, whose models have nothing to do with those of the tests.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_all_ways_of_a_workload_return_the_same() -> None:
    command = [sys.executable, "-W", "error", "-m", "bench", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "graph, asyncpg: 7 ways read 5 rows\n" in done.stdout
    assert "get, psycopg: 3 ways read 1 rows\n" in done.stdout
    assert "flat, psycopg: 4 ways read 5 rows\n" in done.stdout
