"""Read rows as they come: a cursor of the server, shapes batch by batch, in memory that does not grow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from sqlalchemy import Connection, CursorResult
from sqlalchemy.ext.asyncio import AsyncSession

from hermetic._lift import cross
from hermetic.engine.borrow import unbroken
from hermetic.engine.enforce import close_cursor, hold
from hermetic.engine.fetch import executed, fetching
from hermetic.errors import CannotStream
from hermetic.shape import Plan

_FIRST_ROWS = 64
_MOST_ROWS = 1000
_BATCH_BYTES = 2**20
_SAMPLE = 16


class Lease(Protocol):
    """The connection of a stream: its own, or that of a unit of work, which others use beside it."""

    is_shared: bool

    def open(self, stream: Batches) -> Connection:
        """Return the connection, inside a transaction: a cursor of the server lives in one.

        Raises:
            CannotStream: this database or this pool cannot.
        """
        ...

    def check(self) -> None:
        """Raise if the transaction is over."""
        ...

    def within(self, stream: Batches) -> AbstractContextManager[object]:
        """Return a block by whose deadline a batch is here."""
        ...

    def close(self, stream: Batches) -> None:
        """Give the connection back."""
        ...


class Batches:
    """One stream: the shapes of a plan, a batch at a time."""

    def __init__(self, lease: Lease, plan: Plan, values: Any) -> None:
        self.is_left = False
        self._lease = lease
        self.plan = plan
        self._values = values
        self._size = _FIRST_ROWS
        self._connection: Connection | None = None
        self._result: CursorResult[Any] | None = None
        self._cursor: Any = None

    @property
    def shape(self) -> str:
        """Return the name of the shape."""
        return self.plan.shape

    @property
    def is_shared(self) -> bool:
        """Return whether others use the connection too."""
        return self._lease.is_shared

    def check(self) -> None:
        """Raise if the transaction is over, in which the rows were true.

        Raises:
            UnitClosed: the unit of work that the stream reads in is over.
        """
        self._lease.check()

    def next(self) -> list[Any]:
        """Return the next shapes; none once all were read.

        Raises:
            CannotStream: this database or this pool cannot.
            UnitClosed: the unit of work that the stream reads in is over.
            ValueMismatch: a value does not fit its field.
        Statements: the first call sends the statement; each fetches a batch.
        """
        self.check()
        try:
            with self._lease.within(self):
                return self._fetched()
        except Exception:
            raise
        except BaseException as error:
            self._break_off(error)
            raise

    def _fetched(self) -> list[Any]:
        result = self._opened() if self._result is None else self._result
        assert self._connection is not None
        hold(self._connection)
        rows: Sequence[Any] = result.fetchmany(self._size)
        self._size = next_size(rows, self._size)
        return self.plan.made(rows, fetching(self._connection), self._values) if rows else []

    def _break_off(self, error: BaseException) -> None:
        """Give the connection up after a cancellation: what it would answer next is not known."""
        connection = self._connection
        if connection is None or connection.invalidated:
            return
        try:
            if self._cursor is not None:
                close_cursor(connection, self._cursor)
        finally:
            unbroken(connection, lambda: connection.invalidate(error))

    def leave(self) -> None:
        """Note that nobody reads on; the unit of work closes the cursor when it next uses its connection, or ends."""
        self.is_left = True

    def close(self) -> None:
        """Close the cursor, and give the connection back."""
        result, connection, self._result, self._connection = self._result, self._connection, None, None
        if connection is None:
            return
        try:
            if result is not None and not connection.invalidated:
                unbroken(connection, result.close)
        finally:
            self._lease.close(self)

    def _opened(self) -> CursorResult[Any]:
        self._connection = connection = self._lease.open(self)
        root = self.plan.root
        if _is_mariadb(connection) and (self.is_shared or self.plan.strategy != "flat"):
            raise CannotStream(self.shape, *_on_mariadb(self.is_shared))
        options = {"stream_results": True, "max_row_buffer": _MOST_ROWS}
        self._result = executed(connection, root, *root.bind(self._values), options)
        self._cursor = self._result.cursor
        return self._result


def _is_mariadb(connection: Connection) -> bool:
    """Return whether the server sends the rows of one statement before it takes another."""
    return connection.dialect.name in ("mariadb", "mysql")


def _on_mariadb(is_shared: bool) -> tuple[str, str]:
    if is_shared:
        return (
            "MariaDB sends all rows of a statement before it takes another one, and the unit has one connection",
            "stream it on the Database, which gives the stream a connection of its own",
        )
    return (
        "MariaDB tells only behind the last row whether it has cut a collection",
        "page through it: db.page(shape, statement, after=token, limit=1000)",
    )


def next_size(rows: Sequence[Sequence[Any]], size: int) -> int:
    """Return how many rows to fetch next: twice as many, up to a thousand, while a batch stays below a mebibyte."""
    sample = rows[:_SAMPLE]
    counted = sum(len(value) for row in sample for value in row if isinstance(value, (str, bytes)))
    fitting = _BATCH_BYTES * len(sample) // max(counted, 1)
    return max(1, min(2 * size, fitting, _MOST_ROWS)) if sample else size


# the two shells


def streamed(batches: Batches) -> Generator[Any]:
    """Yield the shapes; leaving the loop gives the connection back."""
    try:
        while shapes := batches.next():
            for shape in shapes:
                batches.check()
                yield shape
    finally:
        batches.close()


async def streamed_async(bridge: AsyncSession, batches: Batches) -> AsyncGenerator[Any]:
    """Yield the shapes.

    Whoever leaves an `async for` early leaves the generator to the event loop, which closes it in a task of its own. A
    stream with its own connection gives it back there. On the connection of a unit such a task would get in the way of
    the unit's own statements, so there the unit itself closes the cursor.
    """
    try:
        while shapes := await cross(bridge, batches.next):
            for shape in shapes:
                batches.check()
                yield shape
    finally:
        if batches.is_shared:
            batches.leave()
        else:
            await cross(bridge, batches.close)
