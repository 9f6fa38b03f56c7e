"""Check a shape against its mapper and build its node tree; all problems of a shape come out together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, is_typeddict

import msgspec
from sqlalchemy import inspect as inspect_mapped
from sqlalchemy.exc import NoInspectionAvailable
from sqlalchemy.orm import (
    CompositeProperty,
    Mapper,
    QueryableAttribute,
    RelationshipProperty,
    aliased,
)
from sqlalchemy.types import JSON, Float, Numeric, TypeDecorator

from hermetic.errors import Problem
from hermetic.shape.annotation import Annotation, members_of, parse, type_name
from hermetic.shape.attributes import ColumnFacts, column_facts, key_behind, lie_of, what_computes
from hermetic.shape.codec import has_exact_form
from hermetic.shape.criteria import tables_named
from hermetic.shape.fields import Latest, Many, Marker, Over, Path, Pick, Recursive
from hermetic.shape.lines import (
    at_the_root,
    child_line,
    columns_and_relationships,
    computed_line,
    end_line,
    field_line,
    key_of,
    line,
    nearest,
    one_row_line,
    over_the_child,
    shape_name,
    way_in,
)
from hermetic.shape.measure import NAMES, Measured, fits, measured, plain, proposal, refusal, text_of
from hermetic.shape.node import Aggregate, Children, Hop, Leaf, Node, One, Part, Single, Tree, Variant
from hermetic.shape.recursion import tree_problem
from hermetic.shape.target import target_of
from hermetic.shape.to_one import is_single, may_be_absent, remote_columns
from hermetic.shape.union import variants_of
from hermetic.shape.ways import Way

ModelOf = Callable[[Any], "type | None"]
"""Returns the model of a shape class, or None for anything else."""

FieldsOf = Callable[[Any], "dict[str, Any]"]
"""Returns the resolved annotations of a shape class by field name."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the tree a field stands."""

    path: str
    mapper: Mapper[Any]
    shape: type[Any]
    stack: tuple[tuple[type, str], ...]
    in_collection: bool
    is_anchored: bool
    may_lack: bool = False  # the row itself may not be there


class Checker:
    """Builds the node tree of one shape and collects what is wrong with it."""

    def __init__(self, model_of: ModelOf, fields_of: FieldsOf) -> None:
        self.problems: list[Problem] = []
        self._model_of = model_of
        self._fields_of = fields_of

    def node(
        self,
        shape: type[Any],
        mapper: Mapper[Any],
        path: str,
        stack: tuple[tuple[type, str], ...] = (),
        *,
        in_collection: bool = False,
        is_anchored: bool = True,
    ) -> Node:
        """Return the node of `shape` read from `mapper`; problems are added to the list."""
        place = _Place(path, mapper, shape, stack, in_collection, is_anchored)
        fields = self._fields_of(shape)
        if not fields:
            key = key_of(mapper)
            self._add(path, "has no fields", field_line(mapper, key, key))
        target = target_of(shape)
        for name in target.missing() if target is not None else ():
            self._add(path, f"{shape.__name__} must be given {name}, which no read gives", f"{name} = ...  # a default")
        parts = [part for name, annotation in fields.items() if (part := self._part(place, name, parse(annotation)))]
        trees = [part for part in parts if isinstance(part, Tree) and part.node is None]
        if len(trees) > 1:
            names = ", ".join(part.name for part in trees)
            self._add(path, f"has {len(trees)} trees ({names}), each inside the other", "one shape for each tree")
        return Node(shape, mapper, tuple(parts))

    def any_node(self, shape: Any, mapper: Mapper[Any], path: str, *place: Any, **options: Any) -> Node:
        """Return the node of a shape, or of a union of shapes over the classes of a hierarchy."""
        members = members_of(shape)
        if len(members) == 1:
            return self.node(shape, mapper, path, *place, **options)
        problems, owners = variants_of(members, mapper, path, self._model_of)
        self.problems += problems
        nodes = [
            self.node(each, inspect_mapped(self._model_of(each)), f"{path}<{each.__name__}>", *place, **options)
            for each in ([] if problems else members)
        ]
        variants = [Variant(node, owners[node.mapper], node.mapper is mapper) for node in nodes]
        return Node(shape, mapper, variants=tuple(variants))

    def _add(self, where: str, what: str, fix: str) -> None:
        self.problems.append(Problem(where, what, fix))

    def _part(self, place: _Place, name: str, annotation: Annotation) -> Part | None:
        where = f"{place.path}.{name}"
        match annotation.marker:
            case Over() as marker:
                return self._aggregate(place, where, name, annotation, marker)
            case Latest() as marker:
                return self._latest(place, where, name, annotation, marker)
            case Recursive() as marker:
                if not self._belongs(place.mapper, marker.relationship, where, name, marker):
                    return None
                return self._tree(place, where, name, annotation, marker)
            case Many() as marker:
                if not self._belongs(place.mapper, marker.relationship, where, name, marker):
                    return None
                return self._children(place, where, name, annotation, marker)
            case Path() as marker:
                return self._behind(place, where, name, annotation, marker)
            case None:
                return self._same_name(place, where, name, annotation)

    def _same_name(self, place: _Place, where: str, name: str, annotation: Annotation) -> Part | None:
        key = key_behind(place.mapper, name)
        declared = place.mapper.attrs.get(key)
        attribute: Any = getattr(place.mapper.class_, name, None)
        facts = column_facts(place.mapper, key, annotation.type)
        if facts is not None:
            return self._leaf(place, where, name, annotation, (), facts)
        if isinstance(declared, RelationshipProperty):
            if declared.uselist:
                return self._children(place, where, name, annotation, Many(attribute))
            return self._one(place, where, name, annotation, (declared,), Path((attribute,)))
        if not self._another_kind(place.mapper, where, name, name):
            self._unknown(place.mapper, where, name, annotation)
        return None

    def _another_kind(
        self, mapper: Mapper[Any], where: str, name: str, key: str, before: tuple[QueryableAttribute[Any], ...] = ()
    ) -> bool:
        """Refuse an attribute of the class that is no column, no relationship and no hybrid with SQL of its own."""
        key = key_behind(mapper, key)
        label = f"{mapper.class_.__name__}.{key}"
        declared = mapper.attrs.get(key)
        if isinstance(declared, CompositeProperty):
            lines = [field_line(mapper, each.key, each.key, before) for each in declared.props]
            self._add(where, f"{label} is a composite; a shape reads its columns", "\n".join(lines))
        elif declared is None and key in mapper.all_orm_descriptors:
            self._add(where, f"{label} {what_computes(mapper, key)}", computed_line(mapper, key, before))
        else:
            return False
        return True

    def _unknown(self, mapper: Mapper[Any], where: str, name: str, annotation: Annotation) -> None:
        model = mapper.class_.__name__
        shape = annotation.type if annotation.item is None else annotation.item
        target = self._model_of(shape)
        ways = [each for each in mapper.relationships if target is not None and issubclass(each.mapper.class_, target)]
        ways = [each for each in ways if bool(each.uselist) is (annotation.item is not None)] or ways
        names = columns_and_relationships(mapper)
        near = nearest(name, names)
        if target is not None and ways:
            lines = [field_line(mapper, way.key, name, shape=shape) for way in ways]
            what = (
                f"is ambiguous: {model} has {len(ways)} relationships to {target.__name__}, none called `{name}`"
                if len(ways) > 1
                else f"{model} has no `{name}`; its relationship to {target.__name__} is `{ways[0].key}`"
            )
            self._add(where, what, "\nor ".join(lines))
        elif near is not None:
            lines = [field_line(mapper, near, near), field_line(mapper, near, name)]
            self._add(where, f"{model} has no `{name}`; did you mean `{near}`?", "\nor ".join(lines))
        elif target is not None:
            mapped = f"list[{target.__name__}]" if annotation.item is not None else target.__name__
            fix = f"{name}: Mapped[{mapped}] = relationship()  # in class {model}, over a foreign key"
            self._add(where, f"{model} has no relationship to {target.__name__}", fix)
        else:
            what = f"{model} has no `{name}`; it has {', '.join(sorted(names))}"
            self._add(where, what, f"{name}: Mapped[{annotation.text}]  # in class {model}")

    def _belongs(
        self,
        mapper: Mapper[Any],
        attribute: Any,
        where: str,
        name: str,
        marker: Marker,
        before: tuple[QueryableAttribute[Any], ...] = (),
    ) -> bool:
        if not isinstance(attribute, QueryableAttribute):
            self._add(
                where,
                f"{attribute!r} is not a mapped attribute of {mapper.class_.__name__}",
                way_in(mapper, str(attribute), None, name, marker, before),
            )
            return False
        owner = attribute.parent
        if isinstance(owner, Mapper) and mapper.isa(owner):
            return True
        self._add(
            where,
            f"{attribute} is not an attribute of {mapper.class_.__name__}",
            way_in(mapper, attribute.key, attribute, name, marker, before),
        )
        return False

    def _behind(self, place: _Place, where: str, name: str, annotation: Annotation, marker: Path) -> Part | None:
        if not marker.steps:
            self._add(where, "path() names no attribute", way_in(place.mapper, name, None, name, marker, ()))
            return None
        mapper = place.mapper
        hops: list[RelationshipProperty[Any]] = []
        for number, step in enumerate(marker.steps, 1):
            before = marker.steps[: number - 1]
            if not self._belongs(mapper, step, where, name, annotation.marker or marker, before):
                return None
            key = key_behind(mapper, step.key)
            declared, facts = mapper.attrs.get(key), column_facts(mapper, key, annotation.type)
            if isinstance(declared, RelationshipProperty):
                if declared.uselist:
                    self._to_many_in_path(where, name, annotation, step, before)
                    return None
                hops.append(declared)
                mapper = declared.mapper
            elif facts is not None and number == len(marker.steps):
                ways = self._hops(where, tuple(hops))
                is_optional = place.may_lack or any(may_be_absent(hop) for hop in hops)
                return self._leaf(place, where, name, annotation, ways, facts, is_behind_optional=is_optional)
            elif facts is not None:
                fix = field_line(mapper, key, name, before)
                fix = f"{step}  # as the last step" if isinstance(annotation.marker, Latest) else fix
                self._add(where, f"{step} is a column; only the last step of a path may be one", fix)
                return None
            else:
                self._another_kind(mapper, where, name, step.key, before)
                return None
        return self._one(place, where, name, annotation, tuple(hops), marker)

    def _to_many_in_path(
        self, where: str, name: str, annotation: Annotation, step: Any, before: tuple[QueryableAttribute[Any], ...]
    ) -> None:
        target = step.property.mapper
        shape = annotation.type if annotation.item is None else annotation.item
        if self._model_of(shape) is not None:
            fix = line(name, f"list[{shape.__name__}]", Many(step))
        else:
            fix = child_line(name, target, "list[{}]", Many(step))
        is_latest = isinstance(annotation.marker, Latest)
        if before or is_latest:  # a list behind a hop stands in the shape of that hop
            owner: Mapper[Any] = step.parent
            inner = line(step.key, f"list[{shape_name(target)}]")
            parent = shape_name(owner)
            read = f"{parent} | None  # the type of {name}, whose steps end before {step}"
            fix = (
                f"{child_line(name, target, '{}', None).partition(chr(10))[0]}\n"
                f"class {parent}(Shape[{owner.class_.__name__}]): {inner}\n"
                f"{read if is_latest else line(name, parent, Path(before))}"
            )
        self._add(where, f"{step} is to-many; a path goes over to-one relationships", fix)

    def _hops(self, where: str, ways: tuple[RelationshipProperty[Any], ...]) -> tuple[Hop, ...]:
        for way in ways:
            if not is_single(way):
                names = ", ".join(sorted(column.name for column in remote_columns(way)))
                target = way.mapper.class_.__name__
                what = f"{way} is to-one, but {target} may have several rows for one parent: {names} is not unique"
                self._add(where, what, one_row_line(way))
        return tuple(Hop(way.key, way.mapper) for way in ways)

    def _leaf(
        self,
        place: _Place,
        where: str,
        name: str,
        annotation: Annotation,
        hops: tuple[Hop, ...],
        facts: ColumnFacts,
        *,
        is_behind_optional: bool = False,
    ) -> Leaf | None:
        mapper = hops[-1].target if hops else place.mapper
        is_optional = facts.is_nullable or is_behind_optional
        right = line(name, facts.text(is_optional=is_optional), annotation.marker)
        if self._model_of(annotation.type) is not None or self._model_of(annotation.item) is not None:
            self._add(where, f"{facts.label} is a column, not a relationship", right)
            return None
        lie = lie_of(facts)
        if lie is not None:
            self._add(where, *lie)
        elif not _agrees(annotation, facts):
            note = "; cents get lost in a float" if annotation.type is float and _is_decimal(facts) else ""
            expected = type_name(facts.python_type)
            self._add(where, f"{facts.label} is {expected}, not {type_name(annotation.type)}{note}", right)
        elif is_optional and not annotation.is_optional and annotation.type is not Any:
            why = "is nullable" if facts.is_nullable else "lies behind an optional relationship"
            fix = line(name, f"{annotation.text} | None", annotation.marker)
            self._add(where, f"{facts.label} {why}, so `{annotation.text}` would lie", fix)
        if place.in_collection and not place.is_anchored and not has_exact_form(facts.kind):
            self._add(
                where,
                f"{facts.label} has type {facts.kind!r}, which has no exact form in JSON, and a relationship above it "
                "needs JSON, as its condition is more than equality",
                at_the_root(mapper, facts.key, name),
            )
        return Leaf(name, hops, facts.key, facts.kind, annotation.full, is_optional or annotation.is_optional, where)

    def _one(
        self,
        place: _Place,
        where: str,
        name: str,
        annotation: Annotation,
        ways: tuple[RelationshipProperty[Any], ...],
        marker: Path,
    ) -> One | None:
        target = ways[-1].mapper
        is_optional = place.may_lack or any(may_be_absent(way) for way in ways)
        ending = " | None" if is_optional else ""
        if annotation.item is not None:
            fix = line(name, f"{type_name(annotation.item)}{ending}", annotation.marker)
            self._add(where, f"{ways[-1]} is to-one, not a list", fix)
            return None
        if marker.depth is not None and marker.depth < 1:
            self._add(where, f"depth={marker.depth} reads nothing", end_line(name, annotation.type, marker))
            return None
        if not self._reads(where, name, place.shape, annotation.type, target, f"{{}}{ending}", annotation.marker):
            return None
        if self._is_cut(place, where, name, annotation, annotation.type, marker):
            return None
        if is_optional and not annotation.is_optional:
            fix = line(name, f"{annotation.text} | None", annotation.marker)
            self._add(where, f"{ways[-1]} may be absent, so `{annotation.text}` would lie", fix)
        hops = self._hops(where, ways)
        stack = (*place.stack, (place.shape, name))
        node = self.any_node(
            annotation.type, target, where, stack, in_collection=place.in_collection, is_anchored=place.is_anchored
        )
        return One(name, hops, node, is_optional or annotation.is_optional, where)

    def _children(self, place: _Place, where: str, name: str, annotation: Annotation, marker: Many) -> Children | None:
        key = key_behind(place.mapper, marker.relationship.key)
        declared = place.mapper.attrs.get(key)
        if not isinstance(declared, RelationshipProperty) or not declared.uselist:
            if not self._another_kind(place.mapper, where, name, key):
                fix = field_line(place.mapper, key, name)
                self._add(where, f"{marker.relationship} is not a to-many relationship", fix)
            return None
        target = declared.mapper
        if annotation.item is None:
            is_child = self._model_of(annotation.type) is not None
            text = f"list[{annotation.type.__name__ if is_child else shape_name(target)}]"
            what = f"{marker.relationship} is to-many, not one {annotation.text}"
            self._add(where, what, line(name, text, annotation.marker))
            return None
        for number, word in ((marker.limit, "limit"), (marker.depth, "depth")):
            if number is not None and number < 1:
                self._add(where, f"{word}={number} reads nothing", f"{word}=1  # or more")
                return None
        if not self._reads(where, name, place.shape, annotation.item, target, "list[{}]", annotation.marker):
            return None
        if self._is_cut(place, where, name, annotation, annotation.item, marker):
            return None
        if annotation.is_optional and marker.depth is None:
            fix = line(name, type_name(annotation.type), annotation.marker)
            self._add(where, "a collection is never None; it may be empty", fix)
        orderings = marker.order_by or tuple(declared.order_by or ())
        self._written_with_child(where, declared, "where", () if marker.where is None else (marker.where,))
        self._written_with_child(where, declared, "order_by", marker.order_by)
        stack = (*place.stack, (place.shape, name))
        way = Way(aliased(place.mapper), declared.key, aliased(declared.mapper))
        is_anchored = place.is_anchored and way.anchor() is not None
        path = f"{where}[]"
        node = self.any_node(annotation.item, target, path, stack, in_collection=True, is_anchored=is_anchored)
        return Children(name, declared.key, node, marker.where, orderings, marker.limit, where)

    def _tree(self, place: _Place, where: str, name: str, annotation: Annotation, marker: Recursive) -> Tree | None:
        around = [place.shape, *(outer for outer, _ in place.stack)]
        problem = tree_problem(place.mapper, around, marker, annotation, self._model_of)
        if problem is not None:
            self._add(where, *problem)
            return None
        way: RelationshipProperty[Any] = place.mapper.relationships[marker.relationship.key]
        self._written_with_child(where, way, "where", () if marker.where is None else (marker.where,))
        self._written_with_child(where, way, "order_by", marker.order_by)
        node = None
        if not way.uselist:
            stack = (*place.stack, (place.shape, name))
            node = self.any_node(annotation.item, way.mapper, f"{where}[]", stack, in_collection=True)
        orderings = marker.order_by or tuple(way.order_by or ())
        return Tree(name, way.key, way.mapper, node, marker.where, orderings, marker.max_depth, where)

    def _aggregate(
        self, place: _Place, where: str, name: str, annotation: Annotation, marker: Over
    ) -> Aggregate | None:
        declared = self._to_many(place, where, name, marker)
        if declared is None:
            return None
        of = self._measured(where, name, declared.mapper, marker)
        if of is None:
            return None
        wrong = refusal(annotation, marker, of)
        if wrong is not None:
            self._add(where, wrong, line(name, text_of(marker, of), marker))
        self._written_with_child(where, declared, "where", () if marker.where is None else (marker.where,))
        return Aggregate(
            name,
            declared.key,
            declared.mapper,
            marker.where,
            marker.function,
            marker.measure,
            of.kind,
            annotation.full,
            annotation.is_optional,
            where,
        )

    def _to_many(self, place: _Place, where: str, name: str, marker: Over | Latest) -> RelationshipProperty[Any] | None:
        if not self._belongs(place.mapper, marker.relationship, where, name, marker):
            return None
        declared = place.mapper.attrs.get(key_behind(place.mapper, marker.relationship.key))
        if isinstance(declared, RelationshipProperty) and declared.uselist:
            return declared
        fix = way_in(place.mapper, "", marker.relationship, name, marker, ())
        self._add(where, f"{marker.relationship} is not a to-many relationship", fix)
        return None

    def _latest(self, place: _Place, where: str, name: str, annotation: Annotation, marker: Latest) -> Children | None:
        declared = self._to_many(place, where, name, marker)
        if declared is None:
            return None
        target = declared.mapper
        if not marker.order_by:
            fix = f"order_by={target.class_.__name__}.{key_of(target)}.desc()  # the last one by its key"
            self._add(where, "latest() has no order", fix)
            return None
        self._written_with_child(where, declared, "where", () if marker.where is None else (marker.where,))
        self._written_with_child(where, declared, "order_by", marker.order_by)
        node = self._first(place, where, name, annotation, marker, declared)
        if node is None:
            return None
        if not annotation.is_optional:
            fix = line(name, f"{annotation.text} | None", marker)
            self._add(where, f"{marker.relationship} may have no row, so `{annotation.text}` would lie", fix)
        pick: Pick = "value" if marker.steps else "first"
        return Children(name, declared.key, node, marker.where, marker.order_by, 1, where, pick)

    def _first(
        self,
        place: _Place,
        where: str,
        name: str,
        annotation: Annotation,
        marker: Latest,
        declared: RelationshipProperty[Any],
    ) -> Node | None:
        """Return the node of the first row: of its shape, or of the one value that is read of it."""
        target, stack = declared.mapper, (*place.stack, (place.shape, name))
        way = Way(aliased(place.mapper), declared.key, aliased(target))
        is_anchored = place.is_anchored and way.anchor() is not None
        if marker.steps:
            inner = _Place(where, target, place.shape, stack, True, is_anchored, may_lack=annotation.is_optional)
            part = self._behind(inner, where, name, annotation, Path(marker.steps))
            return None if part is None else Node(Single, target, (replace(part, name="value"),))
        if not self._reads(where, name, place.shape, annotation.type, target, "{} | None", marker):
            return None
        if any(each in {place.shape, *(outer for outer, _ in place.stack)} for each in members_of(annotation.type)):
            what = f"{type_name(annotation.type)} contains itself without end"
            self._add(where, what, child_line(name, target, "{} | None", marker))
            return None
        return self.any_node(annotation.type, target, where, stack, in_collection=True, is_anchored=is_anchored)

    def _measured(self, where: str, name: str, target: Mapper[Any], marker: Over) -> Measured | None:
        if marker.measure is None:
            return plain(marker.function)
        model = target.class_.__name__
        owner = marker.measure.parent if isinstance(marker.measure, QueryableAttribute) else target
        of = measured(target, marker)
        if of is None or not isinstance(owner, Mapper) or not target.isa(owner):
            label = str(marker.measure) if isinstance(marker.measure, QueryableAttribute) else repr(marker.measure)
            what = f"{label} is not a column of {model}, whose rows are measured"
        elif not fits(marker.function, of.kind):
            needs = "numbers" if marker.function in ("sum", "avg") else "values that every database puts in one order"
            what = f"{NAMES[marker.function]} is of {needs}, and {of.label} is {of.kind!r}"
        else:
            others = [table for table in tables_named(marker.measure) if table not in target.tables]
            if not others:
                return of
            table = getattr(others[0], "name", others[0])
            what = f"the expression names {table}, and stands over the rows of {model} alone"
        self._add(where, what, proposal(target, marker, name))
        return None

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
                        over_the_child(way.mapper, word, table),
                    )
                    return

    def _reads(
        self, where: str, name: str, outer: Any, shape: Any, target: Mapper[Any], form: str, marker: Marker | None
    ) -> bool:
        if len(members_of(shape)) > 1:
            return True  # the check of its variants says what is wrong
        model = self._model_of(shape)
        wanted = target.class_.__name__
        kind = target_of(shape)
        if model is not None and target.isa(inspect_mapped(model)):
            return True
        if model is None and kind is not None and not (kind.is_pydantic and isinstance(outer, msgspec.StructMeta)):
            return True  # it names no model: the relationship does
        is_what = f"is a shape of {model.__name__}" if model is not None else "is not a shape"
        if model is None and kind is not None:
            is_what = "is a pydantic model, which the shape around it could not write"
        what = f"leads to {wanted}, but {type_name(shape)} {is_what}"
        self._add(where, what, child_line(name, target, form, marker))
        return False

    def _is_cut(
        self, place: _Place, where: str, name: str, annotation: Annotation, shape: Any, marker: Path | Many
    ) -> bool:
        """Return whether this field ends here, because a shape that contains itself reached its stated depth."""
        around = {place.shape, *(outer for outer, _ in place.stack)}
        recurs = any(each in around for each in members_of(shape))
        if not recurs:
            return False
        if marker.depth is None:
            self._add(where, f"{type_name(shape)} contains itself without end", end_line(name, shape, marker))
            return True
        marks_the_end = annotation.admits_unset or (annotation.item is not None and annotation.is_optional)
        holder = target_of(place.shape)
        has_default = annotation.may_lack or (holder is not None and name in holder.optional())
        is_key = has_default and is_typeddict(place.shape)  # a key that is not there says it, too
        if not has_default or not (marks_the_end or is_key):
            what = f"the level below depth {marker.depth} is not read, and this type cannot say so"
            self._add(where, what, end_line(name, shape, marker))
            return True
        return sum(step == (place.shape, name) for step in place.stack) >= marker.depth


def _agrees(annotation: Annotation, facts: ColumnFacts) -> bool:
    expected = facts.python_type
    if expected in (None, Any, object) or annotation.type is Any or isinstance(_stored(facts), JSON):
        return True  # a type of PostgreSQL alone says `object`: which class it is depends on the driver
    return bool(annotation.type == expected)


def _is_decimal(facts: ColumnFacts) -> bool:
    return isinstance(_stored(facts), Numeric) and not isinstance(_stored(facts), Float)


def _stored(facts: ColumnFacts) -> Any:
    return facts.kind.impl if isinstance(facts.kind, TypeDecorator) else facts.kind


def mapper_of(model: Any) -> Mapper[Any] | None:
    """Return the mapper of a mapped class, or None for anything else."""
    try:
        found = inspect_mapped(model)
    except NoInspectionAvailable:
        return None
    return found if isinstance(found, Mapper) else None
