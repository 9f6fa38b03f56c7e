"""The reader verbs: one for each cardinality, with a shape or without, the same on every object that reads."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import AbstractContextManager
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, TypeVarTuple, overload

from sqlalchemy import Row, Select, exists, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from hermetic._lift import AsyncCode, cross
from hermetic.engine.body import encoded
from hermetic.engine.page import Page
from hermetic.engine.paging import Paging
from hermetic.engine.streaming import Batches, Lease, streamed, streamed_async
from hermetic.errors import NotFound, TooManyFound, WrongStatement
from hermetic.shape import BoundRead, Fetch, Plan, Plans, ShapeOf, ShapeType, Values, has_limit

Entity = TypeVar("Entity")
ShapeT = TypeVar("ShapeT")
Found = TypeVar("Found")
Ts = TypeVarTuple("Ts")

Lock: TypeAlias = bool | Literal["nowait", "skip_locked"]
"""Whether the rows that a read finds are locked until the unit of work ends, and what becomes of rows that another one
has locked: `True` waits for them, "nowait" raises `LockTimeout`, "skip_locked" leaves them out.
"""


class Source(Protocol):
    """Where a reader reads: outside any transaction, or inside that of a unit of work."""

    plans: Plans
    paging: Paging

    def read(self, plan: Plan, use: Callable[[Fetch], Found]) -> Found:
        """Return what `use` makes of the rows of a plan, which it fetches, all statements in one snapshot."""
        ...

    def within(self, call: str) -> AbstractContextManager[object]:
        """Return a block by whose deadline a call of several reads is over."""
        ...

    def lease(self) -> Lease:
        """Return the connection of a stream that is about to begin."""
        ...

    def selected(self, statement: Select[Any], verb: str, lock: Lock, /) -> list[Any]:
        """Return what the statement selects: values, rows, or entities where they are allowed."""
        ...

    def estimated(self, statement: Select[Any]) -> int | None:
        """Return about how many rows the statement finds, from the server's statistics; None where it keeps none."""
        ...

    def entity(self, model: type[Any], key: Any, verb: str, lock: Lock, /) -> Any:
        """Return the entity with this primary key, or None."""
        ...


class Reader:
    """The verbs that read. `Database` reads in autocommit, one round trip; `UnitOfWork` inside its transaction.

    With a shape first, a verb returns shapes. With only a statement it returns what the statement selects: values for
    one column, rows for several, entities for a mapped class (inside a unit of work only).
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @overload
    def all(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> list[ShapeT]: ...
    @overload
    def all(self, read: BoundRead[ShapeT], /) -> list[ShapeT]: ...
    @overload
    def all(self, statement: Select[Entity], /, *, lock: Lock = False) -> list[Entity]: ...  # pyright: ignore[reportOverlappingOverload]  # one value before rows of several
    @overload
    def all(self, statement: Select[*Ts], /) -> list[Row[*Ts]]: ...  # type: ignore[overload-cannot-match]
    def all(self, *target: Any, lock: Lock = False) -> list[Any]:
        """Return everything the statement finds.

        Args:
            target: a shape and a statement, a prepared read, or a statement alone.
            lock: of entities in a unit of work: lock their rows until it ends, and read them anew, whatever the unit
                holds already; what was changed is sent first. True waits for a row that another transaction has locked,
                "nowait" raises, "skip_locked" leaves it out.
        Returns: 0 to n shapes, values, rows or entities, in the statement's order.
        Raises:
            WrongStatement: the shape cannot be read from this statement; or its rows cannot be locked.
            EntityOutsideUnit: entities were asked of a `Database`.
            LockTimeout: "nowait", and another transaction has locked a row.
            MissingTable: the schema is behind the models.
        Statements: 1 SELECT, whatever the depth of the shape. With `lock` FOR UPDATE of the entity's own tables, sent
            twice where other tables are joined to them.
        Databases: MariaDB locks the rows of joined tables too. SQLite has one lock for the whole file, that of the
            writer: it is taken before the SELECT, and there is never a row to skip.
        """
        return self._read(target, "all", lock=lock)

    @overload
    def one(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> ShapeT: ...
    @overload
    def one(self, read: BoundRead[ShapeT], /) -> ShapeT: ...
    @overload
    def one(self, statement: Select[Entity], /, *, lock: Lock = False) -> Entity: ...  # pyright: ignore[reportOverlappingOverload]  # one value before rows of several
    @overload
    def one(self, statement: Select[*Ts], /) -> Row[*Ts]: ...  # type: ignore[overload-cannot-match]
    def one(self, *target: Any, lock: Lock = False) -> Any:
        """Return the only thing the statement finds.

        Returns: exactly 1.
        Raises:
            NotFound: there is none.
            TooManyFound: there is more than one.
            WrongStatement: the shape cannot be read from this statement.
        Statements: 1 SELECT; at most 2 rows are fetched.
        """
        found = self._at_most_one(target, "one", lock)
        if not found:
            raise NotFound(_subject(target), "one", "one_or_none")
        return found[0]

    @overload
    def one_or_none(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> ShapeT | None: ...
    @overload
    def one_or_none(self, read: BoundRead[ShapeT], /) -> ShapeT | None: ...
    @overload
    def one_or_none(self, statement: Select[Entity], /, *, lock: Lock = False) -> Entity | None: ...  # pyright: ignore[reportOverlappingOverload]  # one value before rows of several
    @overload
    def one_or_none(self, statement: Select[*Ts], /) -> Row[*Ts] | None: ...  # type: ignore[overload-cannot-match]
    def one_or_none(self, *target: Any, lock: Lock = False) -> Any:
        """Return the only thing the statement finds, or None.

        Returns: 0 or 1.
        Raises:
            TooManyFound: there is more than one.
            WrongStatement: the shape cannot be read from this statement.
        Statements: 1 SELECT; at most 2 rows are fetched.
        """
        found = self._at_most_one(target, "one_or_none", lock)
        return found[0] if found else None

    @overload
    def first(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> ShapeT | None: ...
    @overload
    def first(self, read: BoundRead[ShapeT], /) -> ShapeT | None: ...
    @overload
    def first(self, statement: Select[Entity], /, *, lock: Lock = False) -> Entity | None: ...  # pyright: ignore[reportOverlappingOverload]  # one value before rows of several
    @overload
    def first(self, statement: Select[*Ts], /) -> Row[*Ts] | None: ...  # type: ignore[overload-cannot-match]
    def first(self, *target: Any, lock: Lock = False) -> Any:
        """Return the first thing the statement finds, in its order, or None.

        Returns: 0 or 1.
        Raises:
            WrongStatement: the shape cannot be read from this statement.
        Statements: 1 SELECT with LIMIT 1.
        """
        found = self._read(target, "first", 1, lock=lock)
        return found[0] if found else None

    @overload
    def get(self, shape: ShapeType[Any, ShapeT], key: Any, /) -> ShapeT | None: ...
    @overload
    def get(self, model: type[Entity], key: Any, /, *, lock: Lock = False) -> Entity | None: ...
    def get(self, target: Any, key: Any, /, *, lock: Lock = False) -> Any:
        """Return the shape or entity with this primary key, or None.

        Args:
            target: a shape or a mapped class.
            key: the value; for a composite key a tuple in the order of the model's key columns.
            lock: lock its row until the unit of work ends; see `all`.
        Returns: 0 or 1. An entity that this unit of work already holds is returned as it is, unless it is locked.
        Raises:
            EntityOutsideUnit: an entity was asked of a `Database`.
            LockTimeout: "nowait", and another transaction has locked the row.
        Statements: 1 SELECT; 0 for an entity that is already there and not to be locked.
        """
        return self._get(target, key, "get", lock)

    @overload
    def get_one(self, shape: ShapeType[Any, ShapeT], key: Any, /) -> ShapeT: ...
    @overload
    def get_one(self, model: type[Entity], key: Any, /, *, lock: Lock = False) -> Entity: ...
    def get_one(self, target: Any, key: Any, /, *, lock: Lock = False) -> Any:
        """Return the shape or entity with this primary key.

        Args:
            target: a shape or a mapped class.
            key: the value; for a composite key a tuple in the order of the model's key columns.
            lock: lock its row until the unit of work ends; see `all`.
        Returns: exactly 1.
        Raises:
            NotFound: there is none, or "skip_locked" left it out.
            EntityOutsideUnit: an entity was asked of a `Database`.
            LockTimeout: "nowait", and another transaction has locked the row.
        Statements: 1 SELECT; 0 for an entity that is already there and not to be locked.
        """
        found = self._get(target, key, "get_one", lock)
        if found is None:
            raise NotFound(_subject((target,)), "get_one", "get")
        return found

    def page(
        self,
        shape: ShapeType[Entity, ShapeT],
        statement: Select[Entity],
        /,
        *,
        after: str | None = None,
        limit: int = 50,
        total: Literal["exact", "estimated"] | None = None,
    ) -> Page[ShapeT]:
        """Return the rows that follow a place in the statement's order, none twice, none skipped.

        The primary key is added to the order, so that ties have one order. A row that is there all the while is on
        exactly one page, whatever is inserted or deleted between the pages.

        Args:
            shape: what to return of each row.
            statement: filter, joins and order; without a limit of its own.
            after: `next` or `previous` of another page of this shape and statement; None begins at the start.
            limit: rows, 1 to 1000 (`Limits.page`).
            total: count the rows of all pages, "exact" by a count, or "estimated" from the server's statistics.
        Returns: 0 to `limit` items, and the tokens of the pages around them.
        Raises:
            WrongToken: the token was changed, or made for another statement, other values or another shape.
            WrongLimit: the limit is below 1 or above the maximum.
            WrongStatement: its rows cannot be given one order.
        Statements: 1 SELECT, for any limit; with `total` 1 more.
        Databases: "estimated" is exact on MariaDB and SQLite.
        Source: PostgreSQL manual, "Row and Array Comparisons" and "Row Estimation Examples".
        """
        definition, chosen = _definition((shape, statement), "page")
        cut = self._source.paging.cut(definition, chosen, after, limit)
        with self._source.within("page"):
            number = None if total is None else self._total(cut.chosen, total)
            plan, values = self._source.plans.plan(definition, cut.statement(), "page", with_order=True)
            root = plan.root

            def paged(fetch: Fetch) -> Page[ShapeT]:
                rows = fetch(root, *root.bind(values))
                return cut.page(rows, lambda shown: plan.made(shown, fetch, values), root.order, number)

            return self._source.read(plan, paged)

    @overload
    def stream(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> Generator[ShapeT]: ...
    @overload
    def stream(self, read: BoundRead[ShapeT], /) -> Generator[ShapeT]: ...
    def stream(self, *target: Any) -> Generator[Any]:
        """Return an iterator over everything the statement finds, in memory that does not grow with it.

        Leaving the loop early closes the cursor and gives the connection back; keep the iterator in
        `contextlib.closing` (async: `aclosing`) where that must have happened before the next line.

        Returns: 0 to n shapes, in the statement's order, all of one snapshot.
        Raises:
            WrongStatement: the shape cannot be read from this statement; raised here, before the first row.
            CannotStream: the pool has one connection only, which a stream would hold; and see Databases.
            UnitClosed: the unit of work that the stream reads in is over.
        Statements: 1 SELECT; on a `Database` inside a transaction on a connection of its own, in a unit of work inside
            that of the unit, beside its other statements.
        Databases: a cursor of the server on PostgreSQL, the file itself on SQLite, where a writer waits for the end of
            the stream unless the file is in WAL mode. On MariaDB shapes without collections and not in a unit of work,
            and leaving the loop early reads the rest of the rows.
        """
        return streamed(self._batches(target))

    @overload
    def json(
        self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /, *, web_safe: bool = False
    ) -> bytes: ...
    @overload
    def json(self, read: BoundRead[Any], /, *, web_safe: bool = False) -> bytes: ...
    def json(self, *target: Any, web_safe: bool = False) -> bytes:
        """Return everything the statement finds as the body of one response: a JSON array, one object for each row.

        It is `msgspec.json.encode(reader.all(shape, statement))` byte for byte: each value was checked on the way.

        Args:
            target: a shape and a statement, or a prepared read.
            shape: what to return of each row.
            statement: which rows, in what order.
            web_safe: write integers beyond 2**53 - 1 as strings, which JavaScript would round. Decimals are strings and
                instants end in `Z` in either form.
        Raises:
            WrongStatement: the shape cannot be read from this statement.
        Statements: as `all`.
        """
        plan, values = self._planned(target, "json", None)
        return encoded(self._source.read(plan, lambda fetch: plan.run(fetch, values)), web_safe=web_safe)

    def count(self, statement: Select[*tuple[Any, ...]], /) -> int:
        """Return how many rows the statement finds, its limit included.

        Returns: 0 to n.
        Statements: 1 SELECT count(*).
        """
        _check_select(statement, "count")
        rows = statement.order_by(None) if not has_limit(statement) else statement
        return int(self._value(select(func.count()).select_from(rows.subquery())))

    def exists(self, statement: Select[*tuple[Any, ...]], /) -> bool:
        """Return whether the statement finds at least one row.

        Statements: 1 SELECT EXISTS; the server stops at the first row.
        """
        _check_select(statement, "exists")
        return bool(self._value(select(exists(statement))))

    @overload
    def plan(self, shape: ShapeType[Entity, Any], statement: Select[Entity], /) -> Plan: ...
    @overload
    def plan(self, read: BoundRead[Any], /) -> Plan: ...
    def plan(self, *target: Any) -> Plan:
        """Return how the shape would be read: SQL, strategy and why, number of statements.

        Raises:
            WrongStatement: the shape cannot be read from this statement.
        Statements: 0.
        """
        return self._planned(target, "plan", None)[0]

    # the paths behind them

    def _read(self, target: tuple[Any, ...], verb: str, most: int | None = None, *, lock: Lock = False) -> list[Any]:
        """Return what `target` finds: a prepared read, a shape and a statement, or a statement alone; with `most`, at
        most so many rows of it.
        """
        if len(target) == 1 and not isinstance(target[0], BoundRead):
            _check_select(target[0], verb)
            return self._source.selected(_limited(target[0], most), verb, lock)
        if lock and (isinstance(target[0], BoundRead) or hasattr(target[0], "__shape__")):
            raise _cannot_lock(target[0], verb)
        plan, values = self._planned(target, verb, most)
        return self._source.read(plan, lambda fetch: plan.run(fetch, values))

    def _total(self, statement: Select[Any], kind: str) -> int:
        about = self._source.estimated(statement.order_by(None)) if kind == "estimated" else None
        return self.count(statement) if about is None else about

    def _planned(self, target: tuple[Any, ...], verb: str, most: int | None) -> tuple[Plan, Values]:
        if isinstance(target[0], BoundRead):
            return self._source.plans.prepared(target[0], verb, most)
        definition, statement = _definition(target, verb)
        return self._source.plans.plan(definition, _limited(statement, most), verb)

    def _batches(self, target: tuple[Any, ...]) -> Batches:
        return Batches(self._source.lease(), *self._planned(target, "stream", None))

    def _at_most_one(self, target: tuple[Any, ...], verb: str, lock: Lock) -> list[Any]:
        statement = target[-1]
        is_limited = isinstance(statement, Select) and has_limit(statement)
        found = self._read(target, verb, None if is_limited else 2, lock=lock)
        if len(found) > 1:
            raise TooManyFound(_subject(target), verb)
        return found

    def _get(self, target: Any, key: Any, verb: str, lock: Lock) -> Any:
        if not hasattr(target, "__shape__"):
            return self._source.entity(target, key, verb, lock)
        if lock:
            raise _cannot_lock(target, verb)
        plan, values = self._source.plans.by_key(target.__shape__(), key)
        found = self._source.read(plan, lambda fetch: plan.run(fetch, values))
        return found[0] if found else None

    def _value(self, statement: Select[Any]) -> Any:
        return self._source.selected(statement, "count", False)[0]


class AsyncReader:
    """The async twin of `Reader`: the same verbs, awaited."""

    def __init__(self, core: Reader, bridge: AsyncSession) -> None:
        self._core = core
        self._bridge = bridge

    @overload
    async def all(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> list[ShapeT]: ...
    @overload
    async def all(self, read: BoundRead[ShapeT], /) -> list[ShapeT]: ...
    @overload
    async def all(self, statement: Select[Entity], /, *, lock: Lock = False) -> list[Entity]: ...  # pyright: ignore[reportOverlappingOverload]  # one value before rows of several
    @overload
    async def all(self, statement: Select[*Ts], /) -> list[Row[*Ts]]: ...  # type: ignore[overload-cannot-match]
    async def all(self, *target: Any, lock: Lock = False) -> list[Any]:
        return await cross(self._bridge, functools.partial(self._core.all, lock=lock), *target)

    @overload
    async def one(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> ShapeT: ...
    @overload
    async def one(self, read: BoundRead[ShapeT], /) -> ShapeT: ...
    @overload
    async def one(self, statement: Select[Entity], /, *, lock: Lock = False) -> Entity: ...  # pyright: ignore[reportOverlappingOverload]  # one value before rows of several
    @overload
    async def one(self, statement: Select[*Ts], /) -> Row[*Ts]: ...  # type: ignore[overload-cannot-match]
    async def one(self, *target: Any, lock: Lock = False) -> Any:
        return await cross(self._bridge, functools.partial(self._core.one, lock=lock), *target)

    @overload
    async def one_or_none(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> ShapeT | None: ...
    @overload
    async def one_or_none(self, read: BoundRead[ShapeT], /) -> ShapeT | None: ...
    @overload
    async def one_or_none(self, statement: Select[Entity], /, *, lock: Lock = False) -> Entity | None: ...  # pyright: ignore[reportOverlappingOverload]  # one value before rows of several
    @overload
    async def one_or_none(self, statement: Select[*Ts], /) -> Row[*Ts] | None: ...  # type: ignore[overload-cannot-match]
    async def one_or_none(self, *target: Any, lock: Lock = False) -> Any:
        return await cross(self._bridge, functools.partial(self._core.one_or_none, lock=lock), *target)

    @overload
    async def first(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> ShapeT | None: ...
    @overload
    async def first(self, read: BoundRead[ShapeT], /) -> ShapeT | None: ...
    @overload
    async def first(self, statement: Select[Entity], /, *, lock: Lock = False) -> Entity | None: ...  # pyright: ignore[reportOverlappingOverload]  # one value before rows of several
    @overload
    async def first(self, statement: Select[*Ts], /) -> Row[*Ts] | None: ...  # type: ignore[overload-cannot-match]
    async def first(self, *target: Any, lock: Lock = False) -> Any:
        return await cross(self._bridge, functools.partial(self._core.first, lock=lock), *target)

    @overload
    async def get(self, shape: ShapeType[Any, ShapeT], key: Any, /) -> ShapeT | None: ...
    @overload
    async def get(self, model: type[Entity], key: Any, /, *, lock: Lock = False) -> Entity | None: ...
    async def get(self, target: Any, key: Any, /, *, lock: Lock = False) -> Any:
        return await cross(self._bridge, self._core.get, target, key, lock=lock)

    @overload
    async def get_one(self, shape: ShapeType[Any, ShapeT], key: Any, /) -> ShapeT: ...
    @overload
    async def get_one(self, model: type[Entity], key: Any, /, *, lock: Lock = False) -> Entity: ...
    async def get_one(self, target: Any, key: Any, /, *, lock: Lock = False) -> Any:
        return await cross(self._bridge, self._core.get_one, target, key, lock=lock)

    async def page(
        self,
        shape: ShapeType[Entity, ShapeT],
        statement: Select[Entity],
        /,
        *,
        after: str | None = None,
        limit: int = 50,
        total: Literal["exact", "estimated"] | None = None,
    ) -> Page[ShapeT]:
        core = self._core.page
        return await cross(self._bridge, core, shape, statement, after=after, limit=limit, total=total)  # ty: ignore[invalid-explicit-return]  # one type variable, taken for two

    @overload
    def stream(self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /) -> AsyncGenerator[ShapeT]: ...
    @overload
    def stream(self, read: BoundRead[ShapeT], /) -> AsyncGenerator[ShapeT]: ...
    def stream(self, *target: Any) -> AsyncGenerator[Any]:
        with AsyncCode():
            batches = self._core._batches(target)  # pyright: ignore[reportPrivateUsage]  # of its twin
        return streamed_async(self._bridge, batches)

    @overload
    async def json(
        self, shape: ShapeType[Entity, ShapeT], statement: Select[Entity], /, *, web_safe: bool = False
    ) -> bytes: ...
    @overload
    async def json(self, read: BoundRead[Any], /, *, web_safe: bool = False) -> bytes: ...
    async def json(self, *target: Any, web_safe: bool = False) -> bytes:
        encode = functools.partial(self._core.json, web_safe=web_safe)
        return await cross(self._bridge, encode, *target)

    async def count(self, statement: Select[*tuple[Any, ...]], /) -> int:
        return await cross(self._bridge, self._core.count, statement)

    async def exists(self, statement: Select[*tuple[Any, ...]], /) -> bool:
        return await cross(self._bridge, self._core.exists, statement)

    @overload
    def plan(self, shape: ShapeType[Entity, Any], statement: Select[Entity], /) -> Plan: ...
    @overload
    def plan(self, read: BoundRead[Any], /) -> Plan: ...
    def plan(self, *target: Any) -> Plan:
        with AsyncCode():
            return self._core.plan(*target)


def _definition(target: tuple[Any, ...], verb: str) -> tuple[ShapeOf[Any, Any], Any]:
    if len(target) == 1:
        raise WrongStatement(
            verb,
            "no shape says what of each row",
            f"{verb}(UserCard, select(User)), where class UserCard(Shape[User])\n"
            "or all(select(...)), which returns rows, and inside a unit of work entities",
        )
    shape, statement = target
    if not hasattr(shape, "__shape__"):
        name = getattr(shape, "__name__", repr(shape))
        raise WrongStatement(
            verb, f"{name} is not a shape", f"{verb}(UserCard, select(User)), where class UserCard(Shape[User])"
        )
    return shape.__shape__(), statement


def _cannot_lock(target: Any, verb: str) -> WrongStatement:
    read: Any = target.prepared.shape if isinstance(target, BoundRead) else target
    definition = read.__shape__()
    model, shape = definition.model.__name__, definition.__name__
    return WrongStatement(
        verb,
        f"{shape} is a shape, and lock= locks the rows of one entity: the rest of it could be older than the lock",
        "lock the entity first, then read the shape: "
        f"[await] uow.get_one({model}, key, lock=True), then [await] uow.get({shape}, key)",
    )


def _check_select(statement: Any, verb: str) -> None:
    if not isinstance(statement, Select):
        raise WrongStatement(
            verb,
            f"{type(statement).__name__} is not a select()",
            "pass select(...), or run it with [await] uow.session.execute(...)",
        )


def _limited(statement: Any, most: int | None) -> Any:
    """Return the statement with a limit; what is not a `Select` is left for the check behind."""
    return statement if most is None or not isinstance(statement, Select) else statement.limit(most)


def _subject(target: tuple[Any, ...]) -> str:
    chosen = target[0].prepared.shape if isinstance(target[0], BoundRead) else target[0]
    if isinstance(chosen, Select):
        return ", ".join(str(each["name"]) for each in chosen.column_descriptions)
    return str(getattr(chosen, "__name__", chosen))
