#!/usr/bin/env python3
"""All that a contributor runs; it needs Python 3.11 and nothing else.

    python3 dev.py demo  [ARGS]   run the example application
    python3 dev.py test  [ARGS]   run the tests (ARGS go to pytest)
    python3 dev.py check          lint, format and type-check; lists what failed
    python3 dev.py bench [ARGS]   run the measurements, against the rivals of bench/requirements.lock
    python3 dev.py survive [ARGS] run the long form of the survival suite (--short, --write, NAMES), the rivals too
    python3 dev.py lock  [ARGS]   make both locks again (--upgrade: with newer versions)
    python3 dev.py clean          remove .venv and .hermetic, which is all that this script makes

Standard library only, no shell. It parses on Python 3.8, so that an old Python gets a sentence and not a SyntaxError.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
RIVALS = ROOT / ".hermetic" / "rivals"  # what only the measurements import; the tests never see it
RIVALS_LOCK = ROOT / "bench" / "requirements.lock"
STAMP = VENV / "hermetic-stamp"
SCRIPTS = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = SCRIPTS / ("python.exe" if os.name == "nt" else "python")

RUNS = {"demo": ["-m", "recordshop"], "test": ["-m", "pytest"], "bench": ["-m", "bench"], "survive": ["-m", "survival"]}
CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("pyright",),
    ("ty", "check", "src"),
)


def fail(error: str, hint: str) -> SystemExit:
    """Return the exit that prints what is wrong and what to do."""
    return SystemExit(f"error: {error}\n\nhint: {hint}")


def environment() -> dict[str, str]:
    """Return the variables that every command runs with."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONPATH")}
    inherited["VIRTUAL_ENV"] = str(VENV)
    inherited["PATH"] = os.pathsep.join([str(SCRIPTS), os.environ.get("PATH", os.defpath)])
    inherited["UV_PYTHON_DOWNLOADS"] = "never"
    inherited["PYRIGHT_PYTHON_IGNORE_WARNINGS"] = "1"
    return inherited


def index_settings() -> dict[str, str]:
    """Return, in uv's words, the package index and certificates that pip was configured with: uv does not read them."""
    listing = [str(PYTHON), "-m", "pip", "config", "list"]
    listed = subprocess.run(listing, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8").stdout
    pip = dict(re.findall(r"^\S+\.(index-url|cert)='(.+)'$", listed, re.MULTILINE))
    names = {"index-url": "UV_DEFAULT_INDEX", "cert": "SSL_CERT_FILE"}
    settings = {names[key]: value for key, value in pip.items() if names[key] not in os.environ}
    if not os.access(os.path.expanduser("~"), os.W_OK):
        settings["UV_NO_CACHE"] = "1"
    return settings


def install(what: str, *command: str, **extra: str) -> None:
    """Run one step of the installation; it speaks only when it fails."""
    done = subprocess.run(
        [str(PYTHON), "-m", *command],
        cwd=str(ROOT),
        env=dict(environment(), **extra),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise fail(
            f"could not {what}; the words of `{' '.join(command[:2])}` are above",
            "where they speak of a connection, the package index was not reached: check the network, the proxy\n"
            "(HTTPS_PROXY) or the index setting of pip (PIP_INDEX_URL), then run the same command again",
        )


def make_venv() -> None:
    """Make an empty `.venv` with uv in it, in the version and with the hashes of the lock."""
    if importlib.util.find_spec("ensurepip") is None:
        raise fail("this Python has no ensurepip, so it cannot make a virtual environment", "apt install python3-venv")
    venv.create(str(VENV), clear=True, with_pip=True, symlinks=os.name != "nt")
    locked = re.search(r"^uv==[^\n]*\n(?:\s+[^\n]*\n)*", LOCK.read_text("utf-8") if LOCK.exists() else "", re.MULTILINE)
    only_uv = VENV / "uv.lock.txt"
    only_uv.write_text(locked.group() if locked else "uv\n", "utf-8")
    flags = "--quiet --disable-pip-version-check --retries 2".split()
    install("install uv from the package index", "pip", "install", *flags, "-r", str(only_uv))


def prepare(*, packages: bool = True) -> None:
    """Bring `.venv` to what the lock says; nothing happens when it is there already."""
    place = f"{platform.python_version()} {sys.platform} {platform.machine()} {ROOT}"
    sources = b"".join(path.read_bytes() for path in (LOCK, ROOT / "pyproject.toml") if path.exists())
    wanted = [place, hashlib.sha256(sources).hexdigest()]
    found = STAMP.read_text("utf-8").splitlines() if STAMP.exists() and PYTHON.exists() else []
    if found == wanted:
        return
    if found[:1] != wanted[:1]:
        print(f"making .venv with Python {platform.python_version()}", flush=True)
        make_venv()
        STAMP.write_text(place, "utf-8")
    if packages:
        if not LOCK.exists():
            raise fail("requirements.lock is missing", "git checkout requirements.lock")
        print("installing the packages of requirements.lock", flush=True)
        index = index_settings()
        install("install packages from the package index", "uv", "pip", "sync", "--require-hashes", LOCK.name, **index)
        install(
            "install hermetic itself", "uv", "pip", "install", "--no-deps", "--no-build-isolation", "-e", ".", **index
        )
        STAMP.write_text("\n".join(wanted), "utf-8")


def prepare_rivals() -> None:
    """Bring `.hermetic/rivals` to what bench/requirements.lock says; without it the measurements leave rivals out."""
    stamp = RIVALS / "hermetic-stamp"
    wanted = f"{platform.python_version()} {hashlib.sha256(RIVALS_LOCK.read_bytes()).hexdigest()}"
    if stamp.exists() and stamp.read_text("utf-8") == wanted:
        return
    print("installing the packages of bench/requirements.lock", flush=True)
    shutil.rmtree(str(RIVALS), ignore_errors=True)
    what = ["--no-deps", "--require-hashes", "--requirement", str(RIVALS_LOCK), "--target", str(RIVALS)]
    try:
        install("install the rivals", "uv", "pip", "install", *what, **index_settings())
    except SystemExit as error:
        print(error.code, "the rivals are left out", sep="\n\n", file=sys.stderr, flush=True)
        return
    stamp.write_text(wanted, "utf-8")


def lock(arguments: list[str]) -> int:
    """Write both locks for every platform, without an address: all extras and the dev group, and what bench adds."""
    prepare(packages=False)
    flags = "--universal --python-version 3.11 --generate-hashes --no-annotate --quiet".split()
    flags += ["--custom-compile-command", "python3 dev.py lock"]
    compile_lock(LOCK, *flags, "--all-extras", "--group", "dev", *arguments, "pyproject.toml")
    locked = re.findall(r"^([\w.-]+)==\S+ \\$", LOCK.read_text("utf-8"), re.MULTILINE)  # those for every platform
    left_out = [word for name in locked for word in ("--no-emit-package", name)]
    compile_lock(RIVALS_LOCK, *flags, "--group", "bench", "--constraint", LOCK.name, *left_out, *arguments)
    return 0


def compile_lock(path: Path, *options: str) -> None:
    """Resolve one lock file."""
    command = ["uv", "pip", "compile", "--output-file", str(path.relative_to(ROOT)), *options]
    install("resolve the dependencies with the package index", *command, **index_settings())
    if "://" in path.read_text("utf-8"):
        raise fail(f"{path.name} holds an address", "take the direct reference out of pyproject.toml")


def check() -> int:
    """Run every check, then name those that failed."""
    prepare()
    failed = []
    for command in CHECKS:
        print("$ " + " ".join(command), flush=True)
        program = shutil.which(command[0], path=str(SCRIPTS)) or command[0]
        if subprocess.call([program, *command[1:]], cwd=str(ROOT), env=environment()):
            failed.append(" ".join(command))
    print("failed: " + ", ".join(failed) if failed else "all checks passed", flush=True)
    return 1 if failed else 0


def run(name: str, arguments: list[str]) -> int:
    """Become the command, so that its exit code, Ctrl-C and even SIGKILL are those of this process."""
    prepare()
    command = [str(PYTHON), *RUNS[name], *arguments]
    variables = environment()
    if name == "demo":
        variables["PYTHONPATH"] = str(ROOT / "examples")
    if name == "bench":
        prepare_rivals()
        variables["PYTHONPATH"] = str(RIVALS)
    if name == "survive":
        prepare_rivals()
        variables["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests"), str(RIVALS)])
    os.chdir(str(ROOT))
    if os.name == "nt":
        return subprocess.call(command, env=variables)
    os.execve(command[0], command, variables)


def clean() -> int:
    """Remove all that this script makes."""
    for directory in (VENV, ROOT / ".hermetic"):
        shutil.rmtree(str(directory), ignore_errors=True)
    return 0


def main(arguments: list[str]) -> int:
    """Run the command that the arguments name."""
    name = arguments[0] if arguments else ""
    if name not in (*RUNS, "check", "lock", "clean"):
        print(__doc__.strip())
        return 0 if name in ("-h", "--help", "help") else 2
    if sys.version_info < (3, 11):
        raise fail(
            f"Python 3.11 or newer is needed, this is {platform.python_version()}",
            f"name a newer one: python3.13 dev.py {name}",
        )
    if name in RUNS:
        return run(name, arguments[1:])
    return {"check": check, "clean": clean, "lock": lambda: lock(arguments[1:])}[name]()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
