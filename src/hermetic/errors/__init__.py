"""Every exception of hermetic: typed facts, and three sentences that say what happened, why, and the fix."""

from hermetic.errors.definition import (
    MissingPackage,
    ModelError,
    NoExactForm,
    ShapeError,
    TooDeep,
    UnknownDriver,
    UnsupportedDatabase,
)
from hermetic.errors.form import (
    HermeticError,
    Problem,
    ProblemsFound,
)
from hermetic.errors.reads import (
    CannotStream,
    CycleFound,
    EntityOutsideUnit,
    NotFound,
    TooLarge,
    TooManyFound,
    TreeTooDeep,
    TruncatedAggregate,
    ValueMismatch,
    WrongLimit,
    WrongStatement,
    WrongToken,
)
from hermetic.errors.server import (
    CannotConnect,
    MissingTable,
    ServerTooOld,
)
from hermetic.errors.unit import (
    CannotLoad,
    NotLoaded,
    NotTheOwner,
    SwallowedFailure,
    UnitClosed,
    UnitShared,
)

__all__ = [
    "CannotConnect",
    "CannotLoad",
    "CannotStream",
    "CycleFound",
    "EntityOutsideUnit",
    "HermeticError",
    "MissingPackage",
    "MissingTable",
    "ModelError",
    "NoExactForm",
    "NotFound",
    "NotLoaded",
    "NotTheOwner",
    "Problem",
    "ProblemsFound",
    "ServerTooOld",
    "ShapeError",
    "SwallowedFailure",
    "TooDeep",
    "TooLarge",
    "TooManyFound",
    "TreeTooDeep",
    "TruncatedAggregate",
    "UnitClosed",
    "UnitShared",
    "UnknownDriver",
    "UnsupportedDatabase",
    "ValueMismatch",
    "WrongLimit",
    "WrongStatement",
    "WrongToken",
]
