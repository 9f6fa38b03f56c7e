"""Check a shape against its mapper and build its node tree; all problems of a shape come out together."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Column, ColumnClause, Index, Table, UniqueConstraint
from sqlalchemy import inspect as inspect_mapped
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import (
    ColumnProperty,
    Mapper,
    QueryableAttribute,
    RelationshipDirection,
    RelationshipProperty,
    registry,
)
from sqlalchemy.sql import visitors
from sqlalchemy.types import JSON, Float, NullType, Numeric, TypeDecorator, TypeEngine

from hermetic.errors import Problem
from hermetic.shape.annotation import Annotation, mapped_type, parse, type_name
from hermetic.shape.codec import has_exact_form, type_of
from hermetic.shape.criteria import tables_named
from hermetic.shape.fields import Count, Many, Path
from hermetic.shape.node import Children, Hop, Leaf, Node, One, Part, Tally

ModelOf = Callable[[Any], "type | None"]
"""Returns the model of a shape class, or None for anything else."""

FieldsOf = Callable[[Any], "dict[str, Any]"]
"""Returns the resolved annotations of a shape class by field name."""


def can_configure(mappers: registry) -> bool:
    """Return whether every relationship of `mappers` leads to a class that exists by now.

    Configuring earlier would mark the mapper as failed for the life of the process.
    """
    known = {mapper.class_.__name__ for mapper in mappers.mappers}
    return all(_leads_somewhere(argument, known) for mapper in mappers.mappers for argument in _arguments(mapper))


def _arguments(mapper: Mapper[Any]) -> Iterator[Any]:
    if mapper.configured:
        return
    for attribute in vars(mapper.class_).values():
        if isinstance(attribute, QueryableAttribute):
            declared = attribute.comparator.prop  # `.property` would configure the mappers
            if isinstance(declared, RelationshipProperty):
                yield declared.argument


def _leads_somewhere(argument: Any, known: set[str]) -> bool:
    if isinstance(argument, str):
        return argument.rpartition(".")[2].strip("'\" ") in known
    if isinstance(argument, (type, Mapper)) or not callable(argument):
        return True
    try:
        argument()
    except Exception:  # a lambda or a resolver: whatever it raises, the class is not there yet
        return False
    return True


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree a field stands."""

    path: str
    mapper: Mapper[Any]
    shape: type[msgspec.Struct]
    stack: tuple[tuple[type, str], ...]
    in_collection: bool


class Checker:
    """Builds the node tree of one shape and collects what is wrong with it."""

    def __init__(self, model_of: ModelOf, fields_of: FieldsOf) -> None:
        self.problems: list[Problem] = []
        self._model_of = model_of
        self._fields_of = fields_of

    def node(
        self,
        shape: type[msgspec.Struct],
        mapper: Mapper[Any],
        path: str,
        stack: tuple[tuple[type, str], ...] = (),
        *,
        in_collection: bool = False,
    ) -> Node:
        """Return the node of `shape` read from `mapper`; problems are added to the list."""
        place = _Place(path, mapper, shape, stack, in_collection)
        fields = self._fields_of(shape)
        if not fields:
            self._add(path, "has no fields", "name at least one column, e.g. `id: int`")
        parts = [part for name, annotation in fields.items() if (part := self._part(place, name, parse(annotation)))]
        return Node(shape, mapper, tuple(parts))

    def _add(self, where: str, what: str, fix: str) -> None:
        self.problems.append(Problem(where, what, fix))

    def _part(self, place: _Place, name: str, annotation: Annotation) -> Part | None:
        where = f"{place.path}.{name}"
        match annotation.marker:
            case Count() as marker:
                return self._tally(place, where, name, annotation, marker)
            case Many() as marker:
                if not self._belongs(place.mapper, marker.relationship, where):
                    return None
                return self._children(place, where, name, annotation, marker)
            case Path() as marker:
                return self._behind(place, where, name, annotation, marker)
            case None:
                return self._same_name(place, where, name, annotation)

    def _same_name(self, place: _Place, where: str, name: str, annotation: Annotation) -> Part | None:
        declared = place.mapper.attrs.get(name)
        attribute: Any = getattr(place.mapper.class_, name, None)
        if isinstance(declared, ColumnProperty):
            return self._leaf(place, where, name, annotation, (), declared, is_behind_optional=False)
        if isinstance(declared, RelationshipProperty):
            if declared.uselist:
                return self._children(place, where, name, annotation, Many(attribute))
            return self._one(place, where, name, annotation, (declared,), None)
        self._unknown(place, where, name, annotation)
        return None

    def _unknown(self, place: _Place, where: str, name: str, annotation: Annotation) -> None:
        model = place.mapper.class_.__name__
        target = self._model_of(annotation.item if annotation.item is not None else annotation.type)
        if target is not None:
            ways = [r for r in place.mapper.relationships if issubclass(r.mapper.class_, target)]
            if ways:
                word = "many" if annotation.item is not None else "path"
                lines = [f"{name}: Annotated[{annotation.text}, {word}({model}.{way.key})]" for way in ways]
                what = (
                    f"is ambiguous: {model} has {len(ways)} relationships to {target.__name__}, none called `{name}`"
                    if len(ways) > 1
                    else f"{model} has no `{name}`; its relationship to {target.__name__} is `{ways[0].key}`"
                )
                self._add(where, what, "\nor ".join(lines))
                return
        names = [attribute.key for attribute in place.mapper.attrs]
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
        if near:
            self._add(
                where,
                f"{model} has no `{name}`; did you mean `{near[0]}`?",
                f"{near[0]}: {annotation.text}\nor {name}: Annotated[{annotation.text}, path({model}.{near[0]})]",
            )
        else:
            self._add(where, f"{model} has no `{name}`", f"use one of its attributes: {', '.join(sorted(names))}")

    def _belongs(self, mapper: Mapper[Any], attribute: Any, where: str) -> bool:
        if not isinstance(attribute, QueryableAttribute):
            self._add(
                where, f"{attribute!r} is not a mapped attribute", f"name one of {mapper.class_.__name__}'s attributes"
            )
            return False
        owner = attribute.parent
        if isinstance(owner, Mapper) and mapper.isa(owner):
            return True
        self._add(
            where,
            f"{attribute} is not an attribute of {mapper.class_.__name__}",
            f"begin with one of its attributes, e.g. {mapper.class_.__name__}.{mapper.attrs.keys()[0]}",
        )
        return False

    def _behind(self, place: _Place, where: str, name: str, annotation: Annotation, marker: Path) -> Part | None:
        if not marker.steps:
            self._add(where, "path() names no attribute", f"path({place.mapper.class_.__name__}.{name})")
            return None
        mapper = place.mapper
        hops: list[RelationshipProperty[Any]] = []
        for number, step in enumerate(marker.steps, 1):
            if not self._belongs(mapper, step, where):
                return None
            declared = step.property
            is_last = number == len(marker.steps)
            if isinstance(declared, RelationshipProperty):
                if declared.uselist:
                    self._add(
                        where,
                        f"{step} is to-many; a path goes over to-one relationships",
                        f"{name}: Annotated[list[{annotation.text}], many({step})]",
                    )
                    return None
                hops.append(declared)
                mapper = declared.mapper
            elif isinstance(declared, ColumnProperty) and is_last:
                optional = any(self._may_be_absent(hop) for hop in hops)
                ways = self._hops(where, tuple(hops))
                return self._leaf(place, where, name, annotation, ways, declared, is_behind_optional=optional)
            else:
                self._add(
                    where, f"{step} is a column; only the last step of a path may be one", f"end the path with {step}"
                )
                return None
        return self._one(place, where, name, annotation, tuple(hops), marker.depth)

    def _hops(self, where: str, ways: tuple[RelationshipProperty[Any], ...]) -> tuple[Hop, ...]:
        for way in ways:
            there = [pair[1] for pair in way.local_remote_pairs or ()]
            remote = {column.name for column in there}
            if way.secondary is not None or not _is_unique(getattr(there[0], "table", None), remote):
                target = way.mapper.class_.__name__
                columns = ", ".join(sorted(remote))
                self._add(
                    where,
                    f"{way} is to-one, but {target} may have several rows for one parent: {columns} is not unique",
                    f"add unique=True to {target}.{columns}, or declare the relationship as Mapped[list[{target}]]",
                )
        return tuple(Hop(way.key, way.mapper) for way in ways)

    def _may_be_absent(self, way: RelationshipProperty[Any]) -> bool:
        if way.direction is not RelationshipDirection.MANYTOONE:
            return True
        if any(column.nullable for column in way.local_columns if isinstance(column, Column)):
            return True
        # only a foreign key, and no condition beside it, guarantees the row
        pairs = way.local_remote_pairs or ()
        named = [part for part in visitors.iterate(way.primaryjoin) if isinstance(part, ColumnClause)]
        return len(named) != 2 * len(pairs) or not all(_references(here, there) for here, there in pairs)

    def _leaf(
        self,
        place: _Place,
        where: str,
        name: str,
        annotation: Annotation,
        hops: tuple[Hop, ...],
        declared: ColumnProperty[Any],
        *,
        is_behind_optional: bool,
    ) -> Leaf | None:
        column = declared.columns[0]
        kind: TypeEngine[Any] = column.type
        model = hops[-1].target.class_ if hops else place.mapper.class_
        label = f"{model.__name__}.{declared.key}"
        said = mapped_type(model, declared.key)
        mapped = parse(said) if said is not None else None
        if isinstance(kind, NullType):  # of an expression in a class body, written before its columns had types
            kind = type_of(mapped.type if mapped is not None else annotation.type)
        nullable = column.nullable if isinstance(column, Column) else (mapped is None or mapped.is_optional)
        optional = nullable or is_behind_optional or (mapped is not None and mapped.is_optional)
        if self._model_of(annotation.type) is not None or self._model_of(annotation.item) is not None:
            self._add(
                where, f"{label} is a column, not a relationship", f"{name}: {_model_text(mapped, kind, optional)}"
            )
            return None
        self._compare(where, name, annotation, label, mapped, kind, optional)
        if optional and not annotation.is_optional and annotation.type is not Any:
            why = "lies behind an optional relationship" if is_behind_optional and not nullable else "is nullable"
            text = f"{annotation.text} | None"
            marked = f"Annotated[{text}, path(...)]" if annotation.marker else text
            self._add(where, f"{label} {why}, so `{annotation.text}` would lie", f"{name}: {marked}")
        if place.in_collection and not has_exact_form(kind):
            self._add(
                where,
                f"{label} has type {kind!r}, which has no exact form inside a collection",
                "leave it out here and read it in a shape of its own, at the root of a statement",
            )
        return Leaf(name, hops, declared.key, kind, annotation.full, optional or annotation.is_optional)

    def _compare(
        self,
        where: str,
        name: str,
        annotation: Annotation,
        label: str,
        mapped: Annotation | None,
        kind: TypeEngine[Any],
        optional: bool,
    ) -> None:
        expected = mapped.type if mapped is not None else _python_type(kind)
        impl = kind.impl if isinstance(kind, TypeDecorator) else kind
        if expected is None or expected is Any or annotation.type is Any or isinstance(impl, JSON):
            return
        if annotation.type == expected:
            return
        note = "; cents get lost in a float" if annotation.type is float and isinstance(impl, Numeric) else ""
        note = "" if isinstance(impl, Float) else note
        text = f"{type_name(expected)} | None" if optional else type_name(expected)
        marked = f"Annotated[{text}, path(...)]" if annotation.marker else text
        self._add(
            where, f"{label} is {type_name(expected)}, not {type_name(annotation.type)}{note}", f"{name}: {marked}"
        )

    def _one(
        self,
        place: _Place,
        where: str,
        name: str,
        annotation: Annotation,
        ways: tuple[RelationshipProperty[Any], ...],
        depth: int | None,
    ) -> One | None:
        target = ways[-1].mapper
        if annotation.item is not None:
            self._add(where, f"{ways[-1]} is to-one, not a list", f"{name}: {type_name(annotation.item)}")
            return None
        if not self._reads(where, name, annotation.type, target, "{}"):
            return None
        if self._is_cut(place, where, name, annotation, annotation.type, depth):
            return None
        optional = any(self._may_be_absent(way) for way in ways)
        if optional and not annotation.is_optional:
            self._add(
                where,
                f"{ways[-1]} may be absent, so `{annotation.text}` would lie",
                f"{name}: {annotation.text} | None",
            )
        hops = self._hops(where, ways)
        stack = (*place.stack, (place.shape, name))
        node = self.node(annotation.type, target, where, stack, in_collection=place.in_collection)
        return One(name, hops, node, optional or annotation.is_optional)

    def _children(self, place: _Place, where: str, name: str, annotation: Annotation, marker: Many) -> Children | None:
        declared = marker.relationship.property
        target_name = getattr(getattr(declared, "mapper", None), "class_", type(None)).__name__
        if not isinstance(declared, RelationshipProperty) or not declared.uselist:
            self._add(
                where,
                f"{marker.relationship} is not a to-many relationship",
                f"{name}: Annotated[..., path({marker.relationship})]",
            )
            return None
        if annotation.item is None:
            self._add(
                where,
                f"{marker.relationship} is to-many, not one {annotation.text}",
                f"{name}: list[{_shape_name(target_name)}]",
            )
            return None
        for number, label in ((marker.limit, "limit"), (marker.depth, "depth")):
            if number is not None and number < 1:
                self._add(where, f"{label}={number} reads nothing", f"{label}=1 or more")
        if not self._reads(where, name, annotation.item, declared.mapper, "list[{}]"):
            return None
        if self._is_cut(place, where, name, annotation, annotation.item, marker.depth):
            return None
        if annotation.is_optional and marker.depth is None:
            self._add(where, "a collection is never None; it may be empty", f"{name}: {type_name(annotation.type)}")
        orderings = marker.order_by or tuple(declared.order_by or ())
        self._written_with_child(where, declared, "where", () if marker.where is None else (marker.where,))
        self._written_with_child(where, declared, "order_by", marker.order_by)
        stack = (*place.stack, (place.shape, name))
        node = self.node(annotation.item, declared.mapper, f"{where}[]", stack, in_collection=True)
        return Children(name, declared.key, node, marker.where, orderings, marker.limit)

    def _tally(self, place: _Place, where: str, name: str, annotation: Annotation, marker: Count) -> Tally | None:
        if not self._belongs(place.mapper, marker.relationship, where):
            return None
        declared = marker.relationship.property
        if not isinstance(declared, RelationshipProperty) or not declared.uselist:
            self._add(
                where,
                f"{marker.relationship} is not a to-many relationship",
                "count() takes one, e.g. count(User.addresses)",
            )
            return None
        if annotation.type is not int or annotation.is_optional:
            line = f"{name}: Annotated[int, count({marker.relationship})]"
            self._add(where, f"a count is int, not {annotation.text}", line)
        self._written_with_child(where, declared, "where", () if marker.where is None else (marker.where,))
        return Tally(name, declared.key, declared.mapper, marker.where)

    def _written_with_child(
        self, where: str, way: RelationshipProperty[Any], word: str, expressions: Sequence[Any]
    ) -> None:
        target = way.mapper.class_.__name__
        own = {*way.mapper.tables, way.secondary}
        for expression in expressions:
            for table in tables_named(expression):
                if table not in own:
                    self._add(
                        where,
                        f"{word} names {getattr(table, 'name', table)}, and stands over the rows of {target} alone",
                        f"use the columns of {target}; for other tables {target}.<relationship>.has(...) or .any(...)",
                    )
                    return

    def _reads(self, where: str, name: str, shape: Any, target: Mapper[Any], form: str) -> bool:
        model = self._model_of(shape)
        wanted = target.class_.__name__
        if model is None:
            self._add(
                where,
                f"leads to {wanted}, but {type_name(shape)} is not a shape",
                f"class {_shape_name(wanted)}(Shape[{wanted}]): ...\n{name}: {form.format(_shape_name(wanted))}",
            )
            return False
        if not target.isa(inspect_mapped(model)):
            self._add(
                where,
                f"leads to {wanted}, but {shape.__name__} is a shape of {model.__name__}",
                f"name a Shape[{wanted}] here",
            )
            return False
        return True

    def _is_cut(
        self, place: _Place, where: str, name: str, annotation: Annotation, shape: Any, depth: int | None
    ) -> bool:
        """Return whether this field ends here, because a shape that contains itself reached its stated depth."""
        recurs = shape is place.shape or any(outer is shape for outer, _ in place.stack)
        if not recurs:
            return False
        kind, word = (
            (f"list[{shape.__name__}] | None", "many")
            if annotation.item is not None
            else (
                f"{shape.__name__} | None | UnsetType",
                "path",
            )
        )
        default = "None" if annotation.item is not None else "UNSET"
        relationship = f"{place.mapper.class_.__name__}.{name}"
        line = f"{name}: Annotated[{kind}, {word}({relationship}, depth={depth or 3})] = {default}"
        if depth is None:
            self._add(where, f"{shape.__name__} contains itself without end", line)
            return True
        marks_the_end = annotation.admits_unset or (annotation.item is not None and annotation.is_optional)
        fields = {field.name: field for field in msgspec.structs.fields(place.shape)}
        has_default = fields[name].default is not msgspec.NODEFAULT
        if not marks_the_end or not has_default:
            self._add(where, f"the level below depth {depth} is not read, and this type cannot say so", line)
            return True
        return sum(step == (place.shape, name) for step in place.stack) >= depth


def _shape_name(model: str) -> str:
    """Return a name to propose for the shape of a child: `AddressLine`, and no `InvoiceLineLine`."""
    return f"{model}Card" if model.endswith("Line") else f"{model}Line"


def _model_text(mapped: Annotation | None, kind: TypeEngine[Any], optional: bool) -> str:
    name = type_name(mapped.type if mapped is not None else _python_type(kind) or Any)
    return f"{name} | None" if optional else name


def _python_type(kind: TypeEngine[Any]) -> Any:
    try:
        return kind.python_type
    except NotImplementedError:
        return None


def _is_unique(table: Any, columns: set[str]) -> bool:
    if not isinstance(table, Table):
        return False
    keys = [{column.name for column in table.primary_key}]
    keys += [{column.name} for column in table.columns if column.unique]
    keys += [
        {c.name for c in constraint.columns}
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
    ]
    keys += [{c.name for c in index.columns} for index in table.indexes if index.unique and not _is_partial(index)]
    return any(key and key <= columns for key in keys)


def _is_partial(index: Index) -> bool:
    return any(options.get("where") is not None for options in index.dialect_options.values())


def _references(here: Any, there: Any) -> bool:
    return isinstance(here, Column) and here.references(there)


def mapper_of(model: Any) -> Mapper[Any] | None:
    """Return the mapper of a mapped class, or None for anything else."""
    try:
        found = inspect_mapped(model)
    except NoInspectionAvailable:
        return None
    return found if isinstance(found, Mapper) else None
