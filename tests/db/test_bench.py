"""The measurements compare like with like: every way that can be imported here reads the same data.

In a process of its own, whose models have nothing to do with those of the tests.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bench.proxy import slow_proxy

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_all_ways_of_a_workload_return_the_same() -> None:
    command = [sys.executable, "-W", "error", "-m", "bench", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=230, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    compared = {
        found[1]: int(found[2]) for found in re.finditer(r"^(.+): (\d+) ways compared$", done.stdout, re.MULTILINE)
    }
    assert {name.partition(",")[0] for name in compared} >= {"graph", "get", "flat", "route", "latency", "stream"}
    assert min(compared.values()) >= 2


def test_the_proxy_counts_round_trips_and_delays_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, slow_proxy(*listener.getsockname(), 0.02) as proxy:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            server, _ = listener.accept()
            with server:
                for number in range(1, 4):
                    begun = time.perf_counter()
                    client.sendall(b"ask")
                    assert server.recv(10) == b"ask"
                    assert time.perf_counter() - begun >= 0.02
                    server.sendall(b"answer")
                    assert client.recv(10) == b"answer"
                    assert proxy.trips == number
