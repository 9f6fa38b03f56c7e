"""A base of its own for the models of each test module, so that `create_all` makes the tables of that module alone."""

from __future__ import annotations

from sqlalchemy import MetaData

import hermetic


def own_base() -> type[hermetic.Base]:
    """Return a base whose tables are apart from those of every other."""

    class Own(hermetic.Base):
        __abstract__ = True
        metadata = MetaData(naming_convention=hermetic.Base.metadata.naming_convention)

    return Own
