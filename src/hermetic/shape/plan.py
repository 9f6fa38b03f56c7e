"""Plan a read once, run it many times: SQL text, bind values, decoder; kept by shape and by the statement's form."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, Dialect, Select
from sqlalchemy.sql.cache_key import CacheKey
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import Enum

from hermetic.errors import ValueMismatch, WrongStatement
from hermetic.shape.compile import compose, tables_of
from hermetic.shape.decode import Make, Rows, maker
from hermetic.shape.define import ShapeOf
from hermetic.shape.dialects import blocks_for
from hermetic.shape.statement import cache_key, entity_mapper, entity_of, gathered
from hermetic.shape.wire import Labels, enum_members, unwrap

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
        self._renders_late = bool(compiled.post_compile_params or compiled.literal_execute_params)

    def __str__(self) -> str:
        return f"-- {self.shape}: {self.strategy}, {self.statements} statement: {self.reason}\n{self.sql}"

    def bind(self, values: CacheKey | None) -> tuple[str, Parameters]:
        """Return the SQL text and the driver's parameters for the values of one statement."""
        compiled, sql, processors = self._compiled, self.sql, self._processors
        order: Sequence[str] | None = compiled.positiontup
        given, extracted = (values.params, values.bindparams) if values is not None else (None, None)
        # names are escaped last: what comes between looks parameters up by their own names
        named: Mapping[str, Any] = compiled.construct_params(given, extracted, escape_names=False)
        if self._renders_late:
            state = compiled.construct_expanded_state(named, escape_names=False)
            sql, named, order = state.statement, state.parameters, state.positiontup
            processors = {**processors, **state.processors}
        processed = _processed(named, processors)
        if compiled.positional:
            return sql, tuple(processed[name] for name in order or ())
        escaped = compiled.escaped_bind_names
        return sql, {escaped.get(name, name): value for name, value in processed.items()} if escaped else processed

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
        except ValueMismatch:
            raise
        except (msgspec.DecodeError, ValueError) as error:  # of msgspec, or of a text that is no date
            raise ValueMismatch(self.shape, str(error)) from error

    def _maker(self, type_codes: Sequence[Any]) -> Make:
        loads = []
        for carrier, code in zip(self._carriers, type_codes, strict=False):
            load = carrier.load
            kind, travels = carrier.expression.type, unwrap(carrier.expression.type)
            if carrier.use_processor and isinstance(travels, Enum):
                load = Labels(enum_members(travels)).__getitem__
            elif carrier.use_processor:
                load = kind.dialect_impl(self._dialect).result_processor(self._dialect, code)
            loads.append(load)
        return maker(self._record, loads)


class Plans:
    """The plans of one database, the least recently used forgotten first."""

    def __init__(self, dialect: Dialect, size: int = 1000) -> None:
        self._dialect = dialect
        self._size = size
        self._plans: OrderedDict[Any, Plan] = OrderedDict()
        self._lock = threading.Lock()

    def plan(self, definition: ShapeOf[Any, Any], statement: Any, verb: str) -> tuple[Plan, CacheKey | None]:
        """Return the plan for `statement` and the values it carries; a statement of a known form compiles nothing."""
        if isinstance(statement, Select):
            statement = gathered(statement, self._dialect)
        key = cache_key(statement) if isinstance(statement, Select) else None
        if key is None:
            return Plan(definition, statement, self._dialect, None, verb), None
        place = (definition, key.key)
        plan = self._plans.get(place)
        made = plan or Plan(definition, statement, self._dialect, key, verb)
        with self._lock:  # another thread may have forgotten it since
            plan = self._plans.setdefault(place, made)
            self._plans.move_to_end(place)
            if len(self._plans) > self._size:
                self._plans.popitem(last=False)
        return plan, key

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
