"""Check a connection before use only when it was idle: free on a hot pool, and never a stale connection in hand.

`pool_pre_ping` asks the server on every checkout, which doubles the cost of a one-statement read. Source: HikariCP's
alive bypass window; SQLAlchemy manual, "Disconnect Handling", the checkout event.
"""

from __future__ import annotations

import time
from math import inf
from typing import Any

from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.exc import DisconnectionError

from hermetic.engine.deadline import PING, current
from hermetic.engine.enforce import limited
from hermetic.engine.kinds import is_stuck
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
            raise dead() from error
        if not is_alive:
            raise dead()

    def dead() -> DisconnectionError | DeadlineExceeded:
        nonlocal lost_at
        lost_at = time.monotonic()
        return _dead()

    def lost(connection: Any, record: Any, error: BaseException | None) -> None:
        nonlocal lost_at
        dialect: Any = engine.dialect  # which asks about asyncpg's own errors too
        if not isinstance(error, Exception):
            return
        if dialect.is_disconnect(error, connection, None) or is_stuck(dialect.get_driver_connection(connection)):
            lost_at = time.monotonic()

    def failed(context: ExceptionContext) -> None:
        # SQLAlchemy would end the others by the wall clock: none of them, or each new one too, once it was set back
        context.invalidate_pool_on_disconnect = False

    event.listen(engine, "handle_error", failed)
    event.listen(engine, "invalidate", lost)
    event.listen(engine, "checkin", returned)
    event.listen(engine, "checkout", taken)


def _dead() -> DisconnectionError | DeadlineExceeded:
    deadline = current()
    if deadline is not None and not deadline.remaining:
        return deadline.exceeded(PING)
    return DisconnectionError("the connection died while it was idle")
