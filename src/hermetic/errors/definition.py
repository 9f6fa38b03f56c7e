"""What is refused before any statement is sent: definitions, and what a database is made with."""

# SQLAlchemy's errors have a `code` too, a link to its manual; ours is the name of the error
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exc

from hermetic.errors.form import HermeticError, ProblemsFound


@dataclass(eq=False)
class ShapeError(ProblemsFound, TypeError):
    """Raised when a shape does not fit its model: at definition, or when the mappers are configured."""

    code = "shape-mismatch"
    what = "{e.count} in shape {e.subject} ({e.location})"
    why = "a shape is checked against its model before any statement is sent"


@dataclass(eq=False)
class ModelError(ProblemsFound, exc.ArgumentError):
    """Raised when a model is defined in a way that fails in production: at definition, or when its mapper is
    configured.
    """

    code = "model-refused"
    what = "{e.count} in model {e.subject} ({e.location})"
    why = "a model is checked when it is defined, before any table or row exists"


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
class UnsupportedDatabase(HermeticError, exc.CompileError):
    """Raised when a shape is read from a database that hermetic cannot compile it for."""

    database: str
    supported: str
    code = "unsupported-database"
    what = "shapes cannot be read from {e.database}"
    why = "this release compiles them for {e.supported}"
    fix = "use SQLAlchemy on db.engine there, or one of {e.supported}"


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
