"""What the column types refuse to store. None of these errors shows the value."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exc

from hermetic.errors import HermeticError


@dataclass(eq=False)
class NaiveDateTime(HermeticError, ValueError, exc.DontWrapMixin):
    """Raised when something other than a datetime with a time zone is bound to an `AwareDateTime`."""

    given: str
    code = "naive-datetime"
    what = "{e.given} was given for a column that stores an instant"
    why = "without a zone the database or the process would guess one, and shift the value silently"
    fix = "datetime.datetime.now(datetime.UTC), or value.replace(tzinfo=datetime.UTC) if the value is known to be UTC"


@dataclass(eq=False)
class InexactDecimal(HermeticError, ValueError, exc.DontWrapMixin):
    """Raised when a number does not fit the precision and scale of an `ExactDecimal`; it is never rounded."""

    precision: int
    scale: int
    reason: str
    code = "inexact-decimal"
    what = "the number {e.reason}"
    why = "the column is Numeric({e.precision}, {e.scale}), and storing would change the value"
    fix = "value.quantize(Decimal(1).scaleb(-{e.scale})) to round on purpose, or a wider column"


@dataclass(eq=False)
class NoExactOperator(HermeticError, TypeError):
    """Raised when an SQL operator has no exact meaning on an `ExactDecimal`."""

    operator: str
    code = "no-exact-operator"
    what = "operator {e.operator} cannot be used on an exact decimal column"
    why = "SQLite stores the column as a scaled integer, where this operator would give another number"
    fix = "compute it in Python; or, where the statement never runs on SQLite: type_coerce(column, Numeric()) first"


@dataclass(eq=False)
class IntervalTooLong(HermeticError, ValueError, exc.DontWrapMixin):
    """Raised when a timedelta exceeds the 64-bit count of microseconds that stores it."""

    database: str
    code = "interval-too-long"
    what = "the timedelta cannot be stored on {e.database}"
    why = "it is kept there as a 64-bit count of microseconds, about 292000 years either way"
    fix = "store a shorter interval, or the number of days in an int column"
