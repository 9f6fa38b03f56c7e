"""What is refused inside a unit of work, and where an entity came from."""

from hermetic.guard.failure import is_aborted, watch_failures
from hermetic.guard.origin import caller
from hermetic.guard.ownership import Owner, join_hands
from hermetic.guard.session import AsyncGuardedSession, GuardedSession

__all__ = ["AsyncGuardedSession", "GuardedSession", "Owner", "caller", "is_aborted", "join_hands", "watch_failures"]
