"""What a shape needs to know of a caller's `Select`: the one place that reads SQLAlchemy beyond its public names.

Some facts of a `Select` have no public accessor in SQLAlchemy 2.1: its cache key, whether it is grouped or distinct,
its limit, its lock, its order and its options; nor have the variants of a column type. The dogpile caching example of
SQLAlchemy's own documentation reads the first one the same way. `tests/unit/test_statement.py` fails when a release
changes any of them.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import BindParameter, ColumnElement, Dialect, Executable, Select, inspect
from sqlalchemy.orm import Mapper, QueryableAttribute
from sqlalchemy.orm.interfaces import CriteriaOption
from sqlalchemy.sql import visitors
from sqlalchemy.sql.cache_key import CacheKey
from sqlalchemy.types import TypeEngine

from hermetic.errors import WrongStatement
from hermetic.query import with_gathered_lists

StatementT = TypeVar("StatementT", bound=Executable)

_NAME = "textual_label_reference"


def cache_key(statement: Any) -> CacheKey | None:
    """Return the key that is equal for statements which differ in values only, or None where a part has no key."""
    key: CacheKey | None = statement._generate_cache_key()
    return key


def are_equal(one: Any, other: Any) -> bool:
    """Return whether two expressions are the same SQL with the same values."""
    if one is None or other is None or one is other:
        return one is other
    left, right = cache_key(one), cache_key(other)
    if left is None or right is None or left.key != right.key:
        return False
    return all(a.effective_value == b.effective_value for a, b in zip(left.bindparams, right.bindparams, strict=True))


def gathered(statement: StatementT, dialect: Dialect) -> StatementT:
    """Return the statement with its IN lists as one bound value each, if they are long."""
    key = cache_key(statement)
    return with_gathered_lists(statement, key.bindparams if key is not None else None, dialect)


def variant(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    """Return what `with_variant` says of a type for one database; the type itself where it says nothing."""
    return kind._variant_mapping.get(dialect.name, kind)  # pyright: ignore[reportPrivateUsage]


def is_grouped(statement: Select[Any]) -> bool:
    """Return whether the statement has a GROUP BY or a HAVING."""
    return bool(statement._group_by_clauses or statement._having_criteria)  # pyright: ignore[reportPrivateUsage]


def is_distinct(statement: Select[Any]) -> bool:
    """Return whether the statement has a DISTINCT."""
    return statement._distinct  # pyright: ignore[reportPrivateUsage]


def is_distinct_on(statement: Select[Any]) -> bool:
    """Return whether the statement has a DISTINCT ON, which keeps one row of many."""
    if not is_distinct(statement):
        return False
    as_extension = any(part.__visit_name__ == "postgresql_distinct_on" for part in statement.get_children())
    return as_extension or bool(statement._distinct_on)  # pyright: ignore[reportPrivateUsage]


def order_of(statement: Select[Any]) -> tuple[ColumnElement[Any], ...]:
    """Return the expressions of the ORDER BY."""
    return tuple(statement._order_by_clauses)  # pyright: ignore[reportPrivateUsage]


def with_named_order(statement: Select[Any], entity: Any) -> Select[Any]:
    """Return the statement with each name in its ORDER BY, e.g. `order_by("name")`, replaced by the entity's column.

    SQLAlchemy would look the name up among the columns selected and joined, and a shape selects and joins others.
    """
    order = order_of(statement)
    if not any(part.__visit_name__ == _NAME for clause in order for part in visitors.iterate(clause)):
        return statement

    def column(element: Any, **_: Any) -> Any:
        found = getattr(entity, str(element.element), None) if element.__visit_name__ == _NAME else None
        return found.__clause_element__() if isinstance(found, QueryableAttribute) else None

    named = [visitors.replacement_traverse(clause, {}, column) for clause in order]
    return statement.order_by(None).order_by(*named)


def locks_rows(statement: Any) -> bool:
    """Return whether the statement has a FOR UPDATE or FOR SHARE."""
    return getattr(statement, "_for_update_arg", None) is not None


def has_limit(statement: Select[Any]) -> bool:
    """Return whether the statement states how many rows it returns at most."""
    return statement._has_row_limiting_clause  # pyright: ignore[reportPrivateUsage]


def limit_parameter(statement: Select[Any]) -> BindParameter[Any] | None:
    """Return the parameter that holds the LIMIT, or None where there is none or it is an expression."""
    clause = statement._limit_clause  # pyright: ignore[reportPrivateUsage]
    return clause if isinstance(clause, BindParameter) else None


def limit_of(statement: Select[Any]) -> int | None:
    """Return the number of the LIMIT, or None where there is none or it is more than a number."""
    parameter = limit_parameter(statement)
    value = parameter.effective_value if parameter is not None else None
    return value if isinstance(value, int) else None


def criteria_of(statement: Select[Any]) -> tuple[CriteriaOption, ...]:
    """Return the options that filter every read of a class, such as `with_loader_criteria`."""
    options = statement._with_options  # pyright: ignore[reportPrivateUsage]
    return tuple(option for option in options if isinstance(option, CriteriaOption))


def complete(result: Any) -> Any:
    """Return the result of a statement, each entity once: SQLAlchemy refuses the rows of a joined eager load of a
    collection, which repeat each parent, unless it is told to make them unique.
    """
    # whether a result is one, only its compile state says; `test_what_the_statement_loads_is_there` fails when a
    # release moves this
    state = result.raw.context.compiled.compile_state if hasattr(result, "raw") else None
    return result.unique() if getattr(state, "multi_row_eager_loaders", False) else result


def entity_of(statement: Any, verb: str) -> Any:
    """Return the one entity, a mapped class or an alias of one, that `statement` selects.

    Raises:
        WrongStatement: it is no `Select`, selects no entity or several, or is grouped.
    """
    if not isinstance(statement, Select):
        raise WrongStatement(
            verb, f"{type(statement).__name__} is not a select()", "pass select(Model), with where, order_by and limit"
        )
    chosen = statement.column_descriptions
    entities = [each["entity"] for each in chosen if each["expr"] is each.get("entity")]
    names = ", ".join(str(each["name"]) for each in chosen)
    if len(chosen) > 1:
        raise WrongStatement(
            verb,
            f"it selects {len(chosen)} things ({names}); a shape is read from one entity",
            "select the entity the shape is of, and reach the rest by nested shapes or path(...)",
        )
    if not entities:
        raise WrongStatement(
            verb,
            f"it selects `{names}`, a value and not an entity",
            "select the mapped class itself, e.g. select(User); without a shape, the verb returns values and rows",
        )
    if is_grouped(statement):
        raise WrongStatement(
            verb,
            "it is grouped, so its rows are aggregates and not entities",
            "group in a subquery: select(User).where(User.id.in_(select(User.id).group_by(User.id).having(...)))\n"
            "or count in the shape: Annotated[int, count(User.addresses)]",
        )
    return entities[0]


def entity_mapper(entity: Any) -> Mapper[Any]:
    """Return the mapper of a mapped class or of an alias."""
    found = inspect(entity)
    return found if isinstance(found, Mapper) else found.mapper
