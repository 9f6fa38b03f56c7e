"""Check a connection before use only when it was idle: free on a hot pool, and never a stale connection in hand.

`pool_pre_ping` asks the server on every checkout, which doubles the cost of a one-statement read. Source: HikariCP's
alive bypass window; SQLAlchemy manual, "Disconnect Handling", the checkout event.
"""

from __future__ import annotations

import time
from math import inf
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError

from hermetic.engine.deadline import PING, current
from hermetic.engine.enforce import limited
from hermetic.errors import DeadlineExceeded

_PING_TIMEOUT = 2.0


def watch_liveness(engine: Engine, ping_idle: float) -> None:
    """Ping, at checkout, each connection that was idle for `ping_idle` seconds or more; one that is dead, or does not
    answer within two seconds, is replaced in silence.

    Once a connection was lost, all that were idle at that time are pinged: what ended it has often ended them all.
    """
    lost_at = -inf

    def returned(connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def taken(connection: Any, record: Any, proxy: Any) -> None:
        idle_since = record.info.pop("idle_since", None)
        if idle_since is None or (time.monotonic() - idle_since < ping_idle and idle_since > lost_at):
            return
        dialect = engine.dialect
        try:
            with limited(record, _PING_TIMEOUT):
                is_alive = dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise _dead() from error
        if not is_alive:
            raise _dead()

    def lost(connection: Any, record: Any, error: BaseException | None) -> None:
        nonlocal lost_at
        if isinstance(error, Exception) and engine.dialect.is_disconnect(error, connection, None):  # type: ignore[arg-type]  # asyncpg's own errors too
            lost_at = time.monotonic()

    event.listen(engine, "invalidate", lost)
    event.listen(engine, "checkin", returned)
    event.listen(engine, "checkout", taken)


def _dead() -> DisconnectionError | DeadlineExceeded:
    deadline = current()
    if deadline is not None and not deadline.remaining:
        return deadline.exceeded(PING)
    return InvalidatePoolError("the connection died while it was idle")
