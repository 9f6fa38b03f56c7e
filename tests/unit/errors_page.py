"""`docs/errors.md`, made from the error classes: one section for each code."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import fields
from pathlib import Path

import hermetic
from hermetic import HermeticError
from hermetic.errors import ProblemsFound

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "errors"
PAGE = ROOT / "docs" / "errors.md"

# the golden files that show what an error lists
PROBLEMS = {"model-refused": ("model-all", "model-delete"), "shape-mismatch": ("shape-problems",)}

HEAD = """\
# Errors

Every error of hermetic says what happened, why, and the fix, and begins with its code.
Its facts are attributes, it pickles, and it shows no row values.
Where it takes the place of an error of SQLAlchemy or Python it is one of those too, so `except` clauses keep working.
What hermetic does not know passes through as SQLAlchemy raised it.
This page is made from the classes: `<...>` stands for a fact of the error.
Code that meets an error inside `async def` is shown the words in `[...]` too.
"""


def error_classes() -> list[type[HermeticError]]:
    """Return every error class of the package, by name; the common parts that are never raised are left out."""
    for module in pkgutil.walk_packages(hermetic.__path__, "hermetic."):
        importlib.import_module(module.name)
    raised = [cls for cls in _below(HermeticError) if cls.what != HermeticError.what and cls is not ProblemsFound]
    found = [cls for cls in raised if cls.__module__.startswith("hermetic")]
    return sorted(set(found), key=lambda cls: cls.__name__)


def errors_page() -> str:
    """Return the text of the page."""
    ordered = sorted(error_classes(), key=lambda cls: str(cls.code))
    table = ["| code | raised |", "|---|---|"]
    table += [
        f"| [{cls.code}](#{cls.code}) | {_when(cls).removeprefix('Raised ').removesuffix('.')} |" for cls in ordered
    ]
    return "\n".join([HEAD, *table, "", *(_section(cls) for cls in ordered)])


def _below(cls: type[HermeticError]) -> list[type[HermeticError]]:
    return [each for child in cls.__subclasses__() for each in (child, *_below(child))]


def _section(cls: type[HermeticError]) -> str:
    also = [f"`{_name(base)}`" for base in cls.__mro__ if _is_foreign(base)]
    lines = [f"`{_name(cls)}`" + (f", also {_joined(also)}." if also else ".")]
    lines += [_when(cls)]
    facts = [f"`{field.name}`" for field in fields(cls)]  # type: ignore[arg-type]  # every error is a dataclass
    if facts:
        lines.append(f"Facts: {', '.join(facts)}.")
    text = f"## {cls.code}\n\n" + "\n".join(lines) + f"\n\n```text\n{_template(cls)}\n```\n"
    if str(cls.code) in PROBLEMS:
        text += f"\nIt lists, each with its fix:\n\n```text\n{_problems(str(cls.code))}```\n"
    return text


def _template(cls: type[HermeticError]) -> str:
    rows = [(f"{cls.code}", cls.what), ("why", cls.why), ("fix", cls.fix)]
    texts = [(label, template.format(e=_Names())) for label, template in rows if template]
    return "\n".join(f"{label}: " + text.replace("\n", "\n     ") for label, text in texts)


class _Names:
    """Stands for an error in its templates, and gives each fact's name."""

    def __getattr__(self, name: str) -> str:
        return f"<{name}>"


def _problems(code: str) -> str:
    text = "".join((GOLDEN / f"{name}.txt").read_text() for name in PROBLEMS[code])
    without_head = re.sub(rf"^({code}|why): .*\n", "", text, flags=re.MULTILINE)
    return re.sub(r"^\d+\. ", "", without_head, flags=re.MULTILINE)


def _when(cls: type[HermeticError]) -> str:
    return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())


def _name(cls: type[Exception]) -> str:
    """Return the name by which a user imports a class."""
    if cls.__module__ == "builtins":
        return cls.__name__
    parts = cls.__module__.split(".")
    for end in range(1, len(parts) + 1):
        package = ".".join(parts[:end])
        if getattr(importlib.import_module(package), cls.__name__, None) is cls:
            return f"{package}.{cls.__name__}"
    raise AssertionError(f"{cls} cannot be imported")


def _is_foreign(base: type) -> bool:
    """Return whether an `except` clause may name `base`: not what says nothing, such as `Exception`."""
    return (
        issubclass(base, Exception)
        and base is not Exception
        and not issubclass(base, HermeticError)
        and base.__name__ not in ("SQLAlchemyError", "StatementError", "DBAPIError")
    )


def _joined(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
