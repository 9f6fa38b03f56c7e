"""Prepared reads: a statement declared once as a function of its values, compiled once, called with values alone."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeVar

from sqlalchemy import BindParameter, Select, bindparam, select
from sqlalchemy.sql import visitors

from hermetic.errors import WrongStatement
from hermetic.query import LONG_LIST
from hermetic.shape.annotation import parse, resolve
from hermetic.shape.define import ShapeOf, ShapeType
from hermetic.shape.statement import limit_parameter
from hermetic.shape.ways import key_of

P = ParamSpec("P")
Entity = TypeVar("Entity")
ShapeT = TypeVar("ShapeT")
Shape_co = TypeVar("Shape_co", covariant=True)
Make = Callable[[Mapping[str, Any]], Select[Any]]
"""Makes a statement of values, or of expressions in their place."""


class Template:
    """The statement of a prepared read: its values have names, and a verb that needs few rows has given it a limit."""

    def __init__(
        self,
        definition: ShapeOf[Any, Any],
        make: Make,
        names: Sequence[str],
        most: int | None,
    ) -> None:
        self.definition = definition
        self._make = make
        self._most = most
        self.statement = self.with_values({name: bindparam(name) for name in names})
        parameters = [each for each in visitors.iterate(self.statement) if isinstance(each, BindParameter)]
        self._lists = [each.key for each in parameters if each.expanding and each.key in names]
        self._limit = limit_parameter(self.statement)

    def with_values(self, values: Mapping[str, Any]) -> Select[Any]:
        """Return the statement with these values, or expressions, in it."""
        statement = self._make(values)
        return statement if self._most is None else statement.limit(self._most)

    def has_long_list(self, values: Mapping[str, Any]) -> bool:
        """Return whether an IN list of these values is too long to be sent value by value."""
        return bool(self._lists) and any(len(values[name]) > LONG_LIST for name in self._lists)

    def limit_of(self, values: Mapping[str, Any]) -> int | None:
        """Return the most rows that the statement finds with these values, as far as its LIMIT says."""
        if self._limit is None:
            return None
        limit = values.get(self._limit.key, self._limit.value)
        return limit if isinstance(limit, int) else None


class KeyTemplate(Template):
    """The statement that finds one row by its primary key."""

    def __init__(self, definition: ShapeOf[Any, Any]) -> None:
        columns = key_of(definition.model)
        self._names = [f"k{number}" for number in range(len(columns))]

        def make(values: Mapping[str, Any]) -> Select[Any]:
            return select(definition.model).where(
                *(each == values[n] for each, n in zip(columns, self._names, strict=True))
            )

        super().__init__(definition, make, self._names, None)

    def values(self, key: Any) -> dict[str, Any]:
        """Return the values of one key: a tuple where it has several columns.

        Raises:
            WrongStatement: it has another number of columns.
        """
        values = key if isinstance(key, tuple) else (key,)
        if len(values) != len(self._names):
            model = self.definition.model
            names = ", ".join(column.key for column in key_of(model))
            raise WrongStatement(
                "get",
                f"{len(values)} key values were given, and the key of {model.__name__} is ({names})",
                f"pass ({names})",
            )
        return dict(zip(self._names, values, strict=True))


@dataclass(frozen=True, slots=True)
class BoundRead(Generic[Shape_co]):
    """A prepared read and its values: what a verb takes in place of a shape and a statement."""

    prepared: Prepared[Any, Shape_co]
    values: Mapping[str, Any]


class Prepared(Generic[P, ShapeT]):
    """A read that is declared once; calling it with values gives what a verb takes.

        @prepared(UserCard)
        def users_named(name: str, limit: int) -> Select[User]:
            return select(User).where(User.name == name).order_by(User.id).limit(limit)

        cards = await db.all(users_named("alice", limit=20))

    The function runs once, with a bound parameter for each of its own; it must build the same statement for all values.
    """

    def __init__(self, shape: ShapeType[Any, ShapeT], make: Callable[P, Select[Any]]) -> None:
        self.shape = shape
        self.__name__ = getattr(make, "__name__", "prepared")
        self.__doc__ = make.__doc__
        self.__wrapped__ = make
        self._signature = inspect.signature(make)
        self._names = tuple(self._signature.parameters)
        self._required = frozenset(_required(make, self._signature))
        self._templates: dict[int | None, Template] = {}

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> BoundRead[ShapeT]:
        """Return the read with these values; nothing is sent.

        Raises:
            TypeError: a value is missing, or one too many is given.
            WrongStatement: None is given for a parameter whose type has no None; in SQL nothing equals NULL.
        """
        values = dict(zip(self._names, args, strict=False))
        values.update(kwargs)
        if len(values) != len(self._names) or len(args) > len(self._names):
            bound = self._signature.bind(*args, **kwargs)
            bound.apply_defaults()
            values = bound.arguments
        for name in self._required:
            if values[name] is None:
                raise WrongStatement(
                    self.__name__,
                    f"{name} is None, and in SQL nothing equals NULL",
                    f"use a select() without the condition, or declare `{name}: ... | None` where NULL is meant",
                )
        return BoundRead(self, values)

    def template(self, most: int | None = None) -> Template:
        """Return the statement with named parameters, and with a limit where a verb needs at most so many rows.

        Raises:
            WrongStatement: the function looks at its values, or does not return a `Select`.
        """
        found = self._templates.get(most)
        return found or self._templates.setdefault(
            most, Template(self.shape.__shape__(), self._made, self._names, most)
        )

    def _made(self, values: Mapping[str, Any]) -> Select[Any]:
        make: Any = self.__wrapped__
        given = dict(values)
        only_by_place = inspect.Parameter.POSITIONAL_ONLY
        first = [given.pop(name) for name, each in self._signature.parameters.items() if each.kind is only_by_place]
        try:
            statement = make(*first, **given)
        except TypeError as error:
            raise WrongStatement(
                self.__name__,
                f"the function cannot be called with parameters in place of values: {error}",
                "build one statement for all values; where it must differ, write two prepared reads or use select()",
            ) from error
        if not isinstance(statement, Select):
            raise WrongStatement(
                self.__name__, f"it returns {type(statement).__name__}, not a select()", "return select(Model)..."
            )
        return statement


def prepared(
    shape: ShapeType[Entity, ShapeT],
) -> Callable[[Callable[P, Select[Entity]]], Prepared[P, ShapeT]]:
    """Return the decorator that makes a prepared read of a function from values to a statement."""

    def declare(make: Callable[P, Select[Entity]]) -> Prepared[P, ShapeT]:
        return Prepared(shape, make)

    return declare


def _required(make: Callable[..., Any], signature: inspect.Signature) -> list[str]:
    """Return the parameters whose annotation has no None."""
    found: list[str] = []
    for name, parameter in signature.parameters.items():
        if parameter.annotation is inspect.Parameter.empty:
            continue
        try:
            annotation = resolve(parameter.annotation, {}, make.__module__)
        except NameError:
            continue
        if annotation is not Any and not parse(annotation).is_optional:
            found.append(name)
    return found
