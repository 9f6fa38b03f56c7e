"""Find one entity by its primary key, with a statement that is made once for each model and place.

`Session.get` writes its statement and computes the key of its cache at every call, which is a fifth of what a call
costs, that of the server included.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import Row, Select, bindparam, inspect, select
from sqlalchemy.orm import Mapper, Session

from hermetic.errors import WrongStatement
from hermetic.guard import Spot, loaded_at, spot
from hermetic.shape import complete, key_of

_SEVERAL = (tuple, list, Row)


def _values(key: Any) -> tuple[Any, ...]:
    return tuple(key) if isinstance(key, _SEVERAL) else (key,)


def by_key(model: type[Any], key: Any) -> Select[Any]:
    """Return the statement that finds the entity with this primary key.

    Raises:
        WrongStatement: the key has another number of columns.
    """
    columns, values = key_of(model), _values(key)
    if len(values) != len(columns):
        names = ", ".join(each.key for each in columns)
        raise WrongStatement(
            "get",
            f"{len(values)} key values were given, and the key of {model.__name__} is ({names})",
            f"pass ({names})",
        )
    return select(model).where(*(column == value for column, value in zip(columns, values, strict=True)))


def entity_of_key(session: Session, model: type[Any], key: Any) -> Any:
    """Return the entity with this primary key, from the session if it is there; None where there is none."""
    values, mapper = _values(key), inspect(model)
    # what else can be iterated, such as a dict of the attributes, SQLAlchemy takes apart itself
    is_known = isinstance(key, (*_SEVERAL, str, bytes)) or not isinstance(key, Iterable)
    is_whole = len(values) == len(mapper.primary_key) and None not in values
    if not (is_known and is_whole) or mapper.identity_key_from_primary_key(values) in session.identity_map:
        return session.get(model, key)
    result = session.execute(_finding(mapper, spot()), {f"key_{n}": value for n, value in enumerate(values)})
    entities = list(complete(result).scalars())
    return entities[0] if entities else None


@lru_cache(maxsize=1024)
def _finding(mapper: Mapper[Any], place: Spot | None) -> Select[Any]:
    conditions = [column == bindparam(f"key_{n}") for n, column in enumerate(key_of(mapper.class_))]
    return loaded_at(select(mapper.class_).where(*conditions), place)
