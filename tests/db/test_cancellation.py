"""A task that is cancelled, wherever it waits, leaves nothing behind: not in the pool, not on the server, not in the
loop; and it hears of a commit. `tests/survival/cancels.py` does the same at random, while other tasks go on.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from sqlalchemy import insert as insert_rows
from sqlalchemy import select, text

from hermetic import AsyncDatabase, AsyncUnitOfWork, Committed, Pool, UniqueViolation
from shop import User, UserCard
from sweep import Way, by_group, by_timeout, sweep

USERS = select(User).order_by(User.id).limit(2)
# how many sessions there are, and how much they hold: transactions, locks, temporary tables
_SESSIONS = {
    "postgresql": "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%') + "
    "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND "
    "database = (SELECT oid FROM pg_database WHERE datname = current_database())) + "
    "(SELECT count(*) FROM pg_class WHERE relpersistence = 't') FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mariadb": "SELECT count(*), (SELECT count(*) FROM information_schema.innodb_trx t JOIN "
    "information_schema.processlist p ON p.id = t.trx_mysql_thread_id WHERE p.db = database() AND "
    "p.id <> connection_id()) + coalesce(is_used_lock(database()), 0) "
    "FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}
_LEAVING = {
    "postgresql": (
        "SELECT set_config('sweep.tenant', '7', false)",
        "SELECT pg_advisory_lock(7)",
        "CREATE TEMPORARY TABLE swept (id int)",
    ),
    "mariadb": ("SET @tenant = 7", "SELECT get_lock(database(), 0)", "CREATE TEMPORARY TABLE swept (id int)"),
    "sqlite": ("CREATE TEMPORARY TABLE swept (id int)",),
}
_LEFT = {
    "postgresql": "SELECT nullif(current_setting('sweep.tenant', true), '')",
    "mariadb": "SELECT @tenant",
    "sqlite": "SELECT max(name) FROM temp.sqlite_master",
}
_ABANDONED = "_terminate_graceful_close"
"""SQLAlchemy's close of aiosqlite: cancelled twice, it is broken off, and the task that waited for it is left."""
SIZE = 2
_POOL = Pool.server(size=SIZE, overflow=0, ping_idle=3600)


class Bench:
    """A database under cancellation, and a second one that looks at its server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.db = AsyncDatabase(url, pool=_POOL)
        self._eye = AsyncDatabase(url, pool=Pool.server(size=1, overflow=0))
        self._keys = iter(range(10, 10**6))
        self.key = 0

    async def open(self) -> None:
        await self.db.create_all(User)
        async with self.db.begin() as uow:
            uow.add(User(id=1, name="first"))
        for _ in range(2):
            await self.db.all(UserCard, USERS)

    async def close(self) -> None:
        await self.db.engine.dispose()
        await self._eye.close()

    async def prepare(self, case: str) -> None:
        """Let the next use connect, or have something to close."""
        if case == "connected":
            await self.db.engine.dispose()
        if case == "closed":
            await self.db.close()
            self.db = AsyncDatabase(self._url, pool=_POOL)
            async with AsyncExitStack() as stack:
                for _ in range(SIZE):
                    uow = await stack.enter_async_context(self.db.begin())
                    await uow.count(USERS)

    async def clean(self, case: str, cancellation: BaseException | None) -> bool:
        """Check that nothing is left, and that the cancellation tells of a commit; return whether there was one."""
        assert self.db.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        await self._check_server(0 if case == "closed" else SIZE)
        if case == "closed":
            return False
        async with AsyncExitStack() as stack:
            for _ in range(SIZE if case == "marked" else 0):
                connection = await stack.enter_async_context(self.db.engine.connect())
                left = await connection.execute(text(_LEFT[connection.dialect.name]))
                assert left.scalar() is None
        assert [each.name for each in await self.db.all(UserCard, USERS.where(User.id == 1))] == ["first"]
        is_stored = await self._eye.exists(select(User).where(User.id == self.key))
        if cancellation is not None:
            assert is_stored == (getattr(cancellation, "outcome", None) == Committed())
        return is_stored

    async def _check_server(self, most: int) -> None:
        question = _SESSIONS.get(self._eye.engine.dialect.name)
        if question is None:
            return
        limit = time.monotonic() + 5
        while True:  # a session ends a moment after its connection
            async with self._eye.engine.connect() as connection:
                sessions, held = (await connection.execute(text(question))).one()
            if sessions <= most and not held:
                return
            assert time.monotonic() < limit, f"{sessions} sessions, which hold {held} transactions, locks or tables"
            await asyncio.sleep(0.01)

    # what is cancelled

    async def read(self) -> None:
        await self.db.all(UserCard, USERS)

    async def unit(self) -> None:
        self.key = next(self._keys)
        await self.db.run(insert, self.key)

    async def bulk(self) -> None:
        rows = [{"id": next(self._keys), "name": "swept"} for _ in range(2)]
        self.key = rows[0]["id"]
        async with self.db.begin() as uow:
            await uow.session.execute(insert_rows(User), rows)

    async def isolated(self) -> None:
        self.key = next(self._keys)
        async with self.db.using(isolation="SERIALIZABLE").begin() as uow:
            await insert(uow, self.key)

    async def attempt(self) -> None:
        self.key = next(self._keys)
        async with self.db.begin() as uow:
            await insert(uow, self.key)
            async with uow.attempt(UniqueViolation) as attempt:
                uow.add(User(id=1, name="twice"))
            assert attempt.failure is not None

    async def marked(self) -> None:
        self.key = next(self._keys)
        async with self.db.begin() as uow:
            await insert(uow, self.key)
            for each in _LEAVING[self.db.engine.dialect.name]:
                await uow.session.execute(text(each))

    async def stream(self) -> None:
        async with aclosing(self.db.stream(UserCard, select(User).order_by(User.id))) as cards:
            async for _ in cards:
                break

    async def connected(self) -> None:
        await self.db.count(USERS)

    async def closed(self) -> None:
        await self.db.close()

    async def waited(self) -> None:
        """Wait for a connection of a pool whose connections others hold, and get one."""
        async with asyncio.TaskGroup() as group:
            free = asyncio.Event()
            taken = [asyncio.Event() for _ in range(SIZE)]
            for each in taken:
                group.create_task(self._hold(each, free))
            for each in taken:
                await each.wait()
            group.create_task(_set_soon(free))
            await self.db.count(USERS)

    async def _hold(self, taken: asyncio.Event, free: asyncio.Event) -> None:
        async with self.db.begin() as uow:
            await uow.count(USERS)
            taken.set()
            await free.wait()


async def insert(uow: AsyncUnitOfWork, key: int) -> None:
    uow.add(User(id=key, name="swept"))
    await uow.flush()


async def _set_soon(event: asyncio.Event) -> None:
    await asyncio.sleep(0.002)
    event.set()


READS = ("read", "stream", "waited", "connected")
WRITES = ("unit", "bulk", "isolated", "attempt", "marked")


@pytest.mark.parametrize("case", [*READS, *WRITES, "closed"])
def test_a_cancelled_task_leaves_nothing_behind(case: str, async_url: str) -> None:
    swept(async_url, case)


@pytest.mark.parametrize("way", [by_timeout, by_group])
def test_nor_does_one_whose_time_is_over_or_whose_group_has_failed(way: Way, async_url: str) -> None:
    swept(async_url, "unit", way=way, rounds=(1,))


def swept(url: str, case: str, **how: Any) -> None:
    async def main() -> None:
        bench = Bench(url)
        if case == "stream" and bench.db.engine.dialect.name == "mariadb":
            pytest.skip("MariaDB streams no collections")
        await bench.open()
        report = await sweep(
            getattr(bench, case),
            lambda cancellation: bench.clean(case, cancellation),
            before=lambda: bench.prepare(case),
            **how,
        )
        await bench.close()
        complaints = [each for each in report.complaints if _ABANDONED not in each]
        assert (complaints, report.swallowed) == ([], [])
        assert report.sites or case == "closed"  # psycopg closes without waiting
        assert any(True in ended for ended in report.sites.values()) is (case in WRITES)

    asyncio.run(main())
