"""Databases, units of work, repositories: who reads, what happens together, and where the SQL of an aggregate lives."""

from hermetic.work.attempt import AsyncAttempt, Attempt
from hermetic.work.database import AsyncDatabase, Database
from hermetic.work.repository import AsyncRepository, Repository
from hermetic.work.unit import AsyncUnitOfWork, UnitOfWork

__all__ = [
    "AsyncAttempt",
    "AsyncDatabase",
    "AsyncRepository",
    "AsyncUnitOfWork",
    "Attempt",
    "Database",
    "Repository",
    "UnitOfWork",
]
