"""How a table is written in Python: `Base` with its conventions, the column types, and the definition lint."""

from hermetic.model.base import Base
from hermetic.model.decimals import ExactDecimal
from hermetic.model.documents import Json
from hermetic.model.enums import enum_by_value
from hermetic.model.instants import AwareDateTime, ExactInterval
from hermetic.model.lines import column_line
from hermetic.model.lint import lint_models
from hermetic.model.ready import can_configure
from hermetic.model.refusals import InexactDecimal, IntervalTooLong, NaiveDateTime, NoExactOperator
from hermetic.model.versioned import Versioned

__all__ = [
    "AwareDateTime",
    "Base",
    "ExactDecimal",
    "ExactInterval",
    "InexactDecimal",
    "IntervalTooLong",
    "Json",
    "NaiveDateTime",
    "NoExactOperator",
    "Versioned",
    "can_configure",
    "column_line",
    "enum_by_value",
    "lint_models",
]
