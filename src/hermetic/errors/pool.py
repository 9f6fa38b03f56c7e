"""What the pool of a database refuses, and what it warns of."""

# SQLAlchemy's errors have a `code` too, a link to its manual; ours is the name of the error
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import exc

from hermetic.errors.form import HermeticError, ProblemsFound

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a connection: the task or thread, for how many seconds, where it took it and where it is now."""

    user: str
    seconds: float
    place: str

    def __str__(self) -> str:
        return f"{self.user} for {self.seconds:.1f} s, {self.place}"


def listed(holders: Sequence[Holder]) -> str:
    """Return the holders, each on its line; of very many the first ones and the number of others."""
    lines = [str(each) for each in holders[:_SHOWN]]
    if len(holders) > _SHOWN:
        lines.append(f"and {len(holders) - _SHOWN} more")
    return "\n".join(lines)


@dataclass(eq=False)
class PoolExhausted(HermeticError, exc.TimeoutError):
    """Raised when all connections of a pool are out and none came back in time, or none can: whoever holds one waits
    for another.
    """

    capacity: int
    waited: str
    is_deadlock: bool
    holders: Sequence[Holder]
    code = "pool-exhausted"
    what = "{e.outcome}"
    why = "held by\n{e.held}"
    fix = "{e.remedy}"

    @property
    def outcome(self) -> str:
        """Return what happened to the one who asked."""
        out = "the only one is out" if self.capacity == 1 else f"all {self.capacity} are out"
        if self.is_deadlock:
            return f"no connection can come back: {out}, and whoever holds one waits for another"
        return f"no connection came back within {self.waited} s: {out}"

    @property
    def held(self) -> str:
        """Return the holders, each on its line."""
        return listed(self.holders)

    @property
    def remedy(self) -> str:
        """Return the text to paste."""
        if self.is_deadlock:
            return (
                "inside the block of a unit of work read on the unit, which has a connection: [await] uow.all(...)\n"
                "or end the unit or stream before something else takes a connection\n"
                "or, where both are needed, size + overflow of at least twice what runs at once: Pool.server(size=...)"
            )
        return (
            "end a unit of work or stream before waiting for anything else, such as a mail or an HTTP call\n"
            "or keep more connections, as many as the server has: Pool.server(size=..., overflow=...)"
        )


@dataclass(eq=False)
class PoolError(ProblemsFound, exc.ArgumentError):
    """Raised when a pool does not fit the server or what stands before it: when the database is made, at its first
    connection, and by `check()`.
    """

    code = "pool-refused"
    what = "{e.count} in the pool of {e.subject} ({e.location})"
    why = "a pool is compared with its server before it is used, where the server would fail only under load"


@dataclass(eq=False)
class DatabaseClosed(HermeticError, exc.InvalidRequestError):
    """Raised when a database is asked for a connection after `close()` was called."""

    caller: str
    closed_at: str
    code = "database-closed"
    what = "a closed database was asked for a connection ({e.caller})"
    why = "close() was called at {e.closed_at}, and nothing is handed out since"
    fix = "close it last, around all that uses it: [async] with {e.name}(...) as db: ...\nor make another one"

    @property
    def name(self) -> str:
        """Return the name of the class."""
        return "AsyncDatabase" if self.is_async else "Database"


@dataclass(eq=False)
class ConnectionsLeft(HermeticError, RuntimeWarning):
    """Warned of when a database was closed while connections were out, and they did not come back in time."""

    closed_at: str
    waited: str
    holders: Sequence[Holder]
    code = "connections-left"
    what = "a database was closed while connections were out ({e.closed_at})"
    why = "close() waits {e.waited} s for others, and these did not come back; each is closed when it does:\n{e.held}"
    fix = "end units of work and streams before close(), or give them longer: close(timeout=...)"

    @property
    def held(self) -> str:
        """Return the holders, each on its line."""
        return listed(self.holders)


@dataclass(eq=False)
class WrongLoop(HermeticError, exc.InvalidRequestError):
    """Raised when an `AsyncDatabase` is used from another event loop than the one its connections belong to."""

    caller: str
    first: str
    state: str
    code = "wrong-loop"
    what = "an AsyncDatabase was used from a second event loop ({e.caller})"
    why = "its connections belong to the event loop that used it first, at {e.first}, which {e.state}"
    fix = (
        "run the program in one event loop: one asyncio.run(main())\n"
        "or make a database for each: async with AsyncDatabase(...) as db: inside what asyncio.run() runs"
    )


@dataclass(eq=False)
class BlockedLoop(HermeticError, RuntimeWarning):
    """Warned of, once for each line, when a `Database` asks its server on the thread of a running event loop."""

    caller: str
    code = "blocked-loop"
    what = "a Database was used on the thread of a running event loop ({e.caller})"
    why = "every other task of the loop waits until the server has answered"
    fix = (
        "await the same verb of an AsyncDatabase\n"
        "or let a thread wait: a route written as def and not async def, await asyncio.to_thread(db.all, ...) elsewhere"
    )


@dataclass(eq=False)
class StateRefused(HermeticError, exc.InvalidRequestError):
    """Raised when a statement would leave something in its session, behind a pooler that lends the session to others;
    before it is sent.
    """

    statement: str
    caller: str
    code = "state-refused"
    what = "{e.statement} ... may leave a setting, a lock or a temporary table in its session ({e.caller})"
    why = "the pooler lends the session to other clients after the transaction: they would have it, and this one not"
    fix = (
        "bind it to the transaction: SET LOCAL, set_config(..., true), pg_advisory_xact_lock(), ON COMMIT DROP\n"
        "or connect to the server itself for it, with Pool.server()"
    )
