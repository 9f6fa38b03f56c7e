"""What a server does not allow or does not have."""

# SQLAlchemy's errors have a `code` too, a link to its manual; ours is the name of the error
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exc

from hermetic.errors.form import HermeticError


@dataclass(eq=False)
class CannotConnect(HermeticError, exc.OperationalError):
    """Raised when the server could not be reached or refused the connection; `is_passing` says that it may not do so a
    moment later.
    """

    url: str
    reason: str
    remedy: str
    is_passing: bool = True
    code = "cannot-connect"
    what = "could not connect to {e.url}"
    why = "{e.reason}"
    fix = "{e.remedy}"


@dataclass(eq=False)
class ServerTooOld(HermeticError, exc.NotSupportedError):
    """Raised at the first connection to a server that is older than what hermetic's statements need."""

    database: str
    version: str
    minimum: str
    code = "server-too-old"
    what = "{e.database} {e.version} is too old"
    why = "the statements of hermetic are written for {e.database} {e.minimum} and later"
    fix = "upgrade the server, or point the URL at one of version {e.minimum} or later"


@dataclass(eq=False)
class MissingTable(HermeticError, exc.ProgrammingError):
    """Raised when a statement names a table that the database does not have."""

    missing: str
    database: str
    code = "missing-table"
    what = "the database lacks a table: {e.missing}"
    why = "{e.database} was reached, and its schema is behind the models"
    fix = "run the migrations; in demos and tests: [await] db.create_all(Base)"


@dataclass(eq=False)
class DeadlineExceeded(HermeticError, exc.OperationalError, TimeoutError):
    """Raised when a call had not ended by its deadline; what it waited for was cut off."""

    call: str
    seconds: float
    phase: str
    code = "deadline-exceeded"
    what = "{e.call} did not end within {e.seconds} s"
    why = "{e.phase} when the deadline passed; the connection, if it had one, is closed and not used again"
    fix = (
        "look at the server: locks, load, the network between; [await] db.health() tells whether it answers at all\n"
        "or state a longer deadline: Database(url, deadline=...), or with deadline(...): around the call"
    )
