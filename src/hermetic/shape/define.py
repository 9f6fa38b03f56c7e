"""`Shape`: the class a read returns, and the moment it is checked."""

from __future__ import annotations

import functools
import sys
import weakref
from pathlib import Path as FilePath
from types import FrameType
from typing import (
    Any,
    ClassVar,
    Generic,
    Protocol,
    Self,
    TypeVar,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
    overload,
)

import msgspec
from sqlalchemy import event
from sqlalchemy.orm import registry

from hermetic.errors import Problem, ShapeError
from hermetic.model import can_configure
from hermetic.shape.annotation import members_of, parse, type_name
from hermetic.shape.check import Checker, mapper_of
from hermetic.shape.node import Node
from hermetic.shape.openapi import core_schema, with_discriminators
from hermetic.shape.strategy import Facts
from hermetic.shape.target import target_of

Model = TypeVar("Model")
Entity = TypeVar("Entity")
Target = TypeVar("Target")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
Shape_co = TypeVar("Shape_co", covariant=True)


class ShapeOf(Generic[Entity, Shape_co]):
    """The definition behind what a verb reads: the class to fill, its model, where that was said, and the node tree
    once it is checked.
    """

    def __init__(self, shape: Any, model: type[Any], location: str, names: dict[str, Any]) -> None:
        self.shape = shape
        self.model = model
        self.location = location
        self.names = names
        self.__name__: str = type_name(shape)
        self._node: Node | None = None

    def __shape__(self) -> ShapeOf[Entity, Shape_co]:
        """Return itself: what `shape_of()` returns is taken by every verb."""
        return self

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Return the schema of a union that this definition stands beside: `Annotated[CarCard | TruckCard, this]`."""
        return handler.generate_schema(with_discriminators(source))

    @property
    def node(self) -> Node:
        """Return the checked node tree; the first call checks.

        Raises:
            ShapeError: the shape does not fit its model.
        """
        if self._node is None:
            self._node = self._check()
        return self._node

    @functools.cached_property
    def facts(self) -> Facts:
        """Return what the choice of a strategy depends on."""
        return Facts.of(self.node)

    def is_ready(self, seen: frozenset[type] = frozenset()) -> bool:
        """Return whether all that the shape and the shapes inside it name exists by now."""
        mapper = mapper_of(self.model)
        if mapper is None:
            return True
        try:
            fields = [self.fields(member) for member in members_of(self.shape)]
            annotations = [parse(annotation) for each in fields for annotation in each.values()]
        except NameError:
            return False
        members = [member for each in annotations for member in members_of(each.item or each.type)]
        inner = {_definition_of(member) for member in members} - {None}
        seen |= {self.shape}
        if not all(each.is_ready(seen) for each in inner if each is not None and each.shape not in seen):
            return False
        return mapper.configured or can_configure(mapper.registry)

    def fields(self, shape: type[Any]) -> dict[str, Any]:
        """Return the resolved annotation of each field of this shape or of one inside it, inherited fields first.

        Raises:
            NameError: an annotation names a class that is not defined yet.
        """
        target = target_of(shape)
        own = _definition_of(shape) or self

        def names_of(owner: type) -> dict[str, Any]:
            return (_definition_of(owner) or own).names

        return target.annotations(names_of) if target is not None else {}

    def _check(self) -> Node:
        mapper = mapper_of(self.model)
        checker = Checker(model_of, self.fields)
        if mapper is None:
            checker.problems.append(_not_mapped(self.shape, self.model))
            raise ShapeError(self.__name__, self.location, checker.problems)
        mapper.registry.configure(cascade=True)
        node = checker.any_node(self.shape, mapper, self.__name__)
        facts = Facts.of(node) if not checker.problems else None
        if facts is not None and facts.trees and not facts.is_anchored:
            what = "is read by keys, level by level; a relationship of this shape has a condition of more than equality"
            checker.problems.append(
                Problem(facts.trees[0], what, "one shape for each of them, read one after the other")
            )
        if checker.problems:
            raise ShapeError(self.__name__, self.location, checker.problems)
        return node


class ShapeType(Protocol[Entity, Shape_co]):
    """What a verb takes as its first argument: a class that knows its shape, e.g. a subclass of `Shape[User]`."""

    def __shape__(self) -> ShapeOf[Entity, Shape_co]:
        """Return the definition of the shape."""
        ...


def _model_in(cls: type) -> type | None:
    for owner in cls.__mro__:
        for base in owner.__dict__.get("__orig_bases__", ()):
            origin = get_origin(base)
            if isinstance(origin, ShapeMeta) and isinstance(get_args(base)[0], type):
                model: type = get_args(base)[0]
                return model
    return None


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class ShapeMeta(msgspec.StructMeta):
    """Makes every shape frozen, keyword-only and untracked by the garbage collector, and checks it when it is
    defined.
    """

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> ShapeMeta:
        """Create the class, then check it against its model if all it names exists."""
        options.setdefault("frozen", True)
        options.setdefault("kw_only", True)
        options.setdefault(
            "gc", False
        )  # a shape is a tree: it cannot be part of a cycle, and half of ORM load time is the collector
        cls = super().__new__(mcls, name, bases, namespace, **options)
        model = _model_in(cls)
        if model is not None:
            frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # documented, and the only way in
            definition: ShapeOf[Any, Any] = ShapeOf(cls, model, _location(frame), _names_at(frame))
            type.__setattr__(cls, "__definition__", definition)
            _introduce(cls)
            _announce(definition)
        return cls


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Shape(msgspec.Struct, Generic[Model], metaclass=ShapeMeta):
    """The base of every shape: `class UserCard(Shape[User])` says what a read of `User` returns.

    Fields are columns by name, `path(...)`, `count(...)`, nested shapes over to-one relationships and lists of nested
    shapes over to-many relationships (with `many(...)` for filter, order and limit). A shape is frozen and complete.

    Raises:
        ShapeError: a field does not fit the model; raised when the class is defined, or, where it names a class that
            comes later, as soon as that class exists.
    """

    __definition__: ClassVar[Any] = None

    @classmethod
    def __shape__(cls) -> ShapeOf[Model, Self]:
        """Return the definition of this shape."""
        definition = cls.__dict__.get("__definition__")
        if definition is None:
            raise TypeError(f"{cls.__name__} names no model; write class {cls.__name__}(Shape[YourModel])")
        return definition  # type: ignore[no-any-return]  # one attribute for every model

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> dict[str, Any]:
        """Return the schema by which pydantic and FastAPI accept and document this shape."""
        return core_schema(cls, _fields_of(cls), handler)


@overload
def shape_of(model: type[Entity], target: type[Target], /) -> ShapeType[Entity, Target]: ...
@overload
def shape_of(model: type[Entity], a: type[A], b: type[B], /) -> ShapeType[Entity, A | B]: ...
@overload
def shape_of(model: type[Entity], a: type[A], b: type[B], c: type[C], /) -> ShapeType[Entity, A | B | C]: ...
@overload
def shape_of(
    model: type[Entity], a: type[A], b: type[B], c: type[C], d: type[D], /
) -> ShapeType[Entity, A | B | C | D]: ...
@overload
def shape_of(
    model: type[Entity], a: type[A], b: type[B], c: type[C], d: type[D], e: type[E], /
) -> ShapeType[Entity, A | B | C | D | E]: ...
def shape_of(model: type[Entity], /, *targets: type[Any]) -> ShapeType[Entity, Any]:  # no checker unites *targets
    """Return the shape that reads `model` into a class that names no model, or into one of several shapes; every verb
    takes it.

        UserData = shape_of(User, UserDTO)
        users: list[UserDTO] = db.all(UserData, select(User))

        VehicleCard = shape_of(Vehicle, CarCard, TruckCard)
        cards: list[CarCard | TruckCard] = db.all(VehicleCard, select(Vehicle))

    Write it once, beside the class. Fields are those of a `Shape`, checked the same way.

    Args:
        model: the mapped class that statements select.
        targets: one dataclass, pydantic model (validated, by the names of its fields) or TypedDict; classes inside it
            need no model of their own. Or up to 5 shapes of the classes of a hierarchy, each with a tag of its own:
            `class CarCard(Shape[Car], tag="car")`; a row is read by the member of its class or of the nearest above.

    Raises:
        ShapeError: the class cannot be filled, a field does not fit the model, or a row would have no member; raised
            here, or, where a class is named that comes later, as soon as that class exists.
    """
    found: ShapeOf[Any, Any] | None = _named.get((model, *targets))
    if found is not None:
        return found
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]  # documented, and the only way in
    location = _location(frame)
    if len(targets) == 1 and target_of(targets[0]) is None:
        raise ShapeError(type_name(targets[0]), location, [_not_a_target(targets[0])])
    united: Any = Union[targets]  # noqa: UP007  # of any number
    definition: ShapeOf[Entity, Any] = ShapeOf(united, model, location, _names_at(frame))
    _announce(definition)
    _named[model, *targets] = definition
    return definition


_named: weakref.WeakValueDictionary[tuple[Any, ...], ShapeOf[Any, Any]] = weakref.WeakValueDictionary()
_waiting: list[weakref.ref[ShapeOf[Any, Any]]] = []
_watched: weakref.WeakSet[registry] = weakref.WeakSet()


def _announce(definition: ShapeOf[Any, Any]) -> None:
    """Check a new definition now, or, where it names what comes later, as soon as that exists."""
    _waiting.append(weakref.ref(definition))
    check_waiting()


def check_waiting(_: Any = None) -> None:
    """Check every shape that was defined before all it names existed, if it exists now."""
    for reference in list(_waiting):
        definition = reference()
        if reference not in _waiting:  # configuring the mappers, below, comes back here
            continue
        if definition is None:
            _waiting.remove(reference)
        elif definition.is_ready():
            _waiting.remove(reference)  # first, so that a shape that fails is reported once
            try:
                _ = definition.node
            except NameError:  # of a class inside that has no model of its own
                _waiting.append(reference)
        else:
            _watch(definition)


def _introduce(cls: type) -> None:
    """Make a new shape known to waiting shapes that were defined beside it, inside the same function."""
    for reference in _waiting:
        definition = reference()
        if definition is not None and _scope(definition.shape) == _scope(cls):
            definition.names.setdefault(cls.__name__, cls)


def _scope(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__.rpartition(".")[0]


def _watch(definition: ShapeOf[Any, Any]) -> None:
    mapper = mapper_of(definition.model)
    if mapper is not None and mapper.registry not in _watched:
        _watched.add(mapper.registry)
        event.listen(mapper.registry, "after_configured", check_waiting)


def model_of(shape: Any) -> type | None:
    """Return the model of a shape class, or None for anything else."""
    definition = _definition_of(shape)
    return definition.model if definition is not None else None


def _definition_of(shape: Any) -> ShapeOf[Any, Any] | None:
    if isinstance(shape, ShapeMeta):
        found: ShapeOf[Any, Any] | None = shape.__dict__.get("__definition__")
        return found
    return None


def _fields_of(shape: type[Any]) -> dict[str, Any]:
    definition = _definition_of(shape)
    return definition.fields(shape) if definition is not None else {}


def _location(frame: FrameType) -> str:
    name = frame.f_code.co_filename
    path = FilePath(name)
    if path.is_absolute() and path.is_relative_to(FilePath.cwd()):
        name = str(path.relative_to(FilePath.cwd()))
    return f"{name}:{frame.f_lineno}"


def _names_at(frame: FrameType) -> dict[str, Any]:
    """Return the local names a class body inside a function may refer to; a module's names are looked up when
    needed.
    """
    return {} if frame.f_locals is frame.f_globals else dict(frame.f_locals)


def _not_a_target(target: Any) -> Problem:
    name = type_name(target)
    fix = f"@dataclass\nclass {name}: ...  # or a pydantic model, or a TypedDict"
    return Problem(name, "is no class that a read can fill", fix)


def _not_mapped(shape: type, model: type) -> Problem:
    behind = model_of(model)
    if behind is not None:
        fix = f"class {shape.__name__}(Shape[{behind.__name__}])"
    else:
        fix = (
            f'class {model.__name__}(Base):\n    __tablename__ = "{model.__name__.lower()}"\n'
            "    id: Mapped[int] = mapped_column(primary_key=True)"
        )
    return Problem(shape.__name__, f"{model.__name__} is not a mapped class", fix)
