"""Replace connections by their age, told by the monotonic clock.

SQLAlchemy tells ages by the wall clock, so a clock that is set ends all connections at once or none for hours, and it
has no jitter: connections that were made together end together.

Source: HikariCP, `maxLifetime` and its variance; SQLAlchemy manual, "Connection Pool Events", `DisconnectionError`.
"""

from __future__ import annotations

import random
from time import monotonic
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError

_JITTER = 0.05
_END = "hermetic_end"


def watch_age(engine: Engine, recycle: float) -> None:
    """Replace each connection that is older than `recycle` seconds, or up to 5 % less, when it is next taken."""

    def connected(connection: Any, record: Any) -> None:
        # no secret hangs on this chance
        record.info[_END] = monotonic() + recycle * random.uniform(1 - _JITTER, 1)

    def taken(connection: Any, record: Any, proxy: Any) -> None:
        if monotonic() > record.info[_END]:
            raise DisconnectionError("the connection has reached its age")

    event.listen(engine, "connect", connected)
    event.listen(engine, "checkout", taken)
