"""Shapes in a module whose annotations are evaluated at once, as without `from __future__ import annotations`."""

from typing import Annotated

import msgspec
import pytest
from shapes_support import Author, Book, Library
from sqlalchemy import select

from hermetic import Database, Shape, ShapeError, many, path


def test_local_shapes_refer_to_each_other_by_name_in_quotes(sqlite_url: str) -> None:
    class AuthorCard(Shape[Author]):
        name: str
        books: "list[BookLine]"
        mentor: "AuthorName | None"
        mentees: Annotated["list[AuthorCard] | None", many(Author.mentees, depth=1)] = None

    class AuthorName(Shape[Author]):
        name: str

    class BookLine(Shape[Book]):
        title: str
        writer: Annotated["AuthorName", path(Book.author)]

    with Database(sqlite_url) as db:
        db.create_all(Library)
        with db.begin() as uow:
            uow.add(Author(id=1, name="a", books=[Book(title="t")], mentees=[Author(id=2, name="b")]))
        found = msgspec.to_builtins(db.all(AuthorCard, select(Author).order_by(Author.id)))
    younger = {"name": "b", "books": [], "mentor": {"name": "a"}, "mentees": None}
    books = [{"title": "t", "writer": {"name": "a"}}]
    assert found[0] == {"name": "a", "books": books, "mentor": None, "mentees": [younger]}


def test_local_shape_that_does_not_fit_is_refused_when_its_last_name_exists() -> None:
    with pytest.raises(ShapeError, match="leads to Book, but AuthorLine is a shape of Author"):

        class Card(Shape[Author]):
            books: "list[AuthorLine]"

        class AuthorLine(Shape[Author]):
            name: str
