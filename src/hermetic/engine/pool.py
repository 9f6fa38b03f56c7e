"""Pool presets: how many connections, how long they live, when they are checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hermetic.engine.custody import WatchedAsyncQueue, WatchedNone, WatchedQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """How a database keeps its connections. Begin with a preset: `Pool.server()` for a process that stays,
    `Pool.serverless()` for one that does not, `Pool.pgbouncer_transaction()` and `Pool.lambda_proxy()` where another
    pool stands before the server.

    Attributes:
        size: connections kept open, 0 to n; 0 with `is_pooling` false.
        overflow: connections opened beyond `size` under load, closed when they come back.
        timeout: seconds to wait for a connection when all are out.
        connect_timeout: seconds in which a new connection must be ready for use, name lookup and login included.
        recycle: seconds after which a connection is replaced when it is next taken; up to 5 % less, by chance, so that
            connections made together do not end together.
        ping_idle: a connection that was idle for this many seconds is checked before use (one round trip); one that
            was used a moment ago is not, because the check would double the cost of a read. 0 checks every time.
        instances: processes that open this pool, 1 to n; the server is asked at the first connection whether it has
            room for all of them.
        is_pooling: false opens a connection for each use.
        is_shared: a pooler lends the sessions of the server to other clients after each transaction. Then no statement
            is prepared under a name.
    """

    size: int = 10
    overflow: int = 10
    timeout: float = 10.0
    connect_timeout: float = 10.0
    recycle: float = 1800.0
    ping_idle: float = 1.0
    instances: int = 1
    is_pooling: bool = True
    is_shared: bool = False

    def __post_init__(self) -> None:
        for name in ("size", "overflow", "timeout", "connect_timeout", "recycle", "ping_idle"):
            if getattr(self, name) < 0:
                raise ValueError(f"Pool {name}={getattr(self, name)} is negative; use 0 or more")
        if self.instances < 1:
            raise ValueError(f"Pool instances={self.instances} opens no pool; use the number of processes, 1 or more")
        if self.is_pooling and self.size == 0:
            raise ValueError("Pool size=0 keeps no connection; use Pool.serverless(), or size=1 or more")

    @classmethod
    def server(
        cls,
        *,
        size: int = 10,
        overflow: int = 10,
        timeout: float = 10.0,
        connect_timeout: float = 10.0,
        recycle: float = 1800.0,
        ping_idle: float = 1.0,
        instances: int = 1,
    ) -> Pool:
        """Return the preset of a long-running process. The parameters are the attributes of the class."""
        return cls(
            size=size,
            overflow=overflow,
            timeout=timeout,
            connect_timeout=connect_timeout,
            recycle=recycle,
            ping_idle=ping_idle,
            instances=instances,
        )

    @classmethod
    def serverless(cls) -> Pool:
        """Return the preset of short-lived processes: nothing is kept, so nothing is stale and nothing is held while
        frozen.
        """
        return cls(size=0, overflow=0, is_pooling=False)

    @classmethod
    def pgbouncer_transaction(
        cls, *, size: int = 10, overflow: int = 10, timeout: float = 10.0, recycle: float = 600.0
    ) -> Pool:
        """Return the preset of a long-running process behind a pooler in transaction mode, such as PgBouncer.

        Its limits are those of the pooler (`max_client_conn`), so nothing is compared with the server.
        """
        return cls(size=size, overflow=overflow, timeout=timeout, recycle=recycle, is_shared=True)

    @classmethod
    def lambda_proxy(cls, *, size: int = 1, overflow: int = 1, timeout: float = 5.0, recycle: float = 60.0) -> Pool:
        """Return the preset of a function that is frozen between its calls and reaches the server through a proxy, such
        as RDS Proxy: few connections, each of them young.
        """
        return cls(size=size, overflow=overflow, timeout=timeout, recycle=recycle, is_shared=True)

    def capacity(self, *, is_memory: bool) -> int | None:
        """Return how many connections there can be at once; None where nothing limits them."""
        if is_memory:
            return 1
        return self.size + self.overflow if self.is_pooling else None

    def engine_options(self, *, is_async: bool, is_memory: bool) -> dict[str, Any]:
        """Return the options of `create_engine` for this pool.

        An SQLite database in memory lives in one connection, so there it is one that is never replaced.
        """
        queue = WatchedAsyncQueue if is_async else WatchedQueue
        if is_memory:
            return {"poolclass": queue, "pool_size": 1, "max_overflow": 0, "pool_timeout": self.timeout}
        if not self.is_pooling:
            return {"poolclass": WatchedNone}
        return {
            "poolclass": queue,
            "pool_size": self.size,
            "max_overflow": self.overflow,
            "pool_timeout": self.timeout,
            "pool_use_lifo": True,  # the connection used last is the warmest, and idle ones can age and go
        }
