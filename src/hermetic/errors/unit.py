"""What a unit of work refuses."""

# SQLAlchemy's errors have a `code` too, a link to its manual; ours is the name of the error
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exc
from sqlalchemy.orm.exc import StaleDataError

from hermetic.errors.form import HermeticError


@dataclass(eq=False)
class NotLoaded(HermeticError, exc.InvalidRequestError):
    """Raised when an attribute is read that no statement of this unit of work has loaded, before anything is sent."""

    attribute: str
    origin: str
    remedy: str
    code = "not-loaded"
    what = "{e.attribute} was read but not loaded"
    why = "attribute access never runs a statement here; {e.origin}"
    fix = "{e.remedy}"


@dataclass(eq=False)
class CannotLoad(HermeticError, exc.InvalidRequestError):
    """Raised by `load` when an entity is not stored in its unit of work, or a path is none of the entity's."""

    subject: str
    reason: str
    remedy: str
    code = "cannot-load"
    what = "{e.subject} cannot be loaded"
    why = "{e.reason}"
    fix = "{e.remedy}"


@dataclass(eq=False)
class NotTheOwner(HermeticError, exc.InvalidRequestError):
    """Raised when anything but the unit of work itself tries to end its transaction."""

    verb: str
    owner: str
    caller: str
    code = "not-the-owner"
    what = "{e.verb} was called on the session of a unit of work ({e.caller})"
    why = (
        "the unit of work begun at {e.owner} owns the transaction: it commits when its block ends, "
        "and rolls back on an error"
    )
    fix = (
        "delete the call; to send changes now, use [await] uow.flush(); "
        "to undo a part, [async] with uow.savepoint(): ..."
    )


@dataclass(eq=False)
class SwallowedFailure(HermeticError, exc.PendingRollbackError):
    """Raised when a unit of work in which a database error was caught is used again or would commit; `__cause__` is
    that error.
    """

    failure: str
    place: str
    owner: str
    code = "swallowed-failure"
    what = "a unit of work goes no further after {e.failure} ({e.place})"
    why = (
        "a statement failed, the error was caught, and what belongs together is incomplete: PostgreSQL would answer "
        "COMMIT with a rollback, so the unit begun at {e.owner} is rolled back on every database"
    )
    fix = (
        "let the error leave the block of the unit\n"
        "or, where a constraint may be broken, let the unit catch it: "
        "[async] with uow.attempt() as attempt: ..., and look at attempt.failure"
    )


@dataclass(eq=False)
class UnitClosed(HermeticError, exc.InvalidRequestError):
    """Raised when a unit of work is used before its block begins or after it ended."""

    owner: str
    state: str
    code = "unit-closed"
    what = "this unit of work {e.state}"
    why = "a unit of work is one transaction; the one of {e.owner} is not open"
    fix = "open another: [async] with db.begin() as uow: ..."


@dataclass(eq=False)
class UnitShared(HermeticError, exc.IllegalStateChangeError):
    """Raised when a unit of work is used by another task, thread or process than the one that began it."""

    user: str
    caller: str
    holder: str
    owner: str
    code = "unit-shared"
    what = "{e.user} used the unit of work of {e.holder} ({e.caller})"
    why = "the unit begun at {e.owner} is one transaction on one connection, and belongs to one task or thread"
    fix = (
        "give each branch a unit of its own: [async] with db.begin() as uow: ..., inside the branch\n"
        "or read on the Database, which any number of tasks and threads share: [await] db.all(...)\n"
        "or do one after the other; for a timeout use asyncio.timeout, since wait_for is a task of its own before 3.12"
    )


@dataclass(eq=False)
class OutcomeUnknown(HermeticError, exc.OperationalError):
    """Raised when the answer to COMMIT was lost and the server could not be asked in time what became of it;
    `__cause__` is what the connection was lost by.

    `token` is what `Database.outcome()` takes, empty where none was kept.
    """

    token: str
    reason: str
    remedy: str
    code = "outcome-unknown"
    what = "it is not known whether a transaction was committed"
    why = "the connection was lost while the server committed; {e.reason}"
    fix = "{e.remedy}"
    connection_invalidated = True


@dataclass(eq=False)
class EntityPassed(HermeticError, exc.ArgumentError):
    """Raised when an entity is given to `run`: each attempt has a session of its own, and it belongs to another one."""

    entity: str
    use_case: str
    code = "entity-passed"
    what = "an entity of {e.entity} was passed to {e.use_case}"
    why = "each attempt of a use case has a unit of work of its own, and the entity belongs to another one"
    fix = "pass its key, and read it inside: entity = [await] uow.get_one({e.entity}, key)"


@dataclass(eq=False)
class VersionConflict(HermeticError, StaleDataError):
    """Raised by a flush when the row of a versioned entity is not the one that was read; nothing of it was written."""

    entities: tuple[str, ...]
    code = "version-conflict"
    what = "{e.subject} was changed or deleted by another transaction since it was read"
    why = "its row has another version than the entity, so the change was decided on values that are not true any more"
    fix = (
        "run the use case with [await] db.run(use_case, ...): it reads again and repeats the whole of it\n"
        "or lock the row when it is read: [await] uow.get_one(Model, key, lock=True)"
    )

    @property
    def subject(self) -> str:
        """Return the entity; where one statement wrote several, all that it may be."""
        return self.entities[0] if len(self.entities) == 1 else f"one of {', '.join(self.entities)}"
