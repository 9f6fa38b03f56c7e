"""The FastAPI application of the route workload: reads the URL of its database, prints its port and serves."""

import socket
import sys
from collections.abc import AsyncGenerator
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload

from bench import ours
from bench.shop import Member, members
from hermetic import AsyncDatabase
from hermetic.web.fastapi import lifespan


class AddressOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    email: str


class MemberOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    id: int
    name: str
    fullname: str | None
    addresses: list[AddressOut]


def application(url: str) -> FastAPI:
    """Return the application: a route for each way of hermetic, and `/orm` as FastAPI's own manual would write it."""
    db = AsyncDatabase(url)
    engine = create_async_engine(url, pool_size=10)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    app = FastAPI(lifespan=lifespan(db))

    async def session() -> AsyncGenerator[AsyncSession]:
        async with sessions() as opened:
            yield opened

    @app.get("/orm", response_model=list[MemberOut])
    async def orm(limit: int, session: Annotated[AsyncSession, Depends(session)]) -> object:
        return (await session.scalars(members(limit).options(selectinload(Member.addresses)))).all()

    ours.routes(app, db)
    return app


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        config = uvicorn.Config(application(sys.stdin.readline().strip()), log_level="warning", access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
