"""Read one page: the order made unique, the place of the token as a condition, one row more than asked for."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import Dialect, Select
from sqlalchemy.sql.compiler import SQLCompiler

from hermetic.engine.page import Page
from hermetic.errors import WrongLimit
from hermetic.query import Form, Joined, Keyset, Position, Signer, form_of, joined, unique_keys
from hermetic.shape import Ordered, ShapeOf, ordered

_FORMS = 1000

Rows = Sequence[Sequence[Any]]


class Paging:
    """What the pages of one database share: the key of its tokens, the largest page, what is known of statements."""

    def __init__(self, dialect: Dialect, secret: str | bytes | None, maximum: int) -> None:
        self.signer = Signer(secret)
        self.maximum = maximum
        self._dialect = dialect
        self._outlines: OrderedDict[Any, _Outline] = OrderedDict()

    def cut(self, definition: ShapeOf[Any, Any], statement: Any, after: str | None, limit: Any) -> Cut:
        """Return what to read for a page.

        Raises:
            WrongLimit: `limit` is no number from 1 to the maximum.
            WrongStatement: the statement cannot be cut into pages.
            WrongToken: `after` is no token of this statement and shape.
        """
        if not isinstance(limit, int) or not 1 <= limit <= self.maximum:
            raise WrongLimit(repr(limit), self.maximum)
        base = ordered(statement, "page")
        outline = self._outline(base)
        keys = unique_keys(base.order, base.key, outline.joined, is_distinct=base.is_distinct)
        keyset = Keyset(keys, self._dialect)
        sql = outline.sql or self._sql(base, keyset)
        outline.sql = sql
        form = form_of(sql, base.values, _described(definition))
        position = self.signer.position(after, form) if after is not None else None
        return Cut(base.statement, keyset, form, position, limit, self.signer)

    def _outline(self, base: Ordered) -> _Outline:
        outline = self._outlines.get(base.form) if base.form is not None else None
        if outline is None:
            outline = _Outline(joined(base.froms, base.key, is_distinct=base.is_distinct))
            if base.form is not None and outline.joined.is_plain:
                self._outlines[base.form] = outline
                if len(self._outlines) > _FORMS:
                    self._outlines.popitem(last=False)
        return outline

    def _sql(self, base: Ordered, keyset: Keyset) -> str:
        """Return the text that tells statements apart: their filter, their order and the database's own way of it."""
        keys = [key.expression for key in keyset.keys]
        whole = base.statement.with_only_columns(*keys, maintain_column_froms=True).order_by(None)
        compiled = whole.order_by(*keyset.order_by()).compile(dialect=self._dialect)
        assert isinstance(compiled, SQLCompiler)  # a Select always compiles to SQL
        return compiled.string


class _Outline:
    """What is known of all statements of one form."""

    def __init__(self, joined: Joined) -> None:
        self.joined = joined
        self.sql: str | None = None


@dataclass(frozen=True, slots=True)
class Cut:
    """One page to be read: `statement()` finds its rows and one more, `page()` makes the page of them."""

    chosen: Select[Any]
    keyset: Keyset
    form: Form
    position: Position | None
    limit: int
    signer: Signer

    @property
    def is_backward(self) -> bool:
        """Return whether the rows before a place are meant."""
        return self.position is not None and self.position.is_backward

    def statement(self) -> Select[Any]:
        """Return the statement that finds the rows of the page, backward ones in reverse, and one more if there is."""
        found = self.chosen.order_by(None).order_by(*self.keyset.order_by(backward=self.is_backward))
        if self.position is not None:
            found = found.where(
                self.keyset.after(self.position.values, backward=self.is_backward, includes=self.position.includes)
            )
        return found.limit(self.limit + 1)

    def page(
        self,
        rows: Rows,
        make: Callable[[Rows], list[Any]],
        key: Callable[[Sequence[Any]], Sequence[Any]],
        total: int | None,
    ) -> Page[Any]:
        """Return the page of the rows that `statement()` found.

        Args:
            rows: as the driver gave them.
            make: returns the items of rows.
            key: returns the values that order a row.
            total: rows of all pages, or None.
        """
        shown = rows[: self.limit]
        if self.is_backward:
            shown = shown[::-1]
        is_more = len(rows) > self.limit
        is_behind = is_more or self.is_backward
        is_before = is_more if self.is_backward else self.position is not None
        return Page(
            items=make(shown),
            next=self._token([key(row) for row in shown[-1:]], is_backward=False) if is_behind else None,
            previous=self._token([key(row) for row in shown[:1]], is_backward=True) if is_before else None,
            total=total,
        )

    def _token(self, edge: Sequence[Sequence[Any]], *, is_backward: bool) -> str:
        if edge:
            place = Position(self.keyset.stored(edge[0]), is_backward)
        else:  # what was here is deleted; both ways begin at the row that the token pointed at
            assert self.position is not None  # a first page without rows has no neighbours
            place = Position(self.position.values, is_backward, includes=not self.position.includes)
        return self.signer.token(place, self.form)


@functools.lru_cache(maxsize=_FORMS)
def _described(definition: ShapeOf[Any, Any]) -> bytes:
    """Return a text that changes with the fields of a shape and of those inside it."""
    schema = msgspec.json.schema(definition.shape, schema_hook=lambda kind: {"title": repr(kind)})
    return msgspec.json.encode(schema, order="deterministic")
