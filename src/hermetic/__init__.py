"""A type-safe data-access layer for SQLAlchemy that survives production.

`select()` decides which rows, the shape decides what of them, the unit of work decides when it is true.
"""

from hermetic.engine import Pool
from hermetic.errors import (
    CannotConnect,
    EntityOutsideUnit,
    HermeticError,
    MissingPackage,
    MissingTable,
    ModelError,
    NoExactForm,
    NotFound,
    NotLoaded,
    NotTheOwner,
    Problem,
    ProblemsFound,
    ServerTooOld,
    ShapeError,
    TooDeep,
    TooManyFound,
    TruncatedAggregate,
    UnitClosed,
    UnknownDriver,
    UnsupportedDatabase,
    ValueMismatch,
    WrongStatement,
)
from hermetic.model import Base, ExactDecimal, InexactDecimal, Json, NaiveDateTime, lint_models
from hermetic.observe import Statement
from hermetic.shape import Plan, Shape, count, many, path
from hermetic.work import AsyncDatabase, AsyncRepository, AsyncUnitOfWork, Database, Repository, UnitOfWork

__all__ = [
    "AsyncDatabase",
    "AsyncRepository",
    "AsyncUnitOfWork",
    "Base",
    "CannotConnect",
    "Database",
    "EntityOutsideUnit",
    "ExactDecimal",
    "HermeticError",
    "InexactDecimal",
    "Json",
    "MissingPackage",
    "MissingTable",
    "ModelError",
    "NaiveDateTime",
    "NoExactForm",
    "NotFound",
    "NotLoaded",
    "NotTheOwner",
    "Plan",
    "Pool",
    "Problem",
    "ProblemsFound",
    "Repository",
    "ServerTooOld",
    "Shape",
    "ShapeError",
    "Statement",
    "TooDeep",
    "TooManyFound",
    "TruncatedAggregate",
    "UnitClosed",
    "UnitOfWork",
    "UnknownDriver",
    "UnsupportedDatabase",
    "ValueMismatch",
    "WrongStatement",
    "count",
    "lint_models",
    "many",
    "path",
]
