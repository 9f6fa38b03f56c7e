"""Every exception of hermetic: typed facts, and three sentences that say what happened, why, and the fix."""

# SQLAlchemy's errors have a `code` too, a link to its manual; ours is the name of the error
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import exc


def _rebuild(kind: type[HermeticError], facts: dict[str, Any]) -> HermeticError:
    return kind(**facts)


class HermeticError(Exception):
    """The root of all errors that hermetic raises itself.

    A subclass is a frozen table: dataclass fields are the facts, and `what`, `why`, `fix` are templates over them
    (`{e.field}`).
    """

    code: str | None = "error"  # the type that SQLAlchemy's own errors give it
    what: ClassVar[str] = "{e.code}"
    why: ClassVar[str] = ""
    fix: ClassVar[str] = ""

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what.format(e=self)}"]
        for label, template in (("why", self.why), ("fix", self.fix)):
            text = template.format(e=self)
            if text:
                lines.append(f"{label}: " + text.replace("\n", "\n     "))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.what.format(e=self)}>"

    def facts(self) -> dict[str, Any]:
        """Return the facts by name, as the constructor takes them."""
        names: dict[str, Any] = getattr(self, "__dataclass_fields__", {})  # every subclass is a dataclass
        return {name: getattr(self, name) for name in names}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts())


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a model or a shape.

    `where` is a path such as `OrderCard.lines[].price`; `fix` is text to paste.
    """

    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        fix = self.fix.replace("\n", "\n       ")
        return f"{self.where}  {self.what}\n  fix: {fix}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(eq=False)
class ProblemsFound(HermeticError):
    """The common part of the definition errors: all problems of one class, at once."""

    subject: str
    location: str
    problems: Sequence[Problem]

    @property
    def count(self) -> str:
        """Return the number of problems as words, e.g. `2 problems`."""
        return _count(len(self.problems), "problem")

    def __str__(self) -> str:
        listed = "\n".join(f"{number}. {problem}" for number, problem in enumerate(self.problems, 1))
        return f"{super().__str__()}\n{listed}"


@dataclass(eq=False)
class ShapeError(ProblemsFound, TypeError):
    """Raised when a shape does not fit its model: at definition, or when the mappers are configured."""

    code = "shape-mismatch"
    what = "{e.count} in shape {e.subject} ({e.location})"
    why = "a shape is checked against its model before any statement is sent"


@dataclass(eq=False)
class WrongStatement(HermeticError, exc.ArgumentError):
    """Raised when a statement cannot be read the way the verb reads it."""

    verb: str
    reason: str
    remedy: str
    code = "wrong-statement"
    what = "this statement cannot be read by {e.verb}"
    why = "{e.reason}"
    fix = "{e.remedy}"


@dataclass(eq=False)
class EntityOutsideUnit(HermeticError, exc.InvalidRequestError):
    """Raised when entities are asked of a `Database`, where no unit of work would own them."""

    entity: str
    verb: str
    code = "entity-outside-unit"
    what = "{e.entity} entities cannot be read outside a unit of work"
    why = "an entity belongs to the unit of work that loaded it; outside there are shapes and rows"
    fix = (
        "read a shape: {e.verb}({e.entity}Card, select({e.entity}))\n"
        "or open a unit of work: with db.begin() as uow: uow.{e.verb}(select({e.entity}))"
    )


@dataclass(eq=False)
class NotFound(HermeticError, exc.NoResultFound):
    """Raised by `one` and `get_one` when there is no row."""

    subject: str
    verb: str
    alternative: str
    code = "not-found"
    what = "no {e.subject} matches"
    why = "{e.verb} promises exactly one row"
    fix = "call {e.alternative} where absence is allowed; it returns None"


@dataclass(eq=False)
class TooManyFound(HermeticError, exc.MultipleResultsFound):
    """Raised by `one` and `one_or_none` when a second row exists."""

    subject: str
    verb: str
    code = "too-many-found"
    what = "more than one {e.subject} matches"
    why = "{e.verb} promises at most one row, and two were found"
    fix = "filter by a unique column, or call first with an order_by, or all"


@dataclass(eq=False)
class WrongToken(HermeticError, ValueError):
    """Raised by `page` when a token was changed, or was made for another statement or shape."""

    reason: str
    remedy: str
    code = "wrong-token"
    what = "this page token cannot be used"
    why = "{e.reason}"
    fix = "{e.remedy}"


@dataclass(eq=False)
class WrongLimit(HermeticError, ValueError):
    """Raised by `page` when its limit is no number of rows, or more rows than allowed."""

    limit: str
    maximum: int
    code = "wrong-limit"
    what = "a page cannot have limit={e.limit}"
    why = "a page has 1 to {e.maximum} rows"
    fix = "pass limit=1 to limit={e.maximum}; the maximum is set by Database(..., limits=Limits(page=...))"


@dataclass(eq=False)
class TooLarge(HermeticError, exc.InvalidRequestError):
    """Raised when a read would return more than the limits of its database allow, before its shapes are made."""

    shape: str
    reason: str
    limit: str
    remedy: str
    code = "too-large"
    what = "this read of {e.shape} is too large"
    why = "{e.reason}"
    fix = "{e.remedy}\nor allow more: Database(..., limits=Limits({e.limit}=...))"


@dataclass(eq=False)
class CannotStream(HermeticError, exc.InvalidRequestError):
    """Raised by `stream` where rows cannot be sent as they are read, or would block the only connection."""

    shape: str
    reason: str
    remedy: str
    code = "cannot-stream"
    what = "{e.shape} cannot be streamed here"
    why = "{e.reason}"
    fix = "{e.remedy}"


@dataclass(eq=False)
class ValueMismatch(HermeticError, ValueError):
    """Raised when the database returns a value that the shape's type cannot hold; it never shows the value.

    Where one column is to blame, `field` is its path from the root shape, `column` and `type` what it reads, and `row`
    the number of the row among those fetched with it, from 1.
    """

    shape: str
    reason: str
    field: str = ""
    column: str = ""
    type: str = ""
    row: int = 0
    code = "value-mismatch"
    what = "a value in the database does not fit shape {e.shape}"
    why = "{e.reason}"
    fix = "correct the row, or the type of the column in the model and the shape; the schema and the model differ"


@dataclass(eq=False)
class NoExactForm(HermeticError, TypeError):
    """Raised when a column has no exact form on this database where the shape needs one."""

    field: str
    type: str
    database: str
    code = "no-exact-form"
    what = "{e.field} cannot be read exactly inside a collection on {e.database}"
    why = "{e.type} has no lossless JSON form there"
    fix = "read the column in a shape of its own, at the root of a statement"


@dataclass(eq=False)
class TooDeep(HermeticError, exc.CompileError):
    """Raised when a shape nests deeper than the database's parser can read in one statement."""

    shape: str
    database: str
    needed: int
    allowed: int
    unit: str
    code = "too-deep"
    what = "shape {e.shape} nests too deep for {e.database}"
    why = "its parser holds {e.allowed} {e.unit}; this needs {e.needed}"
    fix = "lower depth=..., or read the inner levels in a statement of their own"


@dataclass(eq=False)
class CycleFound(HermeticError, exc.DataError):
    """Raised when a `recursive()` field meets a row that is above itself."""

    field: str
    model: str
    code = "cycle-found"
    what = "{e.field} goes round in a cycle"
    why = "a row of {e.model} is above itself, so its tree has no end; cutting it would show rows that are not so"
    fix = "correct the row; recursive(..., where=...) leaves rows out, with what hangs on them"


@dataclass(eq=False)
class TreeTooDeep(HermeticError, exc.DataError):
    """Raised when a `recursive()` field finds more levels than it allows."""

    field: str
    max_depth: int
    code = "tree-too-deep"
    what = "{e.field} has more than {e.max_depth} levels"
    why = "recursive() reads a tree to its end or not at all"
    fix = "raise max_depth=..., or read the levels you need with many(..., depth={e.max_depth})"


@dataclass(eq=False)
class UnsupportedDatabase(HermeticError, exc.CompileError):
    """Raised when a shape is read from a database that hermetic cannot compile it for."""

    database: str
    supported: str
    code = "unsupported-database"
    what = "shapes cannot be read from {e.database}"
    why = "this release compiles them for {e.supported}"
    fix = "use SQLAlchemy on db.engine there, or one of {e.supported}"


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
class TruncatedAggregate(HermeticError, exc.DataError):
    """Raised when MariaDB cut a collection short and only warned; its rows are never returned."""

    warning: str
    group_concat_max_len: int
    max_allowed_packet: int
    code = "truncated-aggregate"
    what = "the server cut a collection short"
    why = (
        "MariaDB warned: {e.warning}\n"
        "a collection is at most group_concat_max_len = {e.group_concat_max_len} bytes here, "
        "and max_allowed_packet = {e.max_allowed_packet}"
    )
    fix = (
        "read less for each parent: many(..., limit=...), or fewer fields\n"
        "or raise max_allowed_packet on the server, and group_concat_max_len where something lowered it"
    )


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
    is_async: bool
    code = "not-the-owner"
    what = "{e.verb} was called on the session of a unit of work ({e.caller})"
    why = (
        "the unit of work begun at {e.owner} owns the transaction: it commits when its block ends, "
        "and rolls back on an error"
    )
    fix = (
        "delete the call; to send changes now, use {e.awaited}uow.flush(); "
        "to undo a part, {e.asynchronous}with uow.savepoint(): ..."
    )

    @property
    def awaited(self) -> str:
        """Return the word before a call of an async unit."""
        return "await " if self.is_async else ""

    @property
    def asynchronous(self) -> str:
        """Return the word before a block of an async unit."""
        return "async " if self.is_async else ""


@dataclass(eq=False)
class SwallowedFailure(HermeticError, exc.PendingRollbackError):
    """Raised when a unit of work in which a database error was caught is used again or would commit; `__cause__` is
    that error.
    """

    failure: str
    place: str
    owner: str
    is_async: bool
    code = "swallowed-failure"
    what = "a unit of work goes no further after {e.failure} ({e.place})"
    why = (
        "a statement failed, the error was caught, and what belongs together is incomplete: PostgreSQL would answer "
        "COMMIT with a rollback, so the unit begun at {e.owner} is rolled back on every database"
    )
    fix = (
        "let the error leave the block of the unit\n"
        "or, to catch it and go on, put what may fail into a savepoint, and the try around it:\n"
        "try:\n"
        "    {e.asynchronous}with uow.savepoint(): ...\n"
        "except IntegrityError: ..."
    )

    @property
    def asynchronous(self) -> str:
        """Return the word before a block of an async unit."""
        return "async " if self.is_async else ""


@dataclass(eq=False)
class UnitClosed(HermeticError, exc.InvalidRequestError):
    """Raised when a unit of work is used before its block begins or after it ended."""

    owner: str
    state: str
    is_async: bool
    code = "unit-closed"
    what = "this unit of work {e.state}"
    why = "a unit of work is one transaction; the one of {e.owner} is not open"
    fix = "open another: {e.asynchronous}with db.begin() as uow: ..."

    @property
    def asynchronous(self) -> str:
        """Return the word before a block of an async unit."""
        return "async " if self.is_async else ""


@dataclass(eq=False)
class UnitShared(HermeticError, exc.IllegalStateChangeError):
    """Raised when a unit of work is used by another task or thread than the one that began it."""

    user: str
    caller: str
    holder: str
    owner: str
    is_async: bool
    code = "unit-shared"
    what = "{e.user} used the unit of work of {e.holder} ({e.caller})"
    why = "the unit begun at {e.owner} is one transaction on one connection, and belongs to one task or thread"
    fix = (
        "give each branch a unit of its own: {e.asynchronous}with db.begin() as uow: ..., inside the branch\n"
        "or read on the Database, which any number of tasks and threads share: {e.awaited}db.all(...)\n"
        "or do one after the other; for a timeout use asyncio.timeout, since wait_for is a task of its own before 3.12"
    )

    @property
    def awaited(self) -> str:
        """Return the word before a call of an async unit."""
        return "await " if self.is_async else ""

    @property
    def asynchronous(self) -> str:
        """Return the word before a block of an async unit."""
        return "async " if self.is_async else ""


@dataclass(eq=False)
class UnknownDriver(HermeticError, exc.ArgumentError):
    """Raised when a database URL names a dialect or driver that cannot be used."""

    url: str
    reason: str
    remedy: str
    code = "unknown-driver"
    what = "no driver for {e.url}"
    why = "{e.reason}"
    fix = "{e.remedy}"


@dataclass(eq=False)
class MissingPackage(HermeticError, ImportError):
    """Raised when an optional package is needed and not installed."""

    package: str
    purpose: str
    extra: str
    code = "missing-package"
    what = "{e.package} is not installed"
    why = "{e.purpose} needs it"
    fix = 'pip install "hermetic[{e.extra}]"'


@dataclass(eq=False)
class CannotConnect(HermeticError, exc.OperationalError):
    """Raised when the server could not be reached or refused the connection."""

    url: str
    reason: str
    remedy: str
    code = "cannot-connect"
    what = "could not connect to {e.url}"
    why = "{e.reason}"
    fix = "{e.remedy}"


@dataclass(eq=False)
class MissingTable(HermeticError, exc.ProgrammingError):
    """Raised when a statement names a table that the database does not have."""

    missing: str
    database: str
    code = "missing-table"
    what = "the database lacks a table: {e.missing}"
    why = "{e.database} was reached, and its schema is behind the models"
    fix = "run the migrations; in demos and tests: db.create_all(Base)"


@dataclass(eq=False)
class ModelError(ProblemsFound, exc.ArgumentError):
    """Raised when a model is defined in a way that fails in production: at definition, or when its mapper is
    configured.
    """

    code = "model-refused"
    what = "{e.count} in model {e.subject} ({e.location})"
    why = "a model is checked when it is defined, before any table or row exists"
