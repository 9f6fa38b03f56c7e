"""Replace connections by their age, told by the monotonic clock, and those that are older than a change of the server.

SQLAlchemy tells ages by the wall clock, so a clock that is set ends all connections at once or none for hours, and it
has no jitter: connections that were made together end together.

Source: HikariCP, `maxLifetime` and its variance; SQLAlchemy manual, "Connection Pool Events", `DisconnectionError`.
"""

from __future__ import annotations

import random
from math import inf
from time import monotonic
from typing import Any

from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.exc import DisconnectionError

from hermetic.errors import ReadOnlyServer, StalePlan

_JITTER = 0.05
_BEGUN = "hermetic_begun"
_END = "hermetic_end"
_OUTDATED = (StalePlan, ReadOnlyServer)
"""What the other connections of the pool would meet too: they hold the same plans, or lead to the same server."""


def watch_age(engine: Engine, recycle: float) -> None:
    """Replace each connection that is older than `recycle` seconds, or up to 5 % less, when it is next taken.

    Once one turned out to be outdated, all that were made before are replaced when they are next taken: a migration or
    a failover costs one attempt, and not one for each connection.
    """
    outdated_at = -inf

    def connected(connection: Any, record: Any) -> None:
        record.info[_BEGUN] = now = monotonic()
        # no secret hangs on this chance
        record.info[_END] = now + recycle * random.uniform(1 - _JITTER, 1)

    def taken(connection: Any, record: Any, proxy: Any) -> None:
        if monotonic() > record.info[_END]:
            raise DisconnectionError("the connection has reached its age")
        if record.info[_BEGUN] <= outdated_at:
            raise DisconnectionError("the connection is older than a change of the server")

    def failed(context: ExceptionContext) -> None:
        nonlocal outdated_at
        if isinstance(getattr(context, "chained_exception", None), _OUTDATED):
            outdated_at = monotonic()

    event.listen(engine, "handle_error", failed)
    event.listen(engine, "connect", connected)
    event.listen(engine, "checkout", taken)
