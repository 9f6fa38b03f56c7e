"""`ExactDecimal`: decimals that are never rounded, on SQLite as scaled integers."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any, cast

from sqlalchemy import BigInteger, Integer, Numeric, literal, literal_column, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import operators
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine

from hermetic.model.refusals import InexactDecimal, NoExactOperator

_WIDE = 1000  # digits PostgreSQL allows in a declared precision
_INT64 = 2**63
_CONTEXT = decimal.Context(prec=2 * _WIDE)  # never the context of the caller, which may round

_ADDITIVE = frozenset({operators.add, operators.sub, operators.mod})
_COMPARISON = frozenset(
    {
        operators.eq,
        operators.ne,
        operators.lt,
        operators.le,
        operators.gt,
        operators.ge,
        operators.is_distinct_from,
        operators.is_not_distinct_from,
        operators.between_op,
        operators.not_between_op,
    }
)
_ALIGNED = _ADDITIVE | _COMPARISON
_REFUSED = frozenset({operators.floordiv, operators.pow_})


class ExactDecimal(TypeDecorator[Decimal]):
    """A decimal with `precision` digits, `scale` of them after the point; never rounded, refused if it does not fit.

    Args:
        precision: digits in all, 1 to 1000; SQLite holds 18.
        scale: digits after the point, 0 to `precision`.

    Databases: `NUMERIC(precision, scale)`; on SQLite a 64-bit integer, the value times 10**scale, so that order,
        comparison, `sum`, `min`, `max`, `+`, `-`, `*` and `%` are exact, with other decimals and with ints. `/` is a
        float there. What sees the bare integer there: functions that SQLAlchemy gives no type (`func.avg`, `func.abs`,
        `func.round`), `cast()`, textual SQL, a subquery of another scale in `in_`, a literal inside `func.coalesce`,
        an integer column on the left of `+`, `-` or a comparison. Write `type_coerce(func.avg(price),
        ExactDecimal(10, 2))`, and put the decimal on the left.
    Raises:
        InexactDecimal: too many digits before or after the point, or not a finite number.
        NoExactOperator: `//` or `**` in SQL.
    """

    impl = Numeric
    cache_ok = True

    class Comparator(TypeDecorator.Comparator[Decimal], Numeric.Comparator[Decimal]):
        """The operators of Numeric, with both sides brought to one scale."""

        def operate(self, op: OperatorType, *other: Any, **kwargs: Any) -> ColumnElement[Any]:
            """Return the expression with the exact type of its result."""
            mine = cast(ExactDecimal, self.type)
            if op in _REFUSED:
                raise NoExactOperator("//" if op is operators.floordiv else "**")
            if op is operators.mul and _scale_of(other[0]) is not None:
                factor = _expression(other[0])
                product = super().operate(op, factor, **kwargs)
                return type_coerce(product, ExactDecimal(_WIDE, mine.scale + _scale(factor)))
            if op is operators.truediv and _scale_of(other[0]) is not None:
                return Quotient(self.expr, _expression(other[0]))
            if op in _ALIGNED:
                scale = max([mine.scale, *(_scale_beside(op, each) for each in other)])
                sides = [_at_scale(op, each, scale) for each in other]
                if scale > mine.scale:
                    return Rescaled(self.expr, scale).operate(op, *sides, **kwargs)
                result = super().operate(op, *sides, **kwargs)
                return type_coerce(result, ExactDecimal(_WIDE, scale)) if op in _ADDITIVE else result
            return super().operate(op, *other, **kwargs)

        def reverse_operate(self, op: OperatorType, other: Any, **kwargs: Any) -> ColumnElement[Any]:
            """Return the expression with the number on the left, as exact as the other way round."""
            if _scale_of(other) is None:
                return super().reverse_operate(op, other, **kwargs)
            return _expression(other).operate(op, self.expr, **kwargs)

    comparator_factory = Comparator  # pyright: ignore[reportAssignmentType]  # a documented attribute, declared memoized

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision=precision, scale=scale)
        self.precision = precision
        self.scale = scale

    @property
    def python_type(self) -> type[Decimal]:
        """Return `Decimal`."""
        return Decimal

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the type that stores the number: an integer on SQLite."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(Numeric(self.precision, self.scale))

    def coerce_compared_value(self, op: OperatorType | None, value: Any) -> TypeEngine[Any]:
        """Return the type of a literal beside this column; a comparison may name more digits than the column holds."""
        return Operand(self.precision, self.scale) if _is_number(value) else self

    def process_bind_param(self, value: Decimal | float | None, dialect: Dialect) -> Any:
        """Return what the driver gets: the number, or the scaled integer."""
        if value is None:
            return None
        number = _number(value)
        scaled = self._scaled(number)
        if scaled is None:
            raise InexactDecimal(self.precision, self.scale, f"has more than {self.scale} digits after the point")
        if abs(scaled) >= 10**self.precision:
            raise InexactDecimal(self.precision, self.scale, "has too many digits before the point")
        return self._int64(scaled) if dialect.name == "sqlite" else number

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Return the number; a float is the result of an SQL division on SQLite."""
        if value is None or dialect.name != "sqlite":
            return cast("Decimal | None", value)
        return Decimal(str(value)).scaleb(-self.scale, _CONTEXT)

    def _scaled(self, number: Decimal) -> int | None:
        """Return `number * 10**scale`, or None when that is not an integer."""
        if not number.is_finite() or number.adjusted() > _WIDE:
            raise InexactDecimal(self.precision, self.scale, "is not finite, or has too many digits")
        sign, digits, exponent = number.as_tuple()
        shift = cast(int, exponent) + self.scale
        whole = int("".join(map(str, digits)))
        if shift < 0:
            if -shift > len(digits) and whole:
                return None
            whole, rest = divmod(whole, 10**-shift) if whole else (0, 0)
            if rest:
                return None
        else:
            whole *= 10**shift
        return -whole if sign else whole

    def _int64(self, scaled: int) -> int:
        if not -_INT64 <= scaled < _INT64:
            raise InexactDecimal(self.precision, self.scale, "exceeds the 64-bit integer that holds it on SQLite")
        return scaled


class Operand(ExactDecimal):
    """A number beside an `ExactDecimal` in an expression. It may be finer than the column: nothing is stored."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return an unbounded Numeric, since some drivers cast a bind to its type, which would round."""
        return super().load_dialect_impl(dialect) if dialect.name == "sqlite" else dialect.type_descriptor(Numeric())

    def process_bind_param(self, value: Decimal | float | None, dialect: Dialect) -> Any:
        """Return what the driver gets. Between two integers, any fraction orders like one half."""
        if value is None:
            return None
        number = _number(value)
        if dialect.name != "sqlite":
            return number
        scaled = self._scaled(number)
        if scaled is not None:
            return self._int64(scaled)
        below = int(number.scaleb(self.scale, _CONTEXT).to_integral_value(decimal.ROUND_FLOOR, _CONTEXT))
        if abs(below) >= 2**52:
            raise InexactDecimal(self.precision, self.scale, "cannot be compared exactly on SQLite")
        return below + 0.5


class Rescaled(FunctionElement[Decimal]):
    """An expression brought to a larger scale; only SQLite computes anything."""

    inherit_cache = True

    def __init__(self, expression: ColumnElement[Any], scale: int) -> None:
        self.type = ExactDecimal(_WIDE, scale)
        super().__init__(expression, literal_column(str(10 ** (scale - _scale(expression)))))


class Quotient(FunctionElement[Decimal]):
    """A division; on SQLite a float at the scale of the dividend."""

    inherit_cache = True

    def __init__(self, dividend: ColumnElement[Any], divisor: ColumnElement[Any]) -> None:
        self.type = ExactDecimal(_WIDE, _scale(dividend))
        super().__init__(dividend, divisor, literal_column(str(10 ** _scale(divisor))))


@compiles(Rescaled)
def _rescaled(element: Rescaled, compiler: SQLCompiler, **kw: Any) -> str:
    expression, _ = element.clauses
    return f"({compiler.process(expression, **kw)})"


@compiles(Rescaled, "sqlite")
def _rescaled_integer(element: Rescaled, compiler: SQLCompiler, **kw: Any) -> str:
    expression, factor = element.clauses
    return f"(({compiler.process(expression, **kw)}) * {compiler.process(factor, **kw)})"


@compiles(Quotient)
def _quotient(element: Quotient, compiler: SQLCompiler, **kw: Any) -> str:
    dividend, divisor, _ = element.clauses
    return f"(({compiler.process(dividend, **kw)}) / ({compiler.process(divisor, **kw)}))"


@compiles(Quotient, "sqlite")
def _quotient_float(element: Quotient, compiler: SQLCompiler, **kw: Any) -> str:
    dividend, divisor, factor = (compiler.process(each, **kw) for each in element.clauses)
    return f"(CAST(({dividend}) AS REAL) * {factor} / ({divisor}))"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _number(value: Decimal | float) -> Decimal:
    return Decimal(repr(value)) if isinstance(value, float) else Decimal(value)


def _scale_of(side: Any) -> int | None:
    """Return the digits after the point of a number or an exact expression; None for anything else."""
    if _is_number(side):
        exponent = _number(side).as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0
    kind = getattr(side, "type", None)
    if isinstance(kind, ExactDecimal):
        return kind.scale
    return 0 if isinstance(kind, Integer) else None


def _scale(side: Any) -> int:
    return _scale_of(side) or 0


def _scale_beside(op: OperatorType, side: Any) -> int:
    """Return the scale that a side asks of the other: in a comparison a literal asks none, `Operand` copes."""
    return 0 if op in _COMPARISON and _is_number(side) else _scale(side)


def _expression(side: Any) -> ColumnElement[Any]:
    """Return the expression, or a bind that carries exactly the digits of the number."""
    return literal(side, Operand(_WIDE, _scale(side))) if _is_number(side) else side


def _at_scale(op: OperatorType, side: Any, scale: int) -> Any:
    if _is_number(side):
        return side if op in _COMPARISON else literal(side, Operand(_WIDE, scale))
    own = _scale_of(side)
    return side if own is None or own == scale else Rescaled(side, scale)
