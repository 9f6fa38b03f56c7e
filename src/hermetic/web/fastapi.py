"""FastAPI: a unit of work for each request that commits before the response starts, the reader, and the lifespan.

    Uow = Annotated[AsyncUnitOfWork, unit_of_work(db)]
    Reads = Annotated[AsyncDatabase, reader(db)]
    app = FastAPI(lifespan=lifespan(db))

Shapes are response bodies as they are: `async def list_users(reads: Reads) -> list[UserCard]`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

from hermetic.errors import MissingPackage
from hermetic.guard import join_hands
from hermetic.work import AsyncDatabase, AsyncUnitOfWork, Database, UnitOfWork

try:
    from fastapi import Depends
except ModuleNotFoundError as error:
    raise MissingPackage("fastapi", "hermetic.web.fastapi", "fastapi") from error

AnyDatabase = AsyncDatabase | Database


async def _join() -> None:
    join_hands()  # async: on the request's own task, whose context each thread of the request copies


def unit_of_work(db: AnyDatabase) -> Any:
    """Return the dependency that hands out a unit of work, async or sync as the database is.

    It commits when the route function has returned and **before the response starts**, so that a commit which fails
    is a 5xx and never a success; it rolls back when the route raises, an `HTTPException` included.

    Source: FastAPI manual, "Dependencies with yield", `scope="function"`; with the default scope the commit would
    come after the response.
    """
    if isinstance(db, AsyncDatabase):

        async def begin_async() -> AsyncIterator[AsyncUnitOfWork]:
            join_hands()
            async with db.begin() as uow:
                yield uow

        return Depends(begin_async, scope="function")

    def begin(_: Annotated[None, Depends(_join)]) -> Iterator[UnitOfWork]:
        with db.begin() as uow:
            yield uow

    return Depends(begin, scope="function")


def reader(db: AnyDatabase) -> Any:
    """Return the dependency that hands out the database itself, whose reads take one round trip and no transaction."""

    def read() -> AnyDatabase:
        return db

    async def read_async() -> AnyDatabase:
        return db

    # an async function runs on the event loop, where a sync one would cost a thread for nothing
    return Depends(read_async if isinstance(db, AsyncDatabase) else read)


def lifespan(*databases: AnyDatabase) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """Return the lifespan of an application that uses `databases`: when it stops they are closed, after the connections
    that are out came back.
    """

    @asynccontextmanager
    async def run(_: Any) -> AsyncGenerator[None]:
        try:
            yield
        finally:
            for db in databases:
                if isinstance(db, AsyncDatabase):
                    await db.close()
                else:
                    await asyncio.to_thread(db.close)

    return run
