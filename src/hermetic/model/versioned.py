"""`Versioned`: rows that count their changes, so that nobody overwrites what they have not seen.

Source: SQLAlchemy manual, "Configuring a Version Counter".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Mapped, Mapper, declared_attr, has_inherited_table, mapped_column

from hermetic.errors import Problem


class Versioned:
    """A mixin that gives each row a version: 1 when it is added, one more with each change.

    `class Account(Versioned, Base)`. A change of an entity is written only if its row still has the version that was
    read; otherwise the unit of work raises `VersionConflict`. An UPDATE of many rows through a unit of work counts too;
    one behind it, on a connection or as text, does not.
    """

    version: Mapped[int] = mapped_column(server_default="1")  # for rows that the ORM does not add

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        """Return what makes the column a version; a subclass in a hierarchy has that of its parent."""
        return {} if has_inherited_table(cls) else {"version_id_col": cls.version}


def version_problems(mapper: Mapper[Any]) -> Iterator[Problem]:
    """Return the problem of a versioned model whose own `__mapper_args__` took the place of the mixin's."""
    if issubclass(mapper.class_, Versioned) and mapper.version_id_col is None:
        name = mapper.class_.__name__
        what = "is Versioned, and its own __mapper_args__ leave the version out"
        yield Problem(name, what, '__mapper_args__ = {..., "version_id_col": Versioned.version}')
