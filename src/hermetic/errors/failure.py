"""What a database answers in place of rows: one class for each kind of failure whose meaning is known.

Each also is the SQLAlchemy error that it takes the place of, keeps the driver's as `__cause__`, and shows no values.
"""

# SQLAlchemy's errors have a `code` too, a link to its manual; ours is the name of the error
# pyright: reportIncompatibleVariableOverride=false

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import exc

from hermetic.errors.form import HermeticError


@dataclass(eq=False)
class DatabaseFailure(HermeticError, exc.DBAPIError):
    """The common part of the failures.

    `state` is the SQLSTATE, or the number of an error of MariaDB or SQLite; `sql` the statement that failed, without
    its values, and empty where none was sent.
    """

    state: str
    sql: str
    code = "database-failure"

    @property
    def orig(self) -> BaseException | None:  # type: ignore[override]  # ty: ignore[incompatible-property-override]
        """The driver's error; None after pickling."""
        return self.__cause__

    @property
    def statement(self) -> str | None:  # type: ignore[override]  # ty: ignore[incompatible-property-override]
        """The statement that failed, by SQLAlchemy's name."""
        return self.sql or None

    @property
    def sent(self) -> str:
        """The statement as a sentence, cut where it is long; empty where none was sent."""
        text = " ".join(self.sql.split())
        return f": {text if len(text) <= 200 else f'{text[:197]}...'}" if text else ""


# constraints


@dataclass(eq=False)
class ConstraintViolation(DatabaseFailure, exc.IntegrityError):
    """The common part of the violations: `constraint`, `table` and `columns` are empty where the database does not say
    and the models do not know.
    """

    constraint: str
    table: str
    columns: tuple[str, ...]
    code = "constraint-violation"

    @property
    def place(self) -> str:
        """Return table and columns as far as they are known, e.g. `user_account(email)`."""
        columns = f"({', '.join(self.columns)})" if self.columns else ""
        return f"{self.table}{columns}" if self.table or columns else "a table"

    @property
    def name(self) -> str:
        """Return the constraint by name as far as it is known."""
        return f'constraint "{self.constraint}"' if self.constraint else "a constraint without a known name"


_CATCH = "to catch it and go on: [async] with uow.attempt() as attempt: ..., and look at attempt.failure"


@dataclass(eq=False)
class UniqueViolation(ConstraintViolation):
    """Raised when a row with the same unique values exists already."""

    code = "unique-violation"
    what = "{e.place} has a row with the same values already"
    why = "{e.name} admits each value once"
    fix = "update the row that is there, or say what wins: insert(...).on_conflict_do_update(...)\n" + _CATCH


@dataclass(eq=False)
class ForeignKeyViolation(ConstraintViolation):
    """Raised when a row refers to one that does not exist, or one that others refer to is deleted."""

    code = "foreign-key-violation"
    what = "a foreign key of {e.place} points to no row"
    why = "{e.name}: the row it names does not exist, or was to be deleted while rows refer to it"
    fix = "add the row it refers to first, or delete the rows that refer to it first (ondelete='CASCADE')\n" + _CATCH


@dataclass(eq=False)
class CheckViolation(ConstraintViolation):
    """Raised when a row breaks a check constraint."""

    code = "check-violation"
    what = "a row of {e.place} breaks a check"
    why = "{e.name} refused its values"
    fix = "check the values before they are sent, by the rule of that constraint\n" + _CATCH


@dataclass(eq=False)
class NotNullViolation(ConstraintViolation):
    """Raised when a column that must have a value was given none."""

    code = "not-null-violation"
    what = "{e.place} was given no value"
    why = "the column is NOT NULL and has no default"
    fix = "set the attribute, or give its column a default in the model"


@dataclass(eq=False)
class ExclusionViolation(ConstraintViolation):
    """Raised when a row conflicts with another by an exclusion constraint."""

    code = "exclusion-violation"
    what = "a row of {e.place} conflicts with one that exists"
    why = "{e.name} excludes it, as two bookings of one time"
    fix = "choose other values, or change the row that is there\n" + _CATCH


# transactions that met


@dataclass(eq=False)
class TransactionConflict(DatabaseFailure, exc.OperationalError):
    """The common part of the failures after which the whole transaction is worth another attempt."""

    code = "transaction-conflict"


@dataclass(eq=False)
class SerializationFailure(TransactionConflict):
    """Raised when a transaction cannot be true together with another one."""

    code = "serialization-failure"
    what = "another transaction changed what this one had read"
    why = "both cannot be true one after the other, so the database rolled this one back ({e.state})"
    fix = "run the use case with [await] db.run(use_case, ...): it repeats the whole of it"


@dataclass(eq=False)
class Deadlock(TransactionConflict):
    """Raised when transactions waited for each other and the database chose this one to end."""

    code = "deadlock"
    what = "two transactions waited for each other"
    why = "the database rolled this one back so that the other can go on ({e.state}){e.sent}"
    fix = (
        "run the use case with [await] db.run(use_case, ...): it repeats the whole of it\n"
        "and where it happens often, lock rows in one order everywhere: select(...).order_by(key).with_for_update()"
    )


# time


@dataclass(eq=False)
class LockTimeout(DatabaseFailure, exc.OperationalError):
    """Raised when a lock was not to be had in the time allowed, or at once where that was asked for."""

    code = "lock-timeout"
    what = "a lock was held by another transaction"
    why = "waiting for it took longer than the database was allowed to ({e.state}){e.sent}"
    fix = (
        "keep transactions short, and do not wait for the network or a user inside one\n"
        "or allow more attempts: Database(..., retry=Retry(also=(LockTimeout,)))"
    )


@dataclass(eq=False)
class StatementTimeout(DatabaseFailure, exc.OperationalError):
    """Raised when the server cancelled a statement: its timeout passed, or somebody asked the server to."""

    code = "statement-timeout"
    what = "the server cancelled a statement"
    why = "the timeout of the statement passed, or an administrator cancelled it ({e.state}){e.sent}"
    fix = (
        "read less, or add the index that EXPLAIN misses\n"
        "or allow more time: Database(url, timeouts=Timeouts(statement=...)), on PostgreSQL also for one use case: "
        "db.using(timeouts=...)"
    )


# servers


@dataclass(eq=False)
class LostConnection(DatabaseFailure, exc.OperationalError):
    """Raised when the connection ended while it was in use; what was not committed is rolled back."""

    code = "lost-connection"
    what = "the connection to the database was lost"
    why = "the server stopped, or something between ended the connection ({e.state}){e.sent}"
    fix = "run the use case with [await] db.run(use_case, ...): it repeats the whole of it on a new connection"
    connection_invalidated = True


@dataclass(eq=False)
class TransactionTimeout(LostConnection):
    """Raised when the server closed a connection because its transaction was open or idle for too long."""

    code = "transaction-timeout"
    what = "the server ended a transaction that was open for too long"
    why = "idle_in_transaction_session_timeout, transaction_timeout or idle_session_timeout passed ({e.state})"
    fix = "do not wait for anything else inside a unit of work: read, call the other service, then write"


@dataclass(eq=False)
class ReadOnlyServer(DatabaseFailure, exc.InternalError):
    """Raised when a write reached a server that only reads: a replica, or a primary that was demoted."""

    code = "read-only-server"
    what = "the server does not accept writes"
    why = "it is a replica, was demoted, or its transaction is read-only ({e.state})"
    fix = "point the URL at the primary; after a failover, [await] db.run(use_case, ...) finds the new one"


@dataclass(eq=False)
class StalePlan(DatabaseFailure, exc.NotSupportedError):
    """Raised when a table changed under a statement that the driver had prepared; the next attempt prepares it anew."""

    code = "stale-plan"
    what = "a table changed under a prepared statement"
    why = "a migration ran while this connection was open ({e.state}){e.sent}"
    fix = "run the use case with [await] db.run(use_case, ...): it repeats the whole of it once"


@dataclass(eq=False)
class DiskFull(DatabaseFailure, exc.OperationalError):
    """Raised when the server has no room to write; it is never repeated."""

    code = "disk-full"
    what = "the database server has no room left"
    why = "its disk, or the quota of the table's space, is full ({e.state})"
    fix = "free or add space on the server; the transaction was rolled back"
