"""The form of every error: typed facts, and three sentences that say what happened, why, and the fix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self


def _rebuild(kind: type[HermeticError], facts: dict[str, Any], is_async: bool) -> HermeticError:
    return kind(**facts).worded(is_async=is_async)


class HermeticError(Exception):
    """The root of all errors that hermetic raises itself.

    A subclass is a frozen table: dataclass fields are the facts, and `what`, `why`, `fix` are templates over them
    (`{e.field}`). Where a text shows code, `[await] ` and `[async] ` stand for the words that async code has there;
    `is_async` says whether it is async code that met the error.
    """

    code: str | None = "error"  # the type that SQLAlchemy's own errors give it
    is_async: bool = False
    what: ClassVar[str] = "{e.code}"
    why: ClassVar[str] = ""
    fix: ClassVar[str] = ""

    def __str__(self) -> str:
        lines = [f"{self.code}: {self.what.format(e=self)}"]
        for label, template in (("why", self.why), ("fix", self.fix)):
            text = template.format(e=self)
            if text:
                lines.append(f"{label}: " + text.replace("\n", "\n     "))
        text = "\n".join(lines)
        for word in ("await", "async"):
            text = text.replace(f"[{word}] ", f"{word} " if self.is_async else "")
        return text

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.what.format(e=self)}>"

    def worded(self, *, is_async: bool) -> Self:
        """Return the error, its text for the kind of code that met it."""
        self.is_async = is_async
        return self

    def facts(self) -> dict[str, Any]:
        """Return the facts by name, as the constructor takes them."""
        names: dict[str, Any] = getattr(self, "__dataclass_fields__", {})  # every subclass is a dataclass
        return {name: getattr(self, name) for name in names}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.facts(), self.is_async)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a model or a shape.

    `where` is a path such as `OrderCard.lines[].price`; `fix` is text to paste.
    """

    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        fix = self.fix.replace("\n", "\n       ")
        return f"{self.where}  {self.what}\n  fix: {fix}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@dataclass(eq=False)
class ProblemsFound(HermeticError):
    """The common part of the definition errors: all problems of one class, at once."""

    subject: str
    location: str
    problems: Sequence[Problem]

    @property
    def count(self) -> str:
        """Return the number of problems as words, e.g. `2 problems`."""
        return _count(len(self.problems), "problem")

    def __str__(self) -> str:
        listed = "\n".join(f"{number}. {problem}" for number, problem in enumerate(self.problems, 1))
        return f"{super().__str__()}\n{listed}"
