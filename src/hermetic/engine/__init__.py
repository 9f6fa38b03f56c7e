"""Engines, pools, connections: what stands between the verbs and the driver."""

from hermetic.engine.borrow import autocommit_options, borrowed, give_back
from hermetic.engine.closing import close_async_engine, close_engine
from hermetic.engine.connect import make_async_engine, make_engine
from hermetic.engine.custody import custody_of
from hermetic.engine.deadline import Deadline, deadline, remaining
from hermetic.engine.direct import direct
from hermetic.engine.estimate import estimated
from hermetic.engine.fetch import fetching
from hermetic.engine.health import Health, health_of
from hermetic.engine.limits import Limits
from hermetic.engine.outcome import Aborted, CommitOutcome, Committed, Origin, Outcomes, Unknown, outcome_table
from hermetic.engine.page import Page
from hermetic.engine.paging import Paging
from hermetic.engine.pool import Pool
from hermetic.engine.reader import AsyncReader, Lock, Reader, Source
from hermetic.engine.retry import FailedAttempt, Retry, name_of, told
from hermetic.engine.snapshot import with_snapshot
from hermetic.engine.sqlite import is_memory, without_waiting
from hermetic.engine.streaming import Batches, Lease
from hermetic.engine.timeouts import Timeouts
from hermetic.engine.transaction import Commit, Terms, isolation_of, prepare_transactions, unit_options

__all__ = [
    "Aborted",
    "AsyncReader",
    "Batches",
    "Commit",
    "CommitOutcome",
    "Committed",
    "Deadline",
    "FailedAttempt",
    "Health",
    "Lease",
    "Limits",
    "Lock",
    "Origin",
    "Outcomes",
    "Page",
    "Paging",
    "Pool",
    "Reader",
    "Retry",
    "Source",
    "Terms",
    "Timeouts",
    "Unknown",
    "autocommit_options",
    "borrowed",
    "close_async_engine",
    "close_engine",
    "custody_of",
    "deadline",
    "direct",
    "estimated",
    "fetching",
    "give_back",
    "health_of",
    "is_memory",
    "isolation_of",
    "make_async_engine",
    "make_engine",
    "name_of",
    "outcome_table",
    "prepare_transactions",
    "remaining",
    "told",
    "unit_options",
    "with_snapshot",
    "without_waiting",
]
