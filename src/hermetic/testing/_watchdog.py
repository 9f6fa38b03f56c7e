"""The process between a run and its PostgreSQL: when the run is gone, even by SIGKILL, it stops the server.

It is started as a script by `server.py` and imports nothing but the standard library, so it starts in milliseconds.
Each line on standard input is one order: `start PORT`, `poll`, or the name of a signal that ends the server.
The answer is one line, the process id of the server or 0.
End of file is the last order: stop the server, remove what is temporary, exit.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys

HANG = 10  # seconds a server may take to stop before it is killed


def _ignore(_signal: int, _frame: object) -> None:
    pass


def main(last_signal: str, rubbish: str, user: str, log: str, *command: str) -> None:
    """Serve orders until the end of standard input.

    Args:
        last_signal: what stops the server at the end, e.g. `SIGQUIT`.
        rubbish: directory to remove at the end; empty: none.
        user: `uid:gid` the server runs as; empty: the own one.
        log: file that takes the server's output.
        command: what starts the server, but for the port.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        # Only the end of the run ends this process. A handler and not SIG_IGN, which the server would inherit.
        signal.signal(getattr(signal, name), _ignore)
    uid, gid = map(int, user.split(":")) if user else (None, None)
    server: subprocess.Popen[bytes] | None = None

    def stop(name: str) -> None:
        if server is not None and server.poll() is None:
            server.send_signal(getattr(signal, name))
            try:
                server.wait(HANG)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()

    for line in sys.stdin:
        order, *port = line.split()
        if order == "start":
            with open(log, "ab") as output:
                server = subprocess.Popen(
                    [*command, "-p", *port],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=os.path.dirname(log),
                    user=uid,
                    group=gid,
                    extra_groups=None if uid is None else [],
                )
        elif order != "poll":
            stop(order)
        sys.stdout.write(f"{server.pid if server is not None and server.poll() is None else 0}\n")
        sys.stdout.flush()
    stop(last_signal)
    if rubbish:
        shutil.rmtree(rubbish, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
