"""Section 6: what each parameter of the pool does, seen at the connections, and what the presets protect from."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from typing import Any

import psycopg
import pytest
from observatory import SUBARU, Telescope, TelescopeCard
from shells import Shell, only_postgresql, pool_of
from sqlalchemy import event, func, select
from sqlalchemy.exc import DBAPIError, TimeoutError
from sqlalchemy.pool import NullPool

from hermetic import Pool
from hermetic.testing import Server

TELESCOPES = select(Telescope)
PID = select(func.pg_backend_pid())


class Connections:
    """How many connections a database has opened and closed."""

    def __init__(self, db: Any) -> None:
        self.opened = 0
        self.closed = 0
        engine = db.engine.sync_engine if hasattr(db.engine, "sync_engine") else db.engine.sync
        event.listen(engine, "connect", self._opened)
        event.listen(engine, "close", self._closed)

    def _opened(self, *_: Any) -> None:
        self.opened += 1

    def _closed(self, *_: Any) -> None:
        self.closed += 1

    @property
    def now(self) -> int:
        return self.opened - self.closed


async def hold(stack: AsyncExitStack, db: Any, number: int) -> None:
    """Take `number` connections out of the pool until the stack is left."""
    for _ in range(number):
        uow = await stack.enter_async_context(db.begin())
        await uow.count(TELESCOPES)


@pytest.fixture
def kill(server: Server) -> Callable[[int], None]:
    """End a connection from the server's side, as a balancer or an idle limit does, and wait until it is gone."""

    def terminated(process: int) -> None:
        with psycopg.connect(server.url) as connection:
            row = connection.execute("SELECT pg_terminate_backend(%s, 5000)", [process]).fetchone()
            assert row == (True,)

    return terminated


# the presets


def test_the_preset_of_a_server_is_safe_in_every_parameter() -> None:
    assert Pool.server() == Pool(
        size=10, overflow=10, timeout=10.0, recycle=1800.0, ping_idle=1.0, instances=1, is_pooling=True, is_shared=False
    )


async def test_a_database_without_a_pool_has_the_preset_of_a_server(db: Any, shell: Shell) -> None:
    assert pool_of(db).size() == pool_of(shell.open(Pool.server())).size() == 10


@pytest.mark.parametrize("parameter", ["size", "overflow", "timeout", "recycle", "ping_idle"])
def test_a_negative_parameter_is_refused_by_name(parameter: str) -> None:
    with pytest.raises(ValueError, match=rf"Pool {parameter}=-1 is negative"):
        Pool.server(**{parameter: -1})


def test_a_pool_that_keeps_nothing_is_refused_with_the_preset_for_it() -> None:
    with pytest.raises(ValueError, match=r"use Pool\.serverless\(\)"):
        Pool.server(size=0)


def test_a_pool_cannot_be_changed_after_it_was_checked() -> None:
    with pytest.raises(AttributeError):
        Pool.server().size = 1_000  # type: ignore[misc]


# size and overflow


async def test_a_connection_is_used_again(shell: Shell) -> None:
    db = shell.open(Pool.server(size=1))
    connections = Connections(db)
    for _ in range(5):
        await db.count(TELESCOPES)
    assert connections.opened == 1


async def test_overflow_opens_connections_beyond_size(shell: Shell) -> None:
    db = shell.open(Pool.server(size=1, overflow=2))
    async with AsyncExitStack() as stack:
        await hold(stack, db, 3)
        assert pool_of(db).checkedout() == 3


async def test_only_size_connections_are_kept(shell: Shell) -> None:
    db = shell.open(Pool.server(size=2, overflow=2))
    connections = Connections(db)
    async with AsyncExitStack() as stack:
        await hold(stack, db, 4)
    assert (connections.opened, connections.now) == (4, 2)


async def test_the_database_opens_nothing_until_it_is_used(shell: Shell) -> None:
    db = shell.open(Pool.server(size=5))
    connections = Connections(db)
    db.plan(TelescopeCard, TELESCOPES)
    assert connections.opened == 0


# timeout


async def test_whoever_holds_all_connections_and_asks_for_another_is_told_at_once(shell: Shell) -> None:
    db = shell.open(Pool.server(size=1, overflow=1, timeout=170))
    async with AsyncExitStack() as stack:
        await hold(stack, db, 2)
        with pytest.raises(TimeoutError, match=r"no connection can come back: all 2 are out"):
            await db.count(TELESCOPES)


async def test_a_pool_that_was_exhausted_works_again(shell: Shell) -> None:
    db = shell.open(Pool.server(size=1, overflow=0, timeout=0.05))
    async with AsyncExitStack() as stack:
        await hold(stack, db, 1)
        with pytest.raises(TimeoutError):
            await db.count(TELESCOPES)
    assert await db.count(TELESCOPES) == 3


async def test_a_unit_that_gets_no_connection_leaves_none_behind(shell: Shell) -> None:
    db = shell.open(Pool.server(size=1, overflow=0, timeout=0.05))
    async with AsyncExitStack() as stack:
        await hold(stack, db, 1)
        with pytest.raises(TimeoutError):
            async with db.begin() as uow:
                await uow.count(TELESCOPES)
    assert pool_of(db).checkedout() == 0


# recycle


async def age(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the clock that the ages of connections are told by run ahead."""
    monkeypatch.setattr("hermetic.engine.age.monotonic", lambda: time.monotonic() + seconds)


async def test_a_connection_older_than_recycle_is_replaced(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    db = shell.open(Pool.server(recycle=1800))
    connections = Connections(db)
    await db.count(TELESCOPES)
    await age(monkeypatch, 1801)
    await db.count(TELESCOPES)
    assert (connections.opened, connections.closed) == (2, 1)


async def test_a_connection_younger_than_recycle_is_kept(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    db = shell.open(Pool.server(recycle=1800))
    connections = Connections(db)
    await db.count(TELESCOPES)
    await age(monkeypatch, 1700)
    await db.count(TELESCOPES)
    assert (connections.opened, connections.closed) == (1, 0)


async def test_recycle_is_on_without_being_asked_for(db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    connections = Connections(db)
    await db.count(TELESCOPES)
    await age(monkeypatch, 3600)
    await db.count(TELESCOPES)
    assert connections.opened == 2


@pytest.mark.parametrize("step", [-3600, 3600])
async def test_a_wall_clock_that_is_set_ends_no_connection(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, step: float
) -> None:
    db = shell.open(Pool.server(recycle=1800))
    connections = Connections(db)
    await db.count(TELESCOPES)
    stepped = time.time() + step
    monkeypatch.setattr(time, "time", lambda: stepped)
    await db.count(TELESCOPES)
    assert (connections.opened, connections.closed) == (1, 0)


async def test_connections_that_were_made_together_do_not_end_together(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = shell.open(Pool.server(size=20, recycle=1800))
    connections = Connections(db)
    async with AsyncExitStack() as stack:
        await hold(stack, db, 20)
    await age(monkeypatch, 1755)
    async with AsyncExitStack() as stack:
        await hold(stack, db, 20)
    assert 0 < connections.closed < 20


# ping_idle


@only_postgresql
async def test_a_connection_that_died_while_idle_is_replaced_in_silence(
    shell: Shell, kill: Callable[[int], None]
) -> None:
    db = shell.open(Pool.server(ping_idle=0))
    kill(await db.one(PID))
    assert (await db.get(TelescopeCard, SUBARU)).name == "Subaru"


@only_postgresql
async def test_a_unit_does_not_notice_a_connection_that_died_while_idle(
    shell: Shell, kill: Callable[[int], None]
) -> None:
    db = shell.open(Pool.server(ping_idle=0))
    kill(await db.one(PID))
    async with db.begin() as uow:
        uow.add(Telescope(name="Arecibo"))
    assert await db.count(TELESCOPES) == 4


@only_postgresql
async def test_the_replacement_costs_the_application_no_statement(shell: Shell, kill: Callable[[int], None]) -> None:
    db = shell.open(Pool.server(ping_idle=0))
    kill(await db.one(PID))
    with db.recorded() as statements:
        await db.count(TELESCOPES)
    assert len(statements) == 1


@only_postgresql
async def test_every_idle_connection_that_died_is_replaced(shell: Shell, kill: Callable[[int], None]) -> None:
    db = shell.open(Pool.server(size=3, ping_idle=0))
    async with AsyncExitStack() as stack:
        units = [await stack.enter_async_context(db.begin()) for _ in range(3)]
        processes = [await uow.one(PID) for uow in units]
    for process in processes:
        kill(process)
    async with AsyncExitStack() as stack:
        await hold(stack, db, 3)
        assert pool_of(db).checkedout() == 3


@only_postgresql
@pytest.mark.parametrize("ping_idle", [0, 3600])
async def test_a_wall_clock_that_was_set_back_hides_no_death_and_ends_no_new_connection(
    shell: Shell, kill: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, ping_idle: float
) -> None:
    db = shell.open(Pool.server(size=3, ping_idle=ping_idle))
    connections = Connections(db)
    async with AsyncExitStack() as stack:
        units = [await stack.enter_async_context(db.begin()) for _ in range(3)]
        processes = [await uow.one(PID) for uow in units]
    for process in processes:
        kill(process)
    stepped = time.time() - 3600
    monkeypatch.setattr(time, "time", lambda: stepped)
    for _ in range(6):
        assert await db.count(TELESCOPES) == 3
    async with AsyncExitStack() as stack:
        await hold(stack, db, 3)
    opened = connections.opened
    for _ in range(6):
        assert await db.count(TELESCOPES) == 3
    assert connections.opened == opened == 6


@only_postgresql
async def test_without_the_ping_the_same_death_reaches_a_unit_of_work_and_no_read(
    shell: Shell, kill: Callable[[int], None]
) -> None:
    db = shell.open(Pool.server(ping_idle=3600))
    kill(await db.one(PID))
    with pytest.raises(DBAPIError):
        async with db.begin() as uow:
            await uow.count(TELESCOPES)
    kill(await db.one(PID))
    assert await db.count(TELESCOPES) == 3  # outside a unit, where it can only be read again


@only_postgresql
async def test_a_dead_connection_is_met_once_at_most(shell: Shell, kill: Callable[[int], None]) -> None:
    db = shell.open(Pool.server(ping_idle=3600))
    kill(await db.one(PID))
    for is_dead in (True, False):
        with pytest.raises(DBAPIError) if is_dead else nullcontext():
            async with db.begin() as uow:
                assert await uow.count(TELESCOPES) == 3


async def test_a_living_connection_is_kept_by_the_ping(shell: Shell) -> None:
    db = shell.open(Pool.server(ping_idle=0))
    connections = Connections(db)
    for _ in range(3):
        await db.count(TELESCOPES)
    assert connections.opened == 1


# serverless, and the end


async def test_serverless_is_no_pool(shell: Shell) -> None:
    assert isinstance(pool_of(shell.open(Pool.serverless())), NullPool)


async def test_serverless_opens_a_connection_for_each_read(shell: Shell) -> None:
    db = shell.open(Pool.serverless())
    connections = Connections(db)
    for _ in range(3):
        await db.count(TELESCOPES)
    assert connections.opened == 3


async def test_serverless_keeps_no_connection_between_uses(shell: Shell) -> None:
    db = shell.open(Pool.serverless())
    connections = Connections(db)
    await db.count(TELESCOPES)
    async with db.begin() as uow:
        uow.add(Telescope(name="Arecibo"))
    assert connections.now == 0


async def test_serverless_uses_one_connection_for_one_unit(shell: Shell) -> None:
    db = shell.open(Pool.serverless())
    connections = Connections(db)
    async with db.begin() as uow:
        await uow.count(TELESCOPES)
        await uow.get(TelescopeCard, SUBARU)
    assert connections.opened == 1


async def test_close_closes_what_the_pool_kept(shell: Shell) -> None:
    db = shell.open(Pool.server(size=3))
    connections = Connections(db)
    async with AsyncExitStack() as stack:
        await hold(stack, db, 3)
    await db.close()
    assert (connections.opened, connections.now) == (3, 0)
