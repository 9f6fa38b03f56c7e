"""Dataclasses, TypedDicts and pydantic models read the same graph as a `Shape`, and refuse the same things."""

from __future__ import annotations

import asyncio
import dataclasses
import types
from collections.abc import Callable
from typing import Annotated, Any, ForwardRef, NotRequired, TypedDict, Union, get_args, get_origin

import msgspec
import pydantic
import pytest
import requires
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from shapes_support import MODELS, Author, Library, Nulls, every_strategy, libraries, replace_rows, shapes, statements
from sqlalchemy import select
from sqlalchemy.orm import Session

from hermetic import AsyncDatabase, Database, Shape, ShapeError, TooDeep, ValueMismatch, count, many, path, shape_of
from shop import Address, User

QUICK = settings(
    deadline=None,
    phases=[Phase.generate, Phase.shrink],
    database=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
Body = Callable[[dict[str, Any]], None]


# one class of each kind with the fields of a shape, nested ones converted too


def _dataclass(name: str, annotations: dict[str, Any], defaults: dict[str, Any]) -> Any:
    fields = [(key, kind, dataclasses.field(default=defaults[key])) if key in defaults else (key, kind)
              for key, kind in annotations.items()]  # fmt: skip
    return dataclasses.make_dataclass(
        name, fields, frozen=True, slots=True, kw_only=True, namespace={"__module__": __name__}
    )


def _typed_dict(name: str, annotations: dict[str, Any], defaults: dict[str, Any]) -> Any:
    keys = {key: NotRequired[kind] if key in defaults else kind for key, kind in annotations.items()}
    return types.new_class(name, (TypedDict,), {}, _body(keys, {}))


def _pydantic(name: str, annotations: dict[str, Any], defaults: dict[str, Any]) -> Any:
    config = pydantic.ConfigDict(arbitrary_types_allowed=True, alias_generator=str.upper, extra="forbid", frozen=True)
    return types.new_class(name, (pydantic.BaseModel,), {}, _body(annotations, {**defaults, "model_config": config}))


def _body(annotations: dict[str, Any], values: dict[str, Any]) -> Body:
    def fill(namespace: dict[str, Any]) -> None:
        namespace.update({"__module__": __name__, "__annotations__": annotations, **values})

    return fill


KINDS = {"dataclass": _dataclass, "typed_dict": _typed_dict, "pydantic": _pydantic}


def twin(shape: type[Any], make: Callable[..., Any]) -> Any:
    """Return the class of another kind with the fields of `shape`, and of every shape inside it."""

    def converted(kind: Any) -> Any:
        if isinstance(kind, type) and issubclass(kind, Shape):
            return ForwardRef(f"Twin{shape.__name__}") if kind is shape else twin(kind, make)
        arguments = get_args(kind)
        if get_origin(kind) is Annotated:
            return Annotated[(converted(arguments[0]), *arguments[1:])]
        if get_origin(kind) is list:
            return types.GenericAlias(list, (converted(arguments[0]),))
        if get_origin(kind) in (Union, types.UnionType):
            return Union[tuple(converted(each) for each in arguments)]  # noqa: UP007
        return kind

    annotations = {name: converted(kind) for name, kind in shape.__shape__().fields(shape).items()}
    defaults = {each.name: each.default for each in msgspec.structs.fields(shape) if not each.required}
    return make(f"Twin{shape.__name__}", annotations, defaults)


def plain(value: Any) -> Any:
    """Return dicts and lists for any of the four kinds; without what a depth leaves out."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items() if each is not msgspec.UNSET}
    if isinstance(value, msgspec.Struct):
        return plain({key: getattr(value, key) for key in value.__struct_fields__})
    if dataclasses.is_dataclass(value):
        return plain({each.name: getattr(value, each.name) for each in dataclasses.fields(value)})
    return plain(dict(value)) if isinstance(value, pydantic.BaseModel) else value


def filled(expected: Any, found: Any) -> Any:
    """Return `expected` without the lists that a depth leaves out, where the keys of a TypedDict lack them."""
    if isinstance(expected, dict):
        return {key: filled(each, found.get(key)) for key, each in expected.items() if each is not None or key in found}
    return [filled(a, b) for a, b in zip(expected, found, strict=True)] if isinstance(expected, list) else expected


@settings(QUICK, max_examples=8)
@given(data=st.data())
def test_a_random_graph_is_equal_in_every_kind_of_class_and_strategy(db: Database, data: Any) -> None:
    Library.metadata.create_all(db.engine)
    dialect = db.engine.dialect.name
    nulls = Nulls(requires.has(dialect, "large nulls"), requires.has(dialect, "placed nulls"))
    with Session(db.engine) as session:
        replace_rows(session, data.draw(libraries()))
    model = data.draw(st.sampled_from(MODELS))
    drawn, statement = data.draw(shapes(model, 2, nulls)), data.draw(statements(model, nulls))
    try:
        expected = plain(db.all(drawn.shape, statement()))
    except TooDeep:
        return
    for name, make in KINDS.items():
        read = shape_of(model, twin(drawn.shape, make))
        for asked in [statement(), *every_strategy(db, read, statement())]:
            with db.recorded() as sent:
                found = plain(db.all(read, asked))
            assert found == filled(expected, found), f"{name}: {drawn.text}"
            assert len(sent) == db.plan(read, asked).statements


# by hand, as a user would write them


@dataclasses.dataclass
class AddressDTO:
    email_address: str
    owner: Annotated[str, path(Address.user, User.name)]
    label: str = dataclasses.field(init=False, default="set by the class")


@dataclasses.dataclass(frozen=True, slots=True)
class UserDTO:
    id: int
    fullname: str | None
    addresses: list[AddressDTO]
    address_count: Annotated[int, count(User.addresses)]


class AddressDict(TypedDict):
    email_address: str


class UserDict(TypedDict):
    name: str
    newest: Annotated[list[AddressDict], many(User.addresses, order_by=Address.id.desc(), limit=1)]


class AddressModel(pydantic.BaseModel):
    email: Annotated[str, path(Address.email_address), pydantic.Field(alias="e-mail")]


class UserModel(pydantic.BaseModel):
    name: Annotated[str, pydantic.Field(max_length=5)]
    addresses: list[AddressModel]

    @pydantic.computed_field
    def initial(self) -> str:
        return self.name[:1]


class MixedShape(Shape[User]):
    name: str
    addresses: list[AddressDTO]


UserData = shape_of(User, UserDTO)
UserKeys = shape_of(User, UserDict)
UserForm = shape_of(User, UserModel)


def stocked(db: Database) -> Database:
    with db.begin() as uow:
        uow.add(User(id=1, name="ann", addresses=[Address(email_address="a@x"), Address(email_address="b@x")]))
    return db


def test_every_verb_takes_a_dataclass(db: Database) -> None:
    stocked(db)
    lines = [AddressDTO(email_address="a@x", owner="ann"), AddressDTO(email_address="b@x", owner="ann")]
    whole = UserDTO(id=1, fullname=None, addresses=lines, address_count=2)
    assert db.all(UserData, select(User)) == [whole]
    assert db.one(UserData, select(User)) == db.first(UserData, select(User)) == db.get(UserData, 1) == whole
    assert db.get(UserData, 2) is None
    with db.begin() as uow:
        assert uow.get_one(UserData, 1) == whole


def test_a_typed_dict_is_a_dict(db: Database) -> None:
    assert stocked(db).all(UserKeys, select(User)) == [{"name": "ann", "newest": [{"email_address": "b@x"}]}]


def test_a_pydantic_model_is_filled_by_the_names_of_its_fields(db: Database) -> None:
    found = stocked(db).get_one(UserForm, 1)
    assert found.model_dump(by_alias=True) == {
        "name": "ann",
        "addresses": [{"e-mail": "a@x"}, {"e-mail": "b@x"}],
        "initial": "a",
    }


def test_json_of_a_pydantic_model_is_its_own(db: Database) -> None:
    assert stocked(db).json(UserForm, select(User)) == (
        b'[{"name":"ann","addresses":[{"e-mail":"a@x"},{"e-mail":"b@x"}],"initial":"a"}]'
    )


def test_a_shape_holds_dataclasses_and_msgspec_writes_them(db: Database) -> None:
    found = stocked(db).all(MixedShape, select(User))
    assert b'"email_address":"a@x","owner":"ann"' in msgspec.json.encode(found)


def test_a_value_that_a_pydantic_model_refuses_is_a_mismatch_without_the_value(db: Database) -> None:
    with stocked(db).begin() as uow:
        uow.add(User(id=2, name="secret-name"))
    with pytest.raises(ValueMismatch) as refused:
        db.all(UserForm, select(User))
    assert refused.value.reason == "UserModel.name: String should have at most 5 characters"
    assert "secret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_the_async_shell_takes_the_same(async_url: str) -> None:
    async def main() -> None:
        async with AsyncDatabase(async_url) as db:
            await db.create_all(User)
            async with db.begin() as uow:
                uow.add(User(id=1, name="ann", addresses=[Address(email_address="a@x")]))
            assert (await db.get_one(UserData, 1)).addresses == [AddressDTO(email_address="a@x", owner="ann")]
            assert [each.name for each in await db.all(UserForm, select(User))] == ["ann"]

    asyncio.run(main())


def test_the_same_class_named_again_is_the_same_shape(db: Database) -> None:
    assert shape_of(User, UserDTO) is UserData
    statement = select(User).where(User.id == 1)
    stocked(db).all(shape_of(User, AddressLess), statement)
    before = len(db._autocommit.plans)
    db.all(shape_of(User, AddressLess), statement)
    assert len(db._autocommit.plans) == before


class AddressLess(TypedDict):
    name: str


# refused


def test_fields_are_checked_as_those_of_a_shape() -> None:
    @dataclasses.dataclass
    class Inner:
        email_address: int

    @dataclasses.dataclass
    class Wrong:
        id: str
        fullname: str
        addresses: list[Inner]
        nane: str

    with pytest.raises(ShapeError) as refused:
        shape_of(User, Wrong)
    assert [str(each) for each in refused.value.problems] == [
        "Wrong.id  User.id is int, not str\n  fix: id: int",
        "Wrong.fullname  User.fullname is nullable, so `str` would lie\n  fix: fullname: str | None",
        "Wrong.addresses[].email_address  Address.email_address is str, not int\n  fix: email_address: str",
        "Wrong.nane  User has no `nane`; did you mean `name`?\n  fix: name: str\n"
        "       or nane: Annotated[str, path(User.name)]",
    ]


def test_a_class_that_needs_more_than_its_fields_is_refused() -> None:
    @dataclasses.dataclass
    class Needy:
        id: int
        clock: dataclasses.InitVar[object]

    with pytest.raises(ShapeError, match="Needy must be given clock, which no read gives"):
        shape_of(User, Needy)


def test_what_is_no_such_class_is_refused() -> None:
    with pytest.raises(ShapeError, match="dict  is no class that a read can fill"):
        shape_of(User, dict)


def test_a_pydantic_model_inside_a_shape_is_refused() -> None:
    with pytest.raises(ShapeError, match="AddressModel is a pydantic model, which the shape around it could not write"):

        class Wrong(Shape[User]):
            addresses: list[AddressModel]


def test_a_class_inside_that_comes_later_is_waited_for() -> None:
    @dataclasses.dataclass
    class Outer:
        addresses: list[Later]

    read = shape_of(User, Outer)
    names = read.__shape__().names

    @dataclasses.dataclass
    class Later:
        email_address: str

    names["Later"] = Later
    assert read.__shape__().node.parts[0].name == "addresses"


def test_a_depth_ends_with_a_missing_key(db: Database) -> None:
    Library.metadata.create_all(db.engine)
    with Session(db.engine) as session:
        rows = {table.name: [] for table in Library.metadata.sorted_tables}
        authors = [
            {"id": k, "name": f"n{k}", "bio": None, "Rank %s": None, "mentor_id": k - 1 or None} for k in (1, 2, 3)
        ]
        replace_rows(session, {**rows, "author": authors})
    found = db.one(shape_of(Author, Mentor), select(Author).where(Author.id == 1))
    assert found == {"name": "n1", "mentees": [{"name": "n2"}]}


class Mentor(TypedDict):
    name: str
    mentees: NotRequired[Annotated[list[Mentor], many(Author.mentees, depth=1)]]
