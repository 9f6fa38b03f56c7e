"""`UnitOfWork`: what happens together or not at all; the only thing that commits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from math import inf
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from sqlalchemy import Connection, Engine, Select, Table, inspect
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Mapper, QueryableAttribute, Session

from hermetic._lift import AsyncCode, cross, to_its_end
from hermetic.engine import (
    AsyncReader,
    Commit,
    Deadline,
    Lease,
    Lock,
    Origin,
    Paging,
    Reader,
    estimated,
    fetching,
    isolation_of,
)
from hermetic.errors import ConstraintViolation, SwallowedFailure, UnitClosed, WrongStatement
from hermetic.guard import AsyncGuardedSession, GuardedSession, Owner, caller, first_told, is_aborted
from hermetic.shape import Fetch, Path, Plan, Plans, complete, tables_of
from hermetic.work.attempt import AsyncAttempt, Attempt, FailureT
from hermetic.work.key import by_key, entity_of_key
from hermetic.work.leases import UnitConnection
from hermetic.work.load import Loader, check
from hermetic.work.lock import joins_more, lock_file, locking
from hermetic.work.settlement import Settlement, Settling
from hermetic.work.steps import Steps, listed, steps_of

_SESSION: dict[str, Any] = {
    "autoflush": False,  # a read never sends half-built objects; reads of the same tables flush, at the verb
    "expire_on_commit": False,
    "close_resets_only": False,
}


_NO_DEADLINE = nullcontext()

_left: list[GuardedSession] = []
"""Sessions of the parent, in the child of a fork."""

Found = TypeVar("Found")


class Transaction:
    """What both kinds of unit are made of: one guarded session, begun once and ended once, and how reads go through
    it.
    """

    def __init__(self, session: GuardedSession, plans: Plans, paging: Paging, seconds: float | None) -> None:
        self.plans = plans
        self.paging = paging
        self._session = session
        self._state = "has not begun"
        self.doubt: Commit | None = None
        self.left: Origin | None = None
        self.seconds_left = inf
        self._streams = UnitConnection(self._connection, self._check)
        session.owner = caller()
        self._deadline = None if seconds is None else Deadline(f"the unit of work begun at {session.owner}", seconds)

    @property
    def session(self) -> GuardedSession:
        """The session, while the transaction is open.

        Raises:
            UnitClosed: it is not.
            UnitShared: this is another task or thread than the one that began it.
            SwallowedFailure: a database error was caught inside it.
        """
        session = self._open()
        session.check_holder()
        session.check_failure()
        return session

    def _check(self) -> None:
        _ = self.session

    def begin(self) -> None:
        """Begin; the server's transaction starts with the first statement."""
        if self._state != "has not begun":
            raise self._closed(f"{self._state}, so it cannot begin again")
        if self._deadline is not None:
            self._deadline.__enter__()
        self._session.begin()
        self._session.holder = Owner(self._session.owner, is_async=self._session.is_async)
        self._state = "is open"

    def end(self, *, commit: bool) -> None:
        """Commit or roll back, then give the connection back; what was loaded stays readable.

        Afterwards `doubt` is the commit whose outcome nobody here knows, or nobody has been told, and `left` the
        session that was lost and may still be there on the server, `seconds_left` what was left of the deadline.

        Raises:
            SwallowedFailure: a commit is impossible after a database error that was caught; it was rolled back.
            Whatever the connection was lost by.
        """
        session = self._open()
        if session.holder is not None and session.holder.is_elsewhere:
            self._leave(session)
            if commit:
                session.check_holder()
            return
        session.is_ending = True
        try:
            try:
                self._streams.close_all()
                if commit:
                    _check_commit(session)
                    Session.commit(session)
                    _check_tag(session, session.pending)
                else:
                    Session.rollback(session)
            finally:
                self._close(session)
        except BaseException as failure:
            pending = session.pending
            if commit and isinstance(pending, Commit) and pending.is_doubtful(failure):
                self.doubt = pending
            raise

    def _close(self, session: GuardedSession) -> None:
        self._state = "has ended"
        if session.claimed is not None and session.claimed.invalidated and isinstance(session.pending, Commit):
            self.left = session.pending.origin
        session.holder = None
        try:
            Session.close(session)
        finally:
            session.is_over = True
            if self._deadline is not None:
                self.seconds_left = self._deadline.remaining
                self._deadline.__exit__(None, None, None)

    def _leave(self, session: GuardedSession) -> None:
        """Send nothing, in the child of a fork: not even when the session would be collected."""
        _left.append(session)
        self._state = "has ended"
        session.is_over = True
        if self._deadline is not None:
            self._deadline.__exit__(None, None, None)

    def _open(self) -> GuardedSession:
        if self._state != "is open":
            raise self._closed(self._state)
        if self._deadline is not None:
            self._deadline.follow()
        return self._session

    def _closed(self, state: str) -> UnitClosed:
        return UnitClosed(self._session.owner, state).worded(is_async=self._session.is_async)

    # a reader's source

    def lease(self) -> Lease:
        """Return the connection of this transaction, for a stream."""
        return self._streams

    def read(self, plan: Plan, use: Callable[[Fetch], Found]) -> Found:
        """Return what `use` fetches inside the transaction, after the pending changes to the plan's tables were sent.

        Raises:
            WrongStatement: the plan has several statements, and each of this transaction has its own snapshot.
        """
        return use(fetching(self._connection(plan)))

    def within(self, call: str) -> AbstractContextManager[object]:
        """Return a block without a deadline of its own: the unit has one."""
        return _NO_DEADLINE

    def _connection(self, plan: Plan) -> Connection:
        session = self.session
        self._streams.close_left()
        _flush_before(session, lambda: plan.tables)
        connection = Session.connection(session)
        if plan.statements > 1:
            _check_snapshot(connection, plan)
        return connection

    def selected(self, statement: Select[Any], verb: str, lock: Lock, /) -> list[Any]:
        """Return the values, rows or entities that the statement selects."""
        session = self.session
        self._streams.close_left()
        _flush_before(session, lambda: tables_of(statement))
        result: Any = self._locked(session, statement, verb, lock) if lock else _sent(session, statement)
        is_single = len(statement.column_descriptions) == 1
        found = complete(result)
        return list(found.scalars() if is_single else found)

    def _locked(self, session: Session, statement: Select[Any], verb: str, lock: Lock) -> Any:
        chosen = locking(statement, verb, lock)
        connection = Session.connection(session)
        if connection.dialect.name == "sqlite":
            lock_file(connection, statement, verb, lock)
        result = _sent(session, chosen)
        # after it waited, PostgreSQL reads the locked rows anew, and what is joined to them as it was before
        if connection.dialect.name == "postgresql" and joins_more(result, statement, verb):
            result.close()
            result = _sent(session, chosen)
        return result

    def estimated(self, statement: Select[Any]) -> int | None:
        """Return about how many rows the statement finds, where the server tells."""
        return estimated(Session.connection(self.session), statement)

    def entity(self, model: type[Any], key: Any, verb: str, lock: Lock, /) -> Any:
        """Return the entity, from the identity map if it is there and not to be locked."""
        if lock:
            locked = self.selected(by_key(model, key), verb, lock)
            return locked[0] if locked else None
        session = self.session
        _flush_before(session, lambda: _tables_behind(inspect(model), ()))
        return entity_of_key(session, model, key)

    def refresh(self, entity: object, attributes: Iterable[str] | None) -> None:
        """Load attributes of an entity again, after its own pending changes were sent: they are never overwritten."""
        names = None if attributes is None else list(attributes)
        _flush_before(self.session, lambda: _tables_behind(inspect(entity).mapper, names or ()))
        self.session.refresh(entity, names)

    def load(self, entities: list[object], steps: Steps) -> None:
        """Fill the attributes of the steps where they are not loaded."""
        session = self.session
        check(session, entities, steps)
        Loader(session, lambda statement: _flush_before(session, lambda: tables_of(statement))).load(entities, steps)


class UnitOfWork(Reader):
    """One transaction: commits when its block ends, rolls back when the block raises.

    Made by `Database.begin()` and `Database.run()`. It reads with the verbs of every reader, takes entities with `add`
    and `delete`, and hands out `session` for everything else of SQLAlchemy. A read flushes first if it reads a table
    that has pending changes, and only then.
    """

    def __init__(self, engine: Engine, plans: Plans, paging: Paging, seconds: float | None, settling: Settling) -> None:
        self._transaction = Transaction(GuardedSession(engine, **_SESSION), plans, paging, seconds)
        self._settling = settling
        super().__init__(self._transaction)

    @property
    def left(self) -> Origin | None:
        """The session that this unit lost its connection to; None where it lost none."""
        return self._transaction.left

    @property
    def session(self) -> GuardedSession:
        """The guarded SQLAlchemy session of this unit, for whatever the verbs do not cover.

        It never flushes by itself: `execute`, `scalars`, `get` and `refresh` on it see what was sent and nothing else.
        Only before a statement with FOR UPDATE, which reads entities anew, are changed ones sent. Call `flush()` first
        where a statement must see pending changes; the verbs of the unit do so themselves.

        Raises:
            UnitClosed: the unit is not open.
        """
        return self._transaction.session

    def add(self, entity: object) -> None:
        """Take a new entity, and what its cascades reach, into this unit; sent at the next flush."""
        self.session.add(entity)

    def add_all(self, entities: Iterable[object]) -> None:
        """Take several new entities into this unit; sent at the next flush."""
        self.session.add_all(entities)

    def delete(self, entity: object) -> None:
        """Mark an entity as deleted; sent at the next flush.

        Statements: 0, or 1 SELECT for each relationship whose cascade must know the children.
        """
        self.session.delete(entity)

    def flush(self) -> None:
        """Send the pending changes now, inside the transaction; generated keys are there afterwards.

        Statements: as many INSERT, UPDATE and DELETE as the changes need.
        """
        self.session.flush()

    def load(
        self,
        entities: object | Iterable[object],
        path: QueryableAttribute[Any] | Path,
        /,
        *paths: QueryableAttribute[Any] | Path,
    ) -> None:
        """Fill relationships and deferred columns of entities that this unit holds, for all of them at once.

        `load(users, User.addresses)` fills one relationship, `load(users, path(User.orders, Order.items), User.bio)`
        a chain and a column. What is loaded already stays as it is; `refresh` reads it again.

        Args:
            entities: one entity, or 0 to n of one mapped hierarchy; those of a class without the attribute are left.
            path: a mapped attribute, or several in `path(...)`, each of the class the one before leads to; with
                `depth=n` the last one is followed n times.
            paths: more of them; a beginning that several share is loaded once.
        Raises:
            CannotLoad: an entity is not stored in this unit, or a path is not one of its class.
            UnitClosed: the unit is not open.
        Statements: 1 SELECT for each relationship, 1 for all columns of a class, whatever the number of entities; 0
            where all is loaded or there is no entity. What the mapping itself loads eagerly comes on top.
        """
        self._transaction.load(listed(entities), steps_of((path, *paths)))

    def refresh(self, entity: object, attributes: Iterable[str] | None = None) -> None:
        """Load the attributes of an entity again, or the named ones for the first time; its pending changes are sent
        first, so none is overwritten.

        Statements: 1 SELECT, and 1 for each relationship named; those of the flush before it.
        """
        self._transaction.refresh(entity, attributes)

    @contextmanager
    def savepoint(self) -> Generator[None]:
        """Open a part of this unit that can be undone alone: rolled back if the block raises, kept otherwise.

        What leaves the block is raised; where an error is expected, `attempt` is the shorter way.

        Raises:
            SwallowedFailure: one was caught inside; the part was rolled back, and the unit can go on.
        Statements: SAVEPOINT, then RELEASE or ROLLBACK TO.
        """
        with first_told(self.session), self.session.begin_nested():
            yield
            _ = self.session  # refused where the block has caught a failure

    @overload
    def attempt(self) -> Attempt[ConstraintViolation]: ...
    @overload
    def attempt(self, *errors: type[FailureT]) -> Attempt[FailureT]: ...
    def attempt(self, *errors: type[Any]) -> Attempt[Any]:
        """Open a part of this unit that may fail: one of `errors` that leaves the block is told and not raised, the
        part is undone, and the unit goes on.

        `with uow.attempt(UniqueViolation) as attempt: uow.add(user)`, and then `attempt.failure` is the error, or None.
        The block flushes at its end. After a failure everything is as before it: what was added inside is out of the
        unit and can be added again, what was changed has the values it had.

        Args:
            errors: classes of what may fail; without any, all of `ConstraintViolation`. What ends the whole transaction
                (`TransactionConflict`, `LostConnection`) is raised even if it is named.
        Raises:
            SwallowedFailure: a database error was caught inside the block; it was rolled back, and the unit can go on.
            Whatever else leaves the block, after it was rolled back.
        Statements: SAVEPOINT before the first of the block, the flush, and RELEASE; or ROLLBACK TO, and 1 SELECT for
            each class and each relationship of which something loaded had been changed inside.
        """
        return Attempt(lambda: self._transaction.session, self._transaction.load, errors or (ConstraintViolation,))

    def __enter__(self) -> Self:
        self._transaction.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._transaction.end(commit=kind is None)
        except BaseException as failure:
            if self._transaction.doubt is None:
                raise
            settlement = self._settling.of(failure, self._transaction.doubt, self._transaction.seconds_left)
            while (wait := settlement.ask()) is not None:
                time.sleep(wait)
            settlement.finish()


class AsyncUnitOfWork(AsyncReader):
    """The async twin of `UnitOfWork`: the same verbs, awaited."""

    def __init__(
        self, engine: AsyncEngine, plans: Plans, paging: Paging, seconds: float | None, settling: Settling
    ) -> None:
        self._settling = settling
        self._session = AsyncGuardedSession(engine, **_SESSION)
        guarded = self._session.sync_session
        assert isinstance(guarded, GuardedSession)  # AsyncGuardedSession says so
        guarded.is_async = True
        self._transaction = Transaction(guarded, plans, paging, seconds)
        super().__init__(Reader(self._transaction), self._session)

    @property
    def left(self) -> Origin | None:
        return self._transaction.left

    @property
    def session(self) -> AsyncGuardedSession:
        """The guarded SQLAlchemy session of this unit, for whatever the verbs do not cover; it never flushes by itself.

        Raises:
            UnitClosed: the unit is not open.
        """
        _ = self._transaction.session
        return self._session

    def add(self, entity: object) -> None:
        self.session.add(entity)

    def add_all(self, entities: Iterable[object]) -> None:
        self.session.add_all(entities)

    async def delete(self, entity: object) -> None:
        await self.session.delete(entity)

    async def flush(self) -> None:
        await self.session.flush()

    async def load(
        self,
        entities: object | Iterable[object],
        path: QueryableAttribute[Any] | Path,
        /,
        *paths: QueryableAttribute[Any] | Path,
    ) -> None:
        # listed here, where an attribute that the caller's iterable reads is refused, and not inside the crossing
        with AsyncCode():
            loaded, steps = listed(entities), steps_of((path, *paths))
        await cross(self._bridge, self._transaction.load, loaded, steps)

    async def refresh(self, entity: object, attributes: Iterable[str] | None = None) -> None:
        await cross(self._bridge, self._transaction.refresh, entity, attributes)

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        with first_told(self._transaction.session):
            async with self.session.begin_nested():
                yield
                _ = self.session

    @overload
    def attempt(self) -> AsyncAttempt[ConstraintViolation]: ...
    @overload
    def attempt(self, *errors: type[FailureT]) -> AsyncAttempt[FailureT]: ...
    def attempt(self, *errors: type[Any]) -> AsyncAttempt[Any]:
        transaction = self._transaction
        return AsyncAttempt(
            self._bridge, lambda: transaction.session, transaction.load, errors or (ConstraintViolation,)
        )

    async def __aenter__(self) -> Self:
        self._transaction.begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await cross(self._bridge, self._transaction.end, commit=kind is None)
        except BaseException as failure:
            if self._transaction.doubt is None:
                raise
            settlement = self._settling.of(failure, self._transaction.doubt, self._transaction.seconds_left)
            try:
                await to_its_end(self._settle(settlement))
            except asyncio.CancelledError as cancelled:
                settlement.failure = cancelled
            with AsyncCode():
                settlement.finish()

    async def _settle(self, settlement: Settlement) -> None:
        while True:
            wait = await cross(self._bridge, settlement.ask)
            if wait is None:
                return
            await asyncio.sleep(wait)


def _check_tag(session: GuardedSession, commit: object) -> None:
    if not isinstance(commit, Commit):
        return
    commit.is_answered = True
    if commit.tag != "COMMIT":
        place = "on the driver's own connection, behind SQLAlchemy"
        raise SwallowedFailure("an error", place, session.owner).worded(is_async=session.is_async)


def _check_commit(session: GuardedSession) -> None:
    session.check_failure()
    connection = session.claimed
    if connection is not None and is_aborted(connection):
        place = "on the driver's own connection, behind SQLAlchemy"
        raise SwallowedFailure("an error", place, session.owner).worded(is_async=session.is_async)


def _flush_before(session: Session, tables: Callable[[], frozenset[str]]) -> None:
    """Send what is pending for the tables of a read, which are looked for only where something is pending."""
    has_changes = session.new or session.deleted or session.dirty
    if has_changes and not tables().isdisjoint(_changed_tables(session)):
        session.flush()


def _tables_behind(mapper: Mapper[Any], names: Iterable[str]) -> frozenset[str]:
    """Return the tables that a load of an entity, and of its relationships in `names`, reads."""
    loaded = [mapper, *(mapper.relationships[name].mapper for name in names if name in mapper.relationships)]
    return frozenset(table.fullname for each in loaded for table in each.tables if isinstance(table, Table))


def _check_snapshot(connection: Connection, plan: Plan) -> None:
    level = isolation_of(connection)
    if level not in ("REPEATABLE READ", "SERIALIZABLE"):
        raise WrongStatement(
            "a unit of work",
            f"{plan.shape} takes {plan.statements} statements ({plan.reason}), and in {level} each sees other rows",
            "read it on the Database, outside the unit, where all of them share one snapshot",
        )


def _changed_tables(session: Session) -> set[str]:
    found: set[str] = set()
    for entity in (*session.new, *session.deleted, *session.dirty):
        mapper = inspect(entity).mapper
        links = [declared.secondary for declared in mapper.relationships]
        found.update(table.fullname for table in (*mapper.tables, *links) if isinstance(table, Table))
    return found


def _sent(session: Session, statement: Select[Any]) -> Any:
    return session.execute(statement)
