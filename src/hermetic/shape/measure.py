"""What an aggregate may measure, and what its field must say; each refusal with the line to paste."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapper, QueryableAttribute
from sqlalchemy.types import Boolean, Date, DateTime, Enum, Float, Integer, Interval, Numeric, String, Time, TypeEngine

from hermetic.model import AwareDateTime, ExactDecimal, ExactInterval
from hermetic.shape.annotation import Annotation, type_name
from hermetic.shape.attributes import column_facts, key_behind, python_type
from hermetic.shape.codec import has_exact_form
from hermetic.shape.criteria import clause_of
from hermetic.shape.fields import Function, Over
from hermetic.shape.lines import line
from hermetic.shape.wire import is_float, unwrap

_NUMBERS = (Integer, Numeric, Float, ExactDecimal)
_ORDERED = (*_NUMBERS, String, Date, DateTime, Time, Interval, AwareDateTime, ExactInterval)
NAMES: dict[Function, str] = {
    "count": "a count",
    "exists": "exists",
    "sum": "a sum",
    "min": "a minimum",
    "max": "a maximum",
    "avg": "an average",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What is measured, and the Python types a field may have; the first is the one to propose."""

    label: str
    kind: TypeEngine[Any]
    python: tuple[Any, ...]


def plain(function: Function) -> Measured:
    """Return what a function gives that measures nothing."""
    return Measured("", Boolean(), (bool,)) if function == "exists" else Measured("", Integer(), (int,))


def measured(target: Mapper[Any], marker: Over) -> Measured | None:
    """Return what `marker` measures on rows of `target`; None for what is no column and no expression."""
    measure: Any = marker.measure
    if isinstance(measure, QueryableAttribute):
        facts = column_facts(target, key_behind(target, measure.key))
        if facts is None:
            return None
        return Measured(facts.label, facts.kind, _results(marker.function, facts.kind, facts.python_type))
    clause = clause_of(measure)
    if not isinstance(clause, ColumnElement):
        return None
    return Measured("the expression", clause.type, _results(marker.function, clause.type, python_type(clause.type)))


def fits(function: Function, kind: TypeEngine[Any]) -> bool:
    """Return whether values of the type can be added up, or have an order that all databases share."""
    stored = unwrap(kind)
    if isinstance(stored, Enum) or (isinstance(stored, Float) and stored.asdecimal) or not has_exact_form(kind):
        return False
    return isinstance(stored, _NUMBERS if function in ("sum", "avg") else _ORDERED)


def text_of(marker: Over, of: Measured) -> str:
    """Return the annotation to propose."""
    name = type_name(of.python[0])
    return f"{name} | None" if marker.function in ("min", "max", "avg") else name


def proposal(target: Mapper[Any], marker: Over, name: str) -> str:
    """Return the line with a column of `target` that can be measured, or with a count where there is none."""
    for attribute, of in _measurable(target, marker):
        if marker.where is not None:
            return f"{attribute}  # to be measured; the filter stays"
        return line(name, text_of(marker, of), replace(marker, measure=attribute))
    return line(name, "int", Over("count", marker.relationship))


def refusal(annotation: Annotation, marker: Over, of: Measured) -> str | None:
    """Return what is wrong with the annotation."""
    named = f"{NAMES[marker.function]} of {of.label}" if of.label else NAMES[marker.function]
    may_be_none = marker.function in ("sum", "min", "max", "avg")
    if annotation.type not in of.python or (annotation.is_optional and not may_be_none):
        choice = " or ".join(type_name(each) for each in of.python)
        return f"{named} is {choice}, not {annotation.text}"
    if marker.function in ("min", "max", "avg") and not annotation.is_optional:
        return f"{named} is None where there are no rows, so `{annotation.text}` would lie"
    return None


def _results(function: Function, kind: TypeEngine[Any], python: Any) -> tuple[Any, ...]:
    if function == "avg":
        stored = unwrap(kind)
        return (float, Decimal) if isinstance(stored, Integer) else (float,) if is_float(stored) else (Decimal,)
    return (python,)


def _measurable(target: Mapper[Any], marker: Over) -> Iterator[tuple[Any, Measured]]:
    keys = {column for column in target.primary_key} | {key.parent for key in target.local_table.foreign_keys}
    for declared in target.column_attrs:
        attribute = getattr(target.class_, declared.key)
        of = measured(target, replace(marker, measure=attribute))
        if of is not None and fits(marker.function, of.kind) and not keys & set(declared.columns):
            yield attribute, of
