"""A library in plain SQLAlchemy, random shapes over it, and the same graph by walking plain entities."""

from __future__ import annotations

import decimal
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from typing import Annotated, Any, ClassVar, ForwardRef

import msgspec
from hypothesis import strategies as st
from sqlalchemy import Column, ForeignKey, Select, String, Table, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, mapped_column, relationship

from hermetic import AsyncDatabase, Database, NoExactForm, Shape, TooDeep, aggregate, many, path


class Library(DeclarativeBase):
    """Plain: none of hermetic's conventions, only the length without which MariaDB has no VARCHAR."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {str: String(200)}


book_tag = Table(
    "book_tag",
    Library.metadata,
    Column("book_id", ForeignKey("book.id"), primary_key=True),
    Column("tag_id", ForeignKey("tag.id"), primary_key=True),
)


class Publisher(Library):
    __tablename__ = "publisher"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    city: Mapped[str | None]
    books: Mapped[list[Book]] = relationship(back_populates="publisher")


class Author(Library):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    bio: Mapped[str | None]
    rank: Mapped[int | None] = mapped_column("Rank %s")
    mentor_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
    mentor: Mapped[Author | None] = relationship(remote_side="Author.id", back_populates="mentees")
    mentees: Mapped[list[Author]] = relationship(back_populates="mentor")
    books: Mapped[list[Book]] = relationship(back_populates="author")
    profile: Mapped[Profile | None] = relationship(back_populates="author")
    written: Mapped[list[Review]] = relationship(back_populates="reviewer")


class Profile(Library):
    __tablename__ = "profile"
    id: Mapped[int] = mapped_column(primary_key=True)
    motto: Mapped[str | None]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"), unique=True)
    author: Mapped[Author] = relationship(back_populates="profile")


class Book(Library):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column("order")
    pages: Mapped[int | None]
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    publisher_id: Mapped[int | None] = mapped_column(ForeignKey("publisher.id"))
    author: Mapped[Author] = relationship(back_populates="books")
    publisher: Mapped[Publisher | None] = relationship(back_populates="books")
    tags: Mapped[list[Tag]] = relationship(secondary=book_tag, back_populates="books")
    reviews: Mapped[list[Review]] = relationship(back_populates="book")


class Tag(Library):
    __tablename__ = "tag"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    books: Mapped[list[Book]] = relationship(secondary=book_tag, back_populates="tags")


class Review(Library):
    __tablename__ = "review"
    id: Mapped[int] = mapped_column(primary_key=True)
    stars: Mapped[int | None]
    text: Mapped[str]
    book_id: Mapped[int] = mapped_column(ForeignKey("book.id"))
    reviewer_id: Mapped[int | None] = mapped_column(ForeignKey("author.id"))
    book: Mapped[Book] = relationship(back_populates="reviews")
    reviewer: Mapped[Author | None] = relationship(back_populates="written")


MODELS: tuple[type[Any], ...] = (Publisher, Author, Profile, Book, Tag, Review)
TABLES = [*(model.__table__ for model in MODELS), book_tag]

COLUMNS: dict[type[Any], dict[str, Any]] = {
    Publisher: {"id": int, "name": str, "city": str | None},
    Author: {"id": int, "name": str, "bio": str | None, "rank": int | None, "mentor_id": int | None},
    Profile: {"id": int, "motto": str | None, "author_id": int},
    Book: {"id": int, "title": str, "pages": int | None, "author_id": int, "publisher_id": int | None},
    Tag: {"id": int, "label": str},
    Review: {"id": int, "stars": int | None, "text": str, "book_id": int, "reviewer_id": int | None},
}
# relationship -> (target, may be absent)
TO_ONE: dict[type[Any], dict[str, tuple[type[Any], bool]]] = {
    Publisher: {},
    Author: {"mentor": (Author, True), "profile": (Profile, True)},
    Profile: {"author": (Author, False)},
    Book: {"author": (Author, False), "publisher": (Publisher, True)},
    Tag: {},
    Review: {"book": (Book, False), "reviewer": (Author, True)},
}
TO_MANY: dict[type[Any], dict[str, type[Any]]] = {
    Publisher: {"books": Book},
    Author: {"mentees": Author, "books": Book, "written": Review},
    Profile: {},
    Book: {"tags": Tag, "reviews": Review},
    Tag: {"books": Book},
    Review: {},
}

# data

NASTY = [
    "",
    " ",
    "'",
    '"',
    "\\",
    "null",
    "NULL",
    "[]",
    "%",
    "%s",
    "%(x)s",
    ":x",
    "é",
    "𝄞💣",
    "\u2028\n\r\t\x01\x1f\x7f",
    "a",
    "b",
]
texts = st.sampled_from(NASTY) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5
)
small = st.integers(0, 2)
wide = st.integers(0, 2) | st.integers(-(2**31), 2**31 - 1)

Rows = dict[str, list[dict[str, Any]]]


@st.composite
def libraries(draw: st.DrawFn) -> Rows:
    """Draw the rows of every table, by table name; half of the values tie."""

    def keys(most: int) -> list[int]:
        return list(range(1, draw(st.integers(0, most)) + 1))

    def some(of: list[int]) -> Any:
        return draw(st.none() | st.sampled_from(of)) if of else None

    publishers, authors = keys(3), keys(4)
    books = keys(6) if authors else []
    tags, reviews = keys(4), keys(6) if books else []
    with_profile = [key for key in authors if draw(st.booleans())]
    return {
        "publisher": [{"id": k, "name": draw(texts), "city": draw(st.none() | texts)} for k in publishers],
        "author": [
            {
                "id": k,
                "name": draw(texts),
                "bio": draw(st.none() | texts),
                "Rank %s": draw(st.none() | wide),
                "mentor_id": some(authors),
            }
            for k in authors
        ],
        "profile": [{"id": 9 - k, "motto": draw(st.none() | texts), "author_id": k} for k in with_profile],
        "book": [
            {
                "id": k,
                "order": draw(texts),
                "pages": draw(st.none() | small),
                "author_id": draw(st.sampled_from(authors)),
                "publisher_id": some(publishers),
            }
            for k in books
        ],
        "tag": [{"id": k, "label": draw(texts)} for k in tags],
        "review": [
            {
                "id": k,
                "stars": draw(st.none() | small),
                "text": draw(texts),
                "book_id": draw(st.sampled_from(books)),
                "reviewer_id": some(authors),
            }
            for k in reviews
        ],
        "book_tag": [{"book_id": b, "tag_id": t} for b in books for t in tags if draw(st.booleans())],
    }


# conditions and orders, each once for the database and once for Python


@dataclass(frozen=True)
class Condition:
    column: str
    operator: str
    value: Any

    def sql(self, entity: Any) -> Any:
        column = getattr(entity, self.column)
        match self.operator:
            case "null":
                return column.is_(None)
            case "in":
                return column.in_(self.value)
            case "contains":
                return column.contains(self.value, autoescape=True)
            case "!=":
                return column != self.value
            case _:
                return column > self.value

    def holds(self, entity: Any) -> bool:
        value = getattr(entity, self.column)
        match self.operator:
            case "null":
                return value is None
            case "in":
                return value in self.value
            case "contains":
                return value is not None and like(self.value, value)
            case "!=":
                return value is not None and value != self.value
            case _:
                return value is not None and value > self.value


def like(part: str, text: str) -> bool:
    """Return whether LIKE finds a part in a text: SQLite folds ASCII case; only caseless parts are drawn."""
    return part in text


@dataclass(frozen=True)
class Nulls:
    """How a database sorts NULL: as its largest value or its smallest, and whether a statement may say otherwise."""

    are_large: bool
    can_be_placed: bool


@dataclass(frozen=True)
class Order:
    column: str
    is_descending: bool
    nulls: str | None

    def sql(self, entity: Any) -> Any:
        column = getattr(entity, self.column)
        ordered = column.desc() if self.is_descending else column.asc()
        if self.nulls == "first":
            return ordered.nulls_first()
        return ordered.nulls_last() if self.nulls == "last" else ordered

    def compare(self, a: Any, b: Any, nulls: Nulls) -> int:
        left, right = getattr(a, self.column), getattr(b, self.column)
        if left is None or right is None:
            if left is right:
                return 0
            first = self.nulls == "first" if self.nulls else nulls.are_large == self.is_descending
            return -1 if (left is None) == first else 1
        sign = (left > right) - (left < right)
        return -sign if self.is_descending else sign


@st.composite
def conditions(draw: st.DrawFn, model: type[Any]) -> Condition:
    name = draw(st.sampled_from(sorted(COLUMNS[model])))
    kind = COLUMNS[model][name]
    values = texts if kind in (str, str | None) else wide
    operators = ["null", "in", "!=", ">"] + (["contains"] if values is texts else [])
    operator = draw(st.sampled_from(operators))
    value = draw(st.lists(values, max_size=3)) if operator == "in" else draw(values)
    if operator == "contains":
        value = draw(st.sampled_from(["", "%", "_", "\\", "/", "'", "é", "𝄞"]))
    return Condition(name, operator, value)


@st.composite
def orders(draw: st.DrawFn, model: type[Any], nulls: Nulls) -> Order:
    name = draw(st.sampled_from(sorted(COLUMNS[model])))
    return Order(
        name, draw(st.booleans()), draw(st.sampled_from([None, "first", "last"] if nulls.can_be_placed else [None]))
    )


def arranged(
    entities: Iterable[Any],
    where: Condition | None,
    order_by: Sequence[Order],
    limit: int | None,
    nulls: Nulls,
) -> list[Any]:
    def compare(a: Any, b: Any) -> int:
        steps = (order.compare(a, b, nulls) for order in order_by)
        return next((step for step in steps if step), 0) or a.id - b.id

    kept = [entity for entity in entities if where is None or where.holds(entity)]
    return sorted(kept, key=cmp_to_key(compare))[:limit]


# shapes, as data

MISSING = "not read"
Walk = Callable[[Any], Any]


@dataclass(frozen=True)
class Field:
    """One field: its annotation, and what a plain entity has there."""

    name: str
    annotation: Any
    value: Walk
    default: Any = msgspec.NODEFAULT


@dataclass(frozen=True)
class Drawn:
    """A shape class, and the walk that makes the same of a plain entity."""

    shape: type[Any]
    walk: Walk
    text: str


def optional(kind: Any) -> Any:
    return kind | None


@st.composite
def shapes(draw: st.DrawFn, model: type[Any], depth: int, nulls: Nulls) -> Drawn:
    """Draw a shape of `model` that nests at most `depth` levels."""
    number = draw(st.integers(0, 10**6))
    name = f"{model.__name__}Shape{number}"
    fields: list[Field] = []

    def add(label: str, annotation: Any, value: Walk, default: Any = msgspec.NODEFAULT) -> None:
        if all(field.name != label for field in fields):
            fields.append(Field(label, annotation, value, default))

    for column in draw(st.lists(st.sampled_from(sorted(COLUMNS[model])), min_size=1, max_size=3, unique=True)):
        add(column, COLUMNS[model][column], lambda e, c=column: getattr(e, c))
    for _ in range(draw(st.integers(0, 3 if depth else 1))):
        _draw_field(draw, model, depth, add, name, nulls)
    fields = draw(st.permutations(fields))

    def body(namespace: dict[str, Any]) -> None:
        namespace["__module__"] = __name__
        namespace["__annotations__"] = {field.name: field.annotation for field in fields}
        namespace.update({field.name: field.default for field in fields if field.default is not msgspec.NODEFAULT})

    made = types.new_class(name, (Shape[model],), {}, body)
    text = f"{name}({', '.join(f'{field.name}: {field.annotation}' for field in fields)})"
    return Drawn(made, Walker(name, fields), text)


class Walker:
    """Walks a plain entity, level by level where the shape contains itself."""

    def __init__(self, name: str, fields: list[Field]) -> None:
        self.name = name
        self.fields = fields

    def __call__(self, entity: Any, levels: dict[str, int] | None = None) -> Any:
        def value(field: Field) -> Any:
            if isinstance(field.value, Recursion):
                return field.value(self, entity, levels or {})
            return field.value(entity)

        return None if entity is None else {field.name: value(field) for field in self.fields}


@dataclass(frozen=True)
class Recursion:
    key: str
    depth: int
    is_many: bool
    limit: int | None = None

    def __call__(self, walker: Walker, entity: Any, levels: dict[str, int]) -> Any:
        if levels.get(self.key, 0) >= self.depth:
            return MISSING
        below = levels | {self.key: levels.get(self.key, 0) + 1}
        target = getattr(entity, self.key)
        if not self.is_many:
            return walker(target, below)
        ordered = sorted(target, key=lambda each: each.id)[: self.limit]
        return [walker(each, below) for each in ordered]


def _draw_field(draw: st.DrawFn, model: type[Any], depth: int, add: Any, shape: str, nulls: Nulls) -> None:
    kinds = ["rename"]
    if TO_ONE[model]:
        kinds += ["path", "path"] + (["one", "one"] if depth else [])
    if TO_MANY[model]:
        kinds += ["aggregates", "aggregates", "latest"] + (["children", "children", "many", "many"] if depth else [])
    if model is Author and depth:
        kinds += ["mentor", "mentees"]
    match draw(st.sampled_from(kinds)):
        case "rename":
            column = draw(st.sampled_from(sorted(COLUMNS[model])))
            marker = path(getattr(model, column))
            add(f"{column}_again", Annotated[COLUMNS[model][column], marker], lambda e: getattr(e, column))
        case "path":
            steps, target, is_optional = _draw_hops(draw, model)
            column = draw(st.sampled_from(sorted(COLUMNS[target])))
            kind = optional(COLUMNS[target][column]) if is_optional else COLUMNS[target][column]
            marker = path(*_attributes(model, steps), getattr(target, column))
            add("_".join([*steps, column]), Annotated[kind, marker], lambda e: _follow(e, [*steps, column]))
        case "one":
            steps, target, is_optional = _draw_hops(draw, model)
            drawn = draw(shapes(target, depth - 1, nulls))
            kind = optional(drawn.shape) if is_optional else drawn.shape
            label = steps[0] if len(steps) == 1 else "_".join(steps)
            annotation = kind if len(steps) == 1 else Annotated[kind, path(*_attributes(model, steps))]
            add(label, annotation, lambda e: drawn.walk(_follow(e, steps)))
        case "children":
            key = draw(st.sampled_from(sorted(TO_MANY[model])))
            drawn = draw(shapes(TO_MANY[model][key], depth - 1, nulls))
            add(key, list[drawn.shape], lambda e: [drawn.walk(c) for c in sorted(getattr(e, key), key=lambda c: c.id)])
        case "many":
            key = draw(st.sampled_from(sorted(TO_MANY[model])))
            target = TO_MANY[model][key]
            drawn = draw(shapes(target, depth - 1, nulls))
            where = draw(st.none() | conditions(target))
            order_by = draw(st.lists(orders(target, nulls), max_size=2))
            limit = draw(st.none() | st.integers(1, 3))
            marker = many(
                getattr(model, key),
                where=None if where is None else where.sql(target),
                order_by=[order.sql(target) for order in order_by],
                limit=limit,
            )
            add(
                f"some_{key}",
                Annotated[list[drawn.shape], marker],
                lambda e: [drawn.walk(c) for c in arranged(getattr(e, key), where, order_by, limit, nulls)],
            )
        case "latest":
            key = draw(st.sampled_from(sorted(TO_MANY[model])))
            target = TO_MANY[model][key]
            where = draw(st.none() | conditions(target))
            order_by = draw(st.lists(orders(target, nulls), min_size=1, max_size=2))
            steps, last, _ = _draw_hops(draw, target) if draw(st.booleans()) else ([], target, True)
            inner: Any
            if depth and draw(st.booleans()):
                drawn = draw(shapes(last, depth - 1, nulls))
                kind, inner, column = drawn.shape, drawn.walk, []
            else:
                column = [draw(st.sampled_from(sorted(COLUMNS[last])))]
                kind, inner = COLUMNS[last][column[0]], None
            way = [*_attributes(target, steps), *(getattr(last, each) for each in column)]
            marker = aggregate.latest(
                getattr(model, key),
                *way,
                where=None if where is None else where.sql(target),
                order_by=[order.sql(target) for order in order_by],
            )

            def first(e: Any) -> Any:
                found = arranged(getattr(e, key), where, order_by, 1, nulls)
                value = _follow(found[0], [*steps, *column]) if found else None
                return value if inner is None or value is None else inner(value)

            add(f"latest_{key}", Annotated[optional(kind), marker], first)
        case "aggregates":
            _draw_aggregates(draw, model, add)
        case "mentor":
            levels = draw(st.integers(1, 3))
            kind = ForwardRef(f"{shape} | None | UnsetType")
            add(
                "mentor",
                Annotated[kind, path(Author.mentor, depth=levels)],
                Recursion("mentor", levels, False),
                msgspec.UNSET,
            )
        case "mentees":
            levels, limit = draw(st.integers(1, 3)), draw(st.none() | st.integers(1, 2))
            kind = ForwardRef(f"list[{shape}] | None")
            marker = many(Author.mentees, depth=levels, limit=limit)
            add("mentees", Annotated[kind, marker], Recursion("mentees", levels, True, limit), None)


UnsetType = msgspec.UnsetType
_CONTEXT = decimal.Context(prec=28)


def _draw_aggregates(draw: st.DrawFn, model: type[Any], add: Any) -> None:
    """Draw one to four values over the same rows."""
    key = draw(st.sampled_from(sorted(TO_MANY[model])))
    target = TO_MANY[model][key]
    where = draw(st.none() | conditions(target))
    drawn = st.tuples(st.sampled_from(sorted(VALUES)), st.sampled_from(sorted(COLUMNS[target])))
    for function, column in draw(st.lists(drawn, min_size=1, max_size=4)):
        is_text = COLUMNS[target][column] in (str, str | None)
        if is_text and function in ADDING:
            function = "max"
        kind = VALUES[function]
        annotation = kind if kind is not None else optional(str if is_text else int)
        measure = [] if function in COUNTING else [getattr(target, column)]
        name = function.removesuffix("_decimal").removesuffix("_or_none")
        sql = None if where is None else where.sql(target)  # a filter for each, equal and not the same
        marker = getattr(aggregate, name)(getattr(model, key), *measure, where=sql)
        add(
            f"{key}_{function}_{column}",
            Annotated[annotation, marker],
            lambda e, f=function, c=column: value_over(
                [getattr(each, c) for each in getattr(e, key) if where is None or where.holds(each)], f
            ),
        )


COUNTING = {"count", "exists"}
ADDING = {"sum", "sum_or_none", "avg", "avg_decimal"}
VALUES: dict[str, Any] = {
    "count": int,
    "exists": bool,
    "sum": int,
    "sum_or_none": int | None,
    "avg": float | None,
    "avg_decimal": decimal.Decimal | None,
    "min": None,
    "max": None,
}
"""What each aggregate gives; None for the type of the column, or None."""


def value_over(values: list[Any], function: str) -> Any:
    """Return the value that an aggregate has over these values, as Python computes it."""
    if function in COUNTING:
        return len(values) if function == "count" else bool(values)
    known = [value for value in values if value is not None]
    if function == "sum":
        return sum(known)
    if not known:
        return None
    match function:
        case "sum_or_none":
            return sum(known)
        case "avg":
            return sum(known) / len(known)
        case "avg_decimal":
            return _CONTEXT.divide(decimal.Decimal(sum(known)), len(known))
        case "min":
            return min(known)
        case _:
            return max(known)


def _draw_hops(draw: st.DrawFn, model: type[Any]) -> tuple[list[str], type[Any], bool]:
    steps: list[str] = []
    is_optional = False
    for _ in range(draw(st.integers(1, 3))):
        if not TO_ONE[model]:
            break
        key = draw(st.sampled_from(sorted(TO_ONE[model])))
        model, may_be_absent = TO_ONE[model][key]
        steps.append(key)
        is_optional = is_optional or may_be_absent
    return steps, model, is_optional


def _attributes(model: type[Any], steps: Sequence[str]) -> list[Any]:
    found = []
    for step in steps:
        found.append(getattr(model, step))
        model = TO_ONE[model][step][0]
    return found


def _follow(entity: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        if entity is None:
            return None
        entity = getattr(entity, step)
    return entity


def every_strategy(db: Database | AsyncDatabase, shape: Any, statement: Any) -> list[Any]:
    """Return the statement once for each strategy that can read the shape on this database, each asking for it."""
    facts = shape.__shape__().facts
    if not facts.collections or not facts.is_anchored or facts.inexact:
        return []
    asked = [statement.execution_options(hermetic_strategy=name) for name in ("correlated", "set_based", "per_level")]
    return [each for each in asked if _can_plan(db, shape, each)]


def _can_plan(db: Database | AsyncDatabase, shape: Any, statement: Any) -> bool:
    try:
        db.plan(shape, statement)
    except (NoExactForm, TooDeep):
        return False
    return True


def plain(value: Any) -> Any:
    """Return a shape as dicts and lists, so that a difference reads well."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return MISSING if value is msgspec.UNSET else value


# statements over a model


@st.composite
def statements(draw: st.DrawFn, model: type[Any], nulls: Nulls) -> Callable[[], Select[Any]]:
    where = draw(st.none() | conditions(model))
    order_by = draw(st.lists(orders(model, nulls), max_size=2))
    limit, offset = draw(st.none() | st.integers(0, 4)), draw(st.none() | st.integers(0, 2))
    form = draw(st.sampled_from(["class", "class", "alias", "distinct", "joined", "subquery"]))

    def make() -> Select[Any]:
        entity = aliased(model) if form == "alias" else model
        if form == "subquery":
            entity = aliased(model, select(model).where(model.id < 4).subquery())
        made = select(entity)
        if form == "joined" and TO_ONE[model]:
            way = sorted(TO_ONE[model])[0]
            target = aliased(getattr(model, way).property.mapper.class_)
            made = made.join(getattr(entity, way).of_type(target))
        if where is not None:
            made = made.where(where.sql(entity))
        made = made.order_by(*(order.sql(entity) for order in order_by), entity.id)
        made = made.limit(limit).offset(offset if limit is not None else None)
        return made.distinct() if form == "distinct" else made

    return make


def replace_rows(session: Session, rows: Rows) -> None:
    """Make `rows` the only rows there are."""
    connection = session.connection()
    mentor = Author.__table__.c.mentor_id  # of any order, and some databases check a key at once
    connection.execute(update(Author.__table__).values(mentor_id=None))
    for table in reversed(TABLES):
        connection.execute(table.delete())
    for table in TABLES:
        if rows[table.name]:
            columns = [table.c[name] for name in rows[table.name][0]]
            named = [{each.key: row[each.name] for each in columns if each is not mentor} for row in rows[table.name]]
            connection.execute(table.insert(), named)
    for row in rows["author"]:
        connection.execute(
            update(Author.__table__).where(Author.__table__.c.id == row["id"]).values(mentor_id=row["mentor_id"])
        )
    session.commit()


__all__ = ["Library", "libraries", "plain", "replace_rows", "shapes", "statements"]
