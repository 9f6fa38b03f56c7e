"""`Repository`: where the SQL of one aggregate lives. It reads, adds and deletes; it has no way to commit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from sqlalchemy.orm import QueryableAttribute

from hermetic.engine import AsyncReader, Reader
from hermetic.shape import Path
from hermetic.work.unit import AsyncUnitOfWork, UnitOfWork

Model = TypeVar("Model")


class Repository(Reader, Generic[Model]):
    """The reads and writes of one aggregate inside a unit of work: subclass it, one method for each question.

    It reads with the verbs of every reader, on the unit's connection. Writes are `add` and `delete`; the unit of work
    that the repository was made with decides when they are true.
    """

    def __init__(self, uow: UnitOfWork) -> None:
        super().__init__(uow._source)
        self._uow = uow

    def add(self, entity: Model) -> None:
        """Take a new entity, and what its cascades reach, into the unit of work; sent at the next flush."""
        self._uow.add(entity)

    def load(
        self,
        entities: Model | Iterable[Model],
        path: QueryableAttribute[Any] | Path,
        /,
        *paths: QueryableAttribute[Any] | Path,
    ) -> None:
        """Fill relationships and deferred columns of entities that the unit of work holds; see `UnitOfWork.load`.

        Raises:
            CannotLoad: an entity is not stored in the unit, or a path is not one of its class.
        Statements: 1 SELECT for each relationship, 1 for all columns of a class, whatever the number of entities.
        """
        self._uow.load(entities, path, *paths)

    def delete(self, entity: Model) -> None:
        """Mark an entity as deleted; sent at the next flush.

        Statements: 0, or 1 SELECT for each relationship whose cascade must know the children.
        """
        self._uow.delete(entity)


class AsyncRepository(AsyncReader, Generic[Model]):
    """The async twin of `Repository`: the same verbs, awaited."""

    def __init__(self, uow: AsyncUnitOfWork) -> None:
        super().__init__(uow._core, uow._bridge)
        self._uow = uow

    def add(self, entity: Model) -> None:
        self._uow.add(entity)

    async def load(
        self,
        entities: Model | Iterable[Model],
        path: QueryableAttribute[Any] | Path,
        /,
        *paths: QueryableAttribute[Any] | Path,
    ) -> None:
        await self._uow.load(entities, path, *paths)

    async def delete(self, entity: Model) -> None:
        await self._uow.delete(entity)
