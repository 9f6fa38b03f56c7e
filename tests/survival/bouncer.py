"""A PgBouncer of its own in front of a PostgreSQL of the tests."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def bouncer(url: str, mode: str = "transaction", servers: int = 2) -> Iterator[str]:
    """Start PgBouncer in front of the database of `url`, which keeps `servers` sessions, and yield its own URL.

    Its server sessions go round, so that two transactions of one client are rarely of one session.
    """
    if PROGRAM is None:
        pytest.skip("no PgBouncer: install the package pgbouncer")
    target, port = make_url(url), _free_port()
    login = f"host={target.host} port={target.port} dbname={target.database} user=postgres password={target.password}"
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)  # PgBouncer refuses to run as root, and is somebody else then
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n{target.database} = {login}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
        f"auth_type = any\npool_mode = {mode}\ndefault_pool_size = {servers}\nmax_client_conn = 200\n"
        f"server_round_robin = 1\nunix_socket_dir =\n"
    )
    settings.chmod(0o644)
    account = ["-u", "nobody"] if os.geteuid() == 0 else []
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, *account, str(settings)], stdout=log, stderr=log)
    try:
        _wait(process, port, folder / "log")
        yield target.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"PgBouncer did not start: {log.read_text()}")
