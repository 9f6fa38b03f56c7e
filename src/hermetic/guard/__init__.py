"""What is refused inside a unit of work, and where an entity came from."""

from hermetic.guard.failure import FINAL, PENDING, first_told, is_aborted, watch_failures
from hermetic.guard.origin import Spot, caller, placed, spot, whereabouts
from hermetic.guard.ownership import Owner, hand, is_over, join_hands, owner_name
from hermetic.guard.session import AsyncGuardedSession, GuardedSession, loaded_at

__all__ = [
    "FINAL",
    "PENDING",
    "AsyncGuardedSession",
    "GuardedSession",
    "Owner",
    "Spot",
    "caller",
    "first_told",
    "hand",
    "is_aborted",
    "is_over",
    "join_hands",
    "loaded_at",
    "owner_name",
    "placed",
    "spot",
    "watch_failures",
    "whereabouts",
]
