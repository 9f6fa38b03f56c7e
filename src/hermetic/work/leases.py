"""Whose connection a stream reads on: one of its own, or that of a unit of work."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from sqlalchemy import Connection, Engine

from hermetic.engine import Batches, give_back
from hermetic.errors import CannotStream
from hermetic.shape import Plan


class OwnConnection:
    """The connection of one stream, in a read-only snapshot."""

    is_shared = False

    def __init__(
        self, engine: Engine, capacity: int | None, within: Callable[[str], AbstractContextManager[object]]
    ) -> None:
        self._within = within
        self._engine = engine
        self._capacity = capacity
        self._connection: Connection | None = None

    def open(self, stream: Batches) -> Connection:
        """Return a new connection.

        Raises:
            CannotStream: it is the only one, and the loop could read nothing else.
        """
        if self._capacity == 1:
            raise CannotStream(
                stream.shape,
                "the pool has one connection, and the stream would hold it until its end",
                "stream inside a unit of work: [async] with db.begin() as uow: uow.stream(...)\n"
                "or give the pool a second one: Pool.server(size=2)",
            )
        self._connection = self._engine.connect()
        return self._connection

    def check(self) -> None:
        """Do nothing: the stream ends the transaction itself."""

    def within(self, stream: Batches) -> AbstractContextManager[object]:
        """Return a block by whose deadline a batch is here."""
        return self._within(f"a batch of {stream.shape}")

    def close(self, stream: Batches) -> None:
        """Give the connection back."""
        if self._connection is not None:
            give_back(self._connection)


class UnitConnection:
    """The connection of a unit of work, and the streams that are open on it."""

    is_shared = True

    def __init__(self, connect: Callable[[Plan], Connection], check: Callable[[], None]) -> None:
        self._connect = connect
        self._check = check
        self._streams: list[Batches] = []

    def open(self, stream: Batches) -> Connection:
        """Return the connection, after the pending changes to what the stream reads were sent."""
        connection = self._connect(stream.plan)
        self._streams.append(stream)
        return connection

    def check(self) -> None:
        """Raise if the unit is over.

        Raises:
            UnitClosed: it is.
        """
        self._check()

    def within(self, stream: Batches) -> AbstractContextManager[object]:
        """Return a block without a deadline of its own: the unit has one."""
        return nullcontext()

    def close(self, stream: Batches) -> None:
        """Forget the stream; the connection stays."""
        self._streams.remove(stream)

    def close_left(self) -> None:
        """Close the cursors of the streams that nobody reads on."""
        for stream in [each for each in self._streams if each.is_left]:
            stream.close()

    def close_all(self) -> None:
        """Close the cursors of all streams."""
        for stream in list(self._streams):
            stream.close()
