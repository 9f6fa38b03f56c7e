"""Plan a read once, run it many times: SQL text, bind values, decoder; kept by shape and by the statement's form."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import BindParameter, Connection, Dialect, Select
from sqlalchemy.sql.compiler import SQLCompiler

from hermetic.errors import ValueMismatch, WrongStatement
from hermetic.shape.compile import compose, tables_of
from hermetic.shape.decode import Make, Rows, maker
from hermetic.shape.define import ShapeOf
from hermetic.shape.dialects import blocks_for
from hermetic.shape.statement import cache_key, entity_mapper, entity_of

TABLES = "hermetic_tables"
"""The execution option under which a planned statement carries the names of its tables, for error texts."""

Process = Callable[[Any], Any]
Parameters = Mapping[str, Any] | Sequence[Any]


class Plan:
    """How one shape is read through statements of one form: the SQL, the strategy and why, and the number of
    statements.

    `str(plan)` shows all of it. A plan holds no connection and no values.
    """

    def __init__(
        self, definition: ShapeOf[Any, Any], statement: Select[Any], dialect: Dialect, key: Any, verb: str
    ) -> None:
        entity = entity_of(statement, verb)
        node = definition.node
        _check_model(definition, entity, verb)
        composed = compose(statement, entity, node, blocks_for(dialect))
        compiled = composed.statement.compile(dialect=dialect, cache_key=key)
        assert isinstance(compiled, SQLCompiler)  # a Select always compiles to SQL
        self.shape: str = definition.shape.__name__
        self.sql: str = compiled.string
        self.strategy: str = "correlated" if composed.collections else "flat"
        self.statements: int = 1
        self.reason: str = _reason(composed.collections)
        self.tables: frozenset[str] = tables_of(composed.statement)
        self._options = {TABLES: self.tables}
        self._dialect = dialect
        self._compiled = compiled
        self._carriers = composed.carriers
        self._record = composed.record
        self._make: Make | None = None
        self._processors = _bind_processors(compiled, dialect)
        self._expands = any(parameter.expanding for parameter in compiled.bind_names)

    def __str__(self) -> str:
        return f"-- {self.shape}: {self.strategy}, {self.statements} statement: {self.reason}\n{self.sql}"

    def bind(self, values: Sequence[BindParameter[Any]] | None) -> tuple[str, Parameters]:
        """Return the SQL text and the driver's parameters for the values of one statement."""
        compiled = self._compiled
        named: Mapping[str, Any] = compiled.construct_params(extracted_parameters=values)
        if self._expands:
            state = compiled.construct_expanded_state(named, escape_names=False)
            processed = _processed(state.parameters, {**self._processors, **state.processors})
            order = state.positiontup if compiled.positional else None
            return state.statement, _ordered(processed, order)
        return self.sql, _ordered(
            _processed(named, self._processors), compiled.positiontup if compiled.positional else None
        )

    def run(self, connection: Connection, sql: str, parameters: Parameters) -> list[Any]:
        """Return the shapes of all rows.

        Raises:
            ValueMismatch: a value does not fit its field.
        Statements: 1 SELECT.
        """
        result = connection.exec_driver_sql(sql, parameters, self._options)
        if self._make is None:
            cursor: Any = result.cursor  # open: a SELECT returns rows
            self._make = self._maker([column[1] for column in cursor.description])
        rows: Rows = result.all()
        return self.decode(rows)

    def decode(self, rows: Rows) -> list[Any]:
        """Return the shapes of `rows`."""
        assert self._make is not None
        try:
            return self._make(rows)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise ValueMismatch(self.shape, str(error)) from error

    def _maker(self, type_codes: Sequence[Any]) -> Make:
        loads = []
        for carrier, code in zip(self._carriers, type_codes, strict=False):
            load = carrier.load
            if carrier.use_processor:
                load = carrier.expression.type.dialect_impl(self._dialect).result_processor(self._dialect, code)
            loads.append(load)
        return maker(self._record, loads)


class Plans:
    """The plans of one database, the least recently used forgotten first."""

    def __init__(self, dialect: Dialect, size: int = 1000) -> None:
        self._dialect = dialect
        self._size = size
        self._plans: OrderedDict[Any, Plan] = OrderedDict()

    def plan(
        self, definition: ShapeOf[Any, Any], statement: Any, verb: str
    ) -> tuple[Plan, Sequence[BindParameter[Any]] | None]:
        """Return the plan for `statement` and the values it carries; a statement of a known form compiles nothing."""
        key = cache_key(statement) if isinstance(statement, Select) else None
        if key is None:
            return Plan(definition, statement, self._dialect, None, verb), None
        place = (definition, key.key)
        plan = self._plans.get(place)
        if plan is None:
            plan = self._plans[place] = Plan(definition, statement, self._dialect, key, verb)
            if len(self._plans) > self._size:
                self._plans.popitem(last=False)
        else:
            self._plans.move_to_end(place)
        return plan, key.bindparams

    def __len__(self) -> int:
        return len(self._plans)


def _check_model(definition: ShapeOf[Any, Any], entity: Any, verb: str) -> None:
    selected = entity_mapper(entity).class_.__name__
    model, shape = definition.model.__name__, definition.shape.__name__
    if not issubclass(entity_mapper(entity).class_, definition.model):
        raise WrongStatement(
            verb,
            f"it selects {selected}, and {shape} is a shape of {model}",
            f"select({model}), or read a Shape[{selected}]",
        )


def _reason(collections: int) -> str:
    if not collections:
        return "no collection: plain columns in the driver's own types"
    counted = "1 collection" if collections == 1 else f"{collections} collections"
    return f"{counted} at the root: one correlated JSON column each"


def _bind_processors(compiled: SQLCompiler, dialect: Dialect) -> dict[str, Process]:
    found: dict[str, Process] = {}
    for parameter, name in compiled.bind_names.items():
        process = parameter.type.dialect_impl(dialect).bind_processor(dialect)
        if process is not None and not parameter.expanding:
            found[name] = process
    return found


def _processed(named: Mapping[str, Any], processors: Mapping[str, Any]) -> Mapping[str, Any]:
    if not processors:
        return named
    return {name: processors[name](value) if name in processors else value for name, value in named.items()}


def _ordered(named: Mapping[str, Any], order: Sequence[str] | None) -> Parameters:
    return named if order is None else tuple(named[name] for name in order)
