"""What a read refuses, or cannot return."""

# SQLAlchemy's errors have a `code` too, a link to its manual; ours is the name of the error
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exc

from hermetic.errors.form import HermeticError


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
    target: str
    verb: str
    code = "entity-outside-unit"
    what = "{e.entity} entities cannot be read outside a unit of work"
    why = "an entity belongs to the unit of work that loaded it; outside there are shapes and rows"
    fix = (
        "read a shape: [await] db.{e.verb}({e.shape})\n"
        "or open a unit of work: [async] with db.begin() as uow: [await] uow.{e.verb}({e.target})"
    )

    @property
    def shape(self) -> str:
        """What would be given to the verb with a shape of the entity."""
        return f"{self.entity}Card, key" if self.target.endswith(", key") else f"{self.entity}Card, {self.target}"


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
    field: str = ""
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
class TruncatedAggregate(HermeticError, exc.DataError):
    """Raised when MariaDB cut a collection short and only warned, or did not even warn; its rows are never returned.

    `warning` is empty where it did not warn, and what the server allows was not asked for then.
    """

    warning: str = ""
    group_concat_max_len: int | None = None
    max_allowed_packet: int | None = None
    code = "truncated-aggregate"
    what = "the server cut a collection short"
    why = (
        "{e.told}\n"
        "a collection is at most group_concat_max_len = {e.longest} bytes here, and max_allowed_packet = {e.largest}"
    )
    fix = (
        "read less for each parent: many(..., limit=...), or fewer fields\n"
        "or raise max_allowed_packet on the server, and group_concat_max_len where something lowered it"
    )

    @property
    def told(self) -> str:
        """What MariaDB said."""
        return f"MariaDB warned: {self.warning}" if self.warning else "its JSON breaks off, and MariaDB did not warn"

    @property
    def longest(self) -> str:
        """The bytes that a collection may have."""
        return str(self.group_concat_max_len or "(not asked)")

    @property
    def largest(self) -> str:
        """The bytes that a row may have."""
        return str(self.max_allowed_packet or "(not asked)")
