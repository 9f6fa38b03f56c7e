"""Engines, pools, connections: what stands between the verbs and the driver."""

from hermetic.engine.connect import make_async_engine, make_engine
from hermetic.engine.fetch import fetching
from hermetic.engine.pool import Pool
from hermetic.engine.reader import AsyncReader, Reader, Source

__all__ = ["AsyncReader", "Pool", "Reader", "Source", "fetching", "make_async_engine", "make_engine"]
