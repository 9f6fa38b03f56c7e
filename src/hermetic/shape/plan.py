"""Plan a read once, run it many times: SQL text, bind values, decoder; kept by shape and by the statement's form."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import msgspec
from sqlalchemy import Dialect, Select
from sqlalchemy.sql.cache_key import CacheKey
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import Enum

from hermetic.errors import NoExactForm, TooDeep, ValueMismatch, WrongStatement
from hermetic.query import with_gathered_lists
from hermetic.shape.bounds import UNBOUNDED, Bounds
from hermetic.shape.codec import KEYS, Blocks, Carrier
from hermetic.shape.compile import compose, tables_of
from hermetic.shape.decode import Bundle, Collection, Level, Make, maker
from hermetic.shape.define import ShapeOf
from hermetic.shape.dialects import blocks_for
from hermetic.shape.mismatch import refusal
from hermetic.shape.prepared import BoundRead, KeyTemplate
from hermetic.shape.statement import cache_key, entity_mapper, entity_of, limit_of
from hermetic.shape.strategy import Choice, choose, fallback, roots_of
from hermetic.shape.tree import linked
from hermetic.shape.ways import finds_one
from hermetic.shape.wire import Labels, enum_members, unwrap

TABLES = "hermetic_tables"
"""The execution option under which a planned statement carries the names of its tables, for error texts."""

STRATEGY = "hermetic_strategy"
"""The execution option of a statement that names the strategy of its shape reads, in place of the rule."""

Process = Callable[[Any], Any]
Parameters = Mapping[str, Any] | Sequence[Any]
Rows = Sequence[Sequence[Any]]
Values = CacheKey | Mapping[str, Any] | None
"""The values of one statement: those that its cache key holds, or by the names of its parameters."""

Fetch = Callable[["Step", str, Parameters], Rows]
"""Sends one statement and returns its rows; what stands between a plan and a driver."""


class Step:
    """One statement of a plan: its SQL, how values are bound and how its rows become shapes."""

    def __init__(self, shape: str, level: Level, blocks: Blocks, key: Any, bounds: Bounds) -> None:
        compiled = level.statement.compile(dialect=blocks.dialect, cache_key=key)
        assert isinstance(compiled, SQLCompiler)  # a Select always compiles to SQL
        self.shape = shape
        self.sql: str = compiled.string
        self.tables = tables_of(level.statement)
        self.below = [Step(shape, each, blocks, key, bounds) for each in level.below]
        self._bounds = bounds
        self._blocks = blocks
        self._level = level
        self._compiled = compiled
        self._make: Make | None = None
        self._loads: list[Any] = []
        self._stored = [each.stored for each in level.carriers]
        self._is_typed = not any(self._stored)
        self.texts = tuple(index for index, each in enumerate(level.carriers) if _is_collection(each))
        self._fixed: dict[str, Any] | None = None  # what a statement with named values binds beside them
        self._processors = _bind_processors(compiled, blocks.dialect)
        self._renders_late = bool(compiled.post_compile_params or compiled.literal_execute_params)

    def __iter__(self) -> Any:
        yield self
        for step in self.below:
            yield from step

    @property
    def is_learned(self) -> bool:
        """Return whether the types of the driver's columns are known; the first rows tell them."""
        return self._make is not None

    def learn(self, type_codes: Sequence[Any]) -> None:
        """Prepare the decoder for columns of these DBAPI types."""
        loads: list[Any] = []
        dialect = self._blocks.dialect
        for carrier, code in zip(self._level.carriers, type_codes, strict=False):
            load = carrier.load
            kind, travels = carrier.expression.type, unwrap(carrier.expression.type)
            if carrier.use_processor and isinstance(travels, Enum):
                load = Labels(enum_members(travels)).__getitem__
            elif carrier.use_processor:
                load = _checked(kind.dialect_impl(dialect).result_processor(dialect, code), load)
            loads.append(load)
        self._loads = loads
        is_nested = self._level.tree is not None and self._level.tree.part.node is None
        self._make = maker(self._level.record, len(type_codes), loads, len(self.below), has_own=is_nested)

    def bind(self, values: Values, keys: Mapping[str, Any] | None = None) -> tuple[str, Parameters]:
        """Return the SQL text and the driver's parameters for the values of a statement, and for `keys` of parents."""
        compiled, sql, processors = self._compiled, self.sql, self._processors
        given = values if isinstance(values, dict) and keys is None and not self._renders_late else None
        if given is not None and self._fixed is not None:
            return sql, self._arranged({**self._fixed, **_processed(given, processors)}, compiled.positiontup)
        extracted = values.bindparams if isinstance(values, CacheKey) else None
        params = values.params if isinstance(values, CacheKey) else values
        # names are escaped last: what comes between looks parameters up by their own names
        named: Any = compiled.construct_params({**(params or {}), **(keys or {})}, extracted, escape_names=False)
        order: Sequence[str] | None = compiled.positiontup
        if self._renders_late:
            state = compiled.construct_expanded_state(named, escape_names=False)
            sql, named, order = state.statement, state.parameters, state.positiontup
            processors = {**processors, **state.processors}
        processed = _processed(named, processors)
        if given is not None:
            self._fixed = {name: value for name, value in processed.items() if name not in given}
        return sql, self._arranged(processed, order)

    def _arranged(self, named: Mapping[str, Any], order: Sequence[str] | None) -> Parameters:
        if self._compiled.positional:
            return tuple([named[name] for name in order or ()])
        escaped = self._compiled.escaped_bind_names
        return {escaped.get(name, name): value for name, value in named.items()} if escaped else named

    def made(self, rows: Rows, fetch: Fetch, values: Values) -> list[Any]:
        """Return the shapes of `rows`, after the levels below were fetched."""
        return self._filled(rows, [step.lists(rows, fetch, values) for step in self.below])

    def _filled(self, rows: Rows, lists: Sequence[Sequence[list[Any]]]) -> list[Any]:
        assert self._make is not None
        try:
            if not self._is_typed and not _are_stored(self._stored, rows):
                raise ValueError
            return self._make(rows, lists)
        except ValueMismatch:
            raise
        except (msgspec.DecodeError, ValueError):  # of msgspec, or of a text that is no date
            # not chained: their texts may quote the value
            may_cut = self._blocks.dialect.name == "mariadb"
            raise refusal(self.shape, self._level.record, self._loads, self._stored, rows, may_cut=may_cut) from None

    def order(self, row: Sequence[Any]) -> list[Any]:
        """Return what orders a row; of a plan that was made with it."""
        found = [(row[index], self._loads[index]) for index in self._level.order]
        return [value if value is None or load is None else load(value) for value, load in found]

    def lists(self, parents: Rows, fetch: Fetch, values: Values) -> list[list[Any]]:
        """Return the children of each of the rows above."""
        keys = self._level.keys
        found_by = self._blocks.key_values([[row[key] for key in keys] for row in parents], len(keys))
        rows = fetch(self, *self.bind(values, found_by))
        self._bounds.check_children(self.shape, self._level.path, rows, itemgetter(*self._level.counted))
        if self._level.tree is not None:
            lists = [step.lists(rows, fetch, values) for step in self.below]
            return linked(self._level.tree, rows, len(parents), self._filled, lists)
        found: list[list[Any]] = [[] for _ in parents]
        position = self._level.position
        for row, child in zip(rows, self.made(rows, fetch, values), strict=True):
            found[row[position] - 1].append(child)
        return found


class Plan:
    """How one shape is read through statements of one form: the SQL, the strategy and why, and the number of
    statements.

    `str(plan)` shows all of it. A plan holds no connection and no values.

    Attributes:
        sql: of the statement that finds the roots; with `per_level` the others follow in `str(plan)`.
        strategy: `flat`, `correlated`, `set_based` or `per_level`.
        reason: why that one.
        statements: how many are sent, for any number of roots.
        advice: the `CREATE INDEX` for each foreign key that the read follows and that the model gives no index.
    """

    def __init__(
        self,
        definition: ShapeOf[Any, Any],
        statement: Select[Any],
        blocks: Blocks,
        key: Any,
        choice: Choice,
        *,
        with_order: bool = False,
        bounds: Bounds = UNBOUNDED,
    ) -> None:
        entity = entity_of(statement, "plan")
        level = compose(
            statement, entity, definition.node, blocks, choice.strategy, with_order=with_order, bounds=bounds
        )
        self.shape: str = definition.__name__
        self.root = Step(self.shape, level, blocks, key, bounds)
        self.sql: str = self.root.sql
        self.strategy: str = choice.strategy
        self.reason: str = choice.reason
        self.statements: int = sum(1 for _ in self.root)
        self.advice: tuple[str, ...] = definition.facts.unindexed
        self.tables: frozenset[str] = frozenset().union(*(step.tables for step in self.root))
        self._bounds = bounds

    def __str__(self) -> str:
        counted = "1 statement" if self.statements == 1 else f"{self.statements} statements in one snapshot"
        lines = [f"-- {self.shape}: {self.strategy}, {counted}: {self.reason}"]
        lines += [f"-- a foreign key has no index: {line}" for line in self.advice]
        return "\n".join([*lines, ";\n".join(step.sql for step in self.root)])

    def run(self, fetch: Fetch, values: Values) -> list[Any]:
        """Return the shapes that the values of a statement choose.

        Raises:
            TooLarge: they are more than the database's limits allow.
            ValueMismatch: a value does not fit its field.
        Statements: as many as `statements` says.
        """
        return self.made(fetch(self.root, *self.root.bind(values)), fetch, values)

    def made(self, rows: Rows, fetch: Fetch, values: Values) -> list[Any]:
        """Return the shapes of rows that the root statement found, after the levels below were fetched.

        Raises:
            TooLarge: they are more than the database's limits allow.
            ValueMismatch: a value does not fit its field.
        """
        self._bounds.check(self.shape, rows, self.root.texts)
        return self.root.made(rows, fetch, values)


class Form:
    """One shape read through statements that differ in values only, and its plans by strategy."""

    def __init__(
        self,
        definition: ShapeOf[Any, Any],
        statement: Select[Any],
        blocks: Blocks,
        verb: str,
        *,
        with_order: bool,
        bounds: Bounds,
    ) -> None:
        entity = entity_of(statement, verb)
        _check_model(definition, entity, verb)
        self.definition = definition
        self.finds_one = finds_one(statement, entity)
        self._blocks = blocks
        self._with_order = with_order
        self._bounds = replace(bounds, rows=None) if self.finds_one else bounds
        self._choices: dict[tuple[Any, int | None], Choice] = {}
        self._plans: dict[Choice, Plan] = {}

    def plan(self, statement: Select[Any], key: CacheKey | None, most: int | None) -> Plan:
        """Return the plan for a statement of this form that finds at most `most` roots."""
        self._bounds.check_limit(self.definition.__name__, most)
        wanted = statement.get_execution_options().get(STRATEGY)
        place = (wanted, 1 if self.finds_one else roots_of(most))
        choice = self._choices.get(place)
        if choice is None:
            choice = self._choices[place] = choose(self.definition.facts, self._blocks.dialect.name, place[1], wanted)
        plan = self._plans.get(choice)
        return plan or self._plans.setdefault(choice, self._made(statement, key, choice, is_rule=wanted is None))

    def _made(self, statement: Select[Any], key: CacheKey | None, choice: Choice, *, is_rule: bool) -> Plan:
        try:
            return self._planned(statement, key, choice)
        except (NoExactForm, TooDeep) as error:
            instead = fallback(error, self.definition.facts, choice.strategy) if is_rule else None
            if instead is None:
                raise
            return self._made(statement, key, instead, is_rule=True)

    def _planned(self, statement: Select[Any], key: CacheKey | None, choice: Choice) -> Plan:
        options: dict[str, Any] = {"with_order": self._with_order, "bounds": self._bounds}
        return Plan(self.definition, statement, self._blocks, key, choice, **options)


class Plans:
    """The plans of one database, the least recently used forgotten first."""

    def __init__(self, dialect: Dialect, bounds: Bounds = UNBOUNDED, size: int = 1000) -> None:
        self._dialect = dialect
        self._bounds = bounds
        self._size = size
        self._forms: OrderedDict[Any, Form] = OrderedDict()
        self._keyed: weakref.WeakKeyDictionary[ShapeOf[Any, Any], KeyTemplate] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def plan(
        self,
        definition: ShapeOf[Any, Any],
        statement: Any,
        verb: str,
        *,
        with_order: bool = False,
    ) -> tuple[Plan, Values]:
        """Return the plan for `statement` and the values it carries; a statement of a known form compiles nothing.

        With `with_order`, each row also brings what orders it (see `Step.order`).

        Raises:
            TooLarge: the statement's own limit is more than the database's limits allow.
            WrongStatement: the shape cannot be read from the statement, or not with the strategy it asks for.
        """
        key = cache_key(statement) if isinstance(statement, Select) else None
        if key is not None:
            short = with_gathered_lists(statement, key.bindparams, self._dialect)
            key, statement = (key, statement) if short is statement else (cache_key(short), short)
        place = (definition, key.key, with_order, self._bounds.of(verb)) if key is not None else None
        form = self._form(place, definition, statement, verb, with_order=with_order)
        return form.plan(statement, key, limit_of(statement)), key

    def prepared(self, read: BoundRead[Any], verb: str, most: int | None) -> tuple[Plan, Values]:
        """Return the plan of a prepared read, for at most `most` roots where a verb needs no more, and its values."""
        template = read.prepared.template(most)
        if template.has_long_list(read.values):
            return self.plan(template.definition, template.with_values(read.values), verb)
        bounds = self._bounds.of(verb)
        place = template if bounds is self._bounds else (template, bounds)
        form = self._form(place, template.definition, template.statement, verb)
        return form.plan(template.statement, None, template.limit_of(read.values)), read.values

    def by_key(self, definition: ShapeOf[Any, Any], key: Any) -> tuple[Plan, Values]:
        """Return the plan of a read by primary key, and its values.

        Raises:
            WrongStatement: the key has another number of columns.
        """
        template = self._keyed.get(definition)
        if template is None:
            template = self._keyed.setdefault(definition, KeyTemplate(definition))
        values = template.values(key)
        form = self._form(template, definition, template.statement, "get")
        return form.plan(template.statement, None, 1), values

    def _form(
        self,
        place: Any,
        definition: ShapeOf[Any, Any],
        statement: Select[Any],
        verb: str,
        *,
        with_order: bool = False,
    ) -> Form:
        form = self._forms.get(place) if place is not None else None
        if form is None:
            bounds, blocks = self._bounds.of(verb), blocks_for(self._dialect)
            form = Form(definition, statement, blocks, verb, with_order=with_order, bounds=bounds)
        if place is not None:
            with self._lock:  # another thread may have made or forgotten it since
                form = self._forms.setdefault(place, form)
                self._forms.move_to_end(place)
                if len(self._forms) > self._size:
                    self._forms.popitem(last=False)
        return form

    def __len__(self) -> int:
        return len(self._forms)


def _are_stored(stored: Sequence[frozenset[type] | None], rows: Rows) -> bool:
    """Return whether the values of each column are of its types; looked at column by column, in C."""
    columns = zip(stored, zip(*rows, strict=False), strict=False)
    return all(kinds is None or kinds.issuperset(map(type, column)) for kinds, column in columns)


def _checked(process: Process | None, check: Process | None) -> Process | None:
    if process is None or check is None:
        return process or check
    # before, since a processor fails on what it does not expect, and behind, since it may be what makes the items
    return lambda value: check(process(check(value)))


def _is_collection(carrier: Carrier) -> bool:
    return isinstance(getattr(carrier.load, "__self__", None), (Bundle, Collection))


def _check_model(definition: ShapeOf[Any, Any], entity: Any, verb: str) -> None:
    selected = entity_mapper(entity).class_.__name__
    model, shape = definition.model.__name__, definition.__name__
    if not issubclass(entity_mapper(entity).class_, definition.model):
        raise WrongStatement(
            verb,
            f"it selects {selected}, and {shape} is a shape of {model}",
            f"select({model}), or read a Shape[{selected}]",
        )


def _bind_processors(compiled: SQLCompiler, dialect: Dialect) -> dict[str, Process]:
    found: dict[str, Process] = {}
    for parameter, name in compiled.bind_names.items():
        process = parameter.type.dialect_impl(dialect).bind_processor(dialect)
        # keys come from the driver and go back as they are
        if process is not None and not parameter.expanding and not name.startswith(KEYS):
            found[name] = process
    return found


def _processed(named: Mapping[str, Any], processors: Mapping[str, Any]) -> Mapping[str, Any]:
    if not processors:
        return named
    return {name: processors[name](value) if name in processors else value for name, value in named.items()}
