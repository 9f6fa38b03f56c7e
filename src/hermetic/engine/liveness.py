"""Check a connection before use only when it was idle: free on a hot pool, and never a stale connection in hand.

`pool_pre_ping` asks the server on every checkout, which doubles the cost of a one-statement read. Source: HikariCP's
alive bypass window; SQLAlchemy manual, "Disconnect Handling", the checkout event.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError


def watch_liveness(engine: Engine, ping_idle: float) -> None:
    """Ping, at checkout, each connection that was idle for `ping_idle` seconds or more; a dead one is replaced in
    silence.
    """

    def returned(connection: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    def taken(connection: Any, record: Any, proxy: Any) -> None:
        idle_since = record.info.pop("idle_since", None)
        if idle_since is None or time.monotonic() - idle_since < ping_idle:
            return
        dialect = engine.dialect
        try:
            is_alive = dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError("the connection died while it was idle") from error
        if not is_alive:
            raise InvalidatePoolError("the connection died while it was idle")

    event.listen(engine, "checkin", returned)
    event.listen(engine, "checkout", taken)
