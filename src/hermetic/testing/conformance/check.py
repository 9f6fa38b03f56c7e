"""Write values by plain SQLAlchemy, read them by every path of a shape, compare with what plain SQLAlchemy reads."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterable, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Dialect, Executable, insert, literal_column, select, text

from hermetic.errors import NoExactForm, ValueMismatch, WrongStatement
from hermetic.testing.conformance.cases import Case, cases_for
from hermetic.testing.conformance.equality import same
from hermetic.testing.conformance.models import Models, values_in
from hermetic.testing.conformance.report import PATHS, Finding, Report
from hermetic.work import AsyncDatabase, AsyncUnitOfWork, Database, UnitOfWork


@dataclass(frozen=True, slots=True)
class _Read:
    shape: Any
    statement: Any


class _Discard:
    """Close the connection behind the transaction: MariaDB keeps its settings when the transaction is rolled back."""


_Step = Executable | Models | _Read | _Discard
_PARENTS = {"root_id": 1, "middle_id": 1}
_REFUSALS = (NoExactForm, WrongStatement)  # of a strategy that needs JSON, by the database or by any
_SNAPSHOT = {"isolation_level": "SERIALIZABLE"}  # a read of several statements needs one
_Steps = Generator[_Step, Any, list[Finding]]


class _Done(Exception):
    """Rolls the transaction of a case back."""


def check_types(db: Database, cases: Iterable[Case] | None = None, *, settings: Sequence[str] = ()) -> Report:
    """Return how the values of each type come back from this server through this driver.

    Args:
        db: any database; each case runs on tables of its own, in a transaction of its own that is rolled back.
        cases: the types to check; without any, all that the database has.
        settings: statements sent before the values are read, e.g. `SET TimeZone = 'Asia/Kolkata'`; what plain
            SQLAlchemy reads without them is what shapes must read with them.
    Statements: about 10 for each case, and a savepoint around each; nothing stays behind.
    """
    found: list[Finding] = []
    for models, steps in _planned(db.engine.dialect, cases, settings):
        with _tables(db, models), suppress(_Done), db.begin() as uow:
            found += _driven(steps, uow)
            raise _Done
    return _report(db.engine.dialect, found)


async def check_types_async(
    db: AsyncDatabase, cases: Iterable[Case] | None = None, *, settings: Sequence[str] = ()
) -> Report:
    """Return how the values of each type come back through an async driver; `check_types`, awaited."""
    found: list[Finding] = []
    for models, steps in _planned(db.engine.dialect, cases, settings):
        async with _tables_async(db, models):
            with suppress(_Done):
                async with db.begin() as uow:
                    found += await _driven_async(steps, uow)
                    raise _Done
    return _report(db.engine.dialect, found)


@contextmanager
def _tables(db: Database, models: Models) -> Generator[None]:
    """Make the tables before the transaction, and drop them after it, where making one would commit it."""
    if not _commits_tables(db.engine.dialect):
        yield
        return
    models.metadata.create_all(db.engine)  # and no table of outcomes, which is the user's to have
    try:
        yield
    finally:
        db.drop_all(models.metadata)


@asynccontextmanager
async def _tables_async(db: AsyncDatabase, models: Models) -> AsyncGenerator[None]:
    if not _commits_tables(db.engine.dialect):
        yield
        return
    async with db.engine.begin() as connection:  # and no table of outcomes, which is the user's to have
        await connection.run_sync(models.metadata.create_all)
    try:
        yield
    finally:
        await db.drop_all(models.metadata)


def _planned(
    dialect: Dialect, cases: Iterable[Case] | None, settings: Sequence[str]
) -> Generator[tuple[Models, _Steps]]:
    for case in cases_for(dialect.name) if cases is None else cases:
        models = Models(case)
        yield models, _examined(case, models, settings, _commits_tables(dialect))


def _driven(steps: _Steps, uow: UnitOfWork) -> list[Finding]:
    step = next(steps)
    while True:
        try:
            answer = _answered(step, uow)
        except Exception as error:  # whatever it is, the generator decides
            answer = error
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def _answered(step: _Step, uow: UnitOfWork) -> Any:
    if isinstance(step, Models):  # what is there already is not made again
        return step.metadata.create_all(uow.session.connection(execution_options=_SNAPSHOT))
    if isinstance(step, _Discard):
        return uow.session.connection().invalidate()
    with uow.savepoint():
        if isinstance(step, _Read):
            return uow.all(step.shape, step.statement)
        return _fetched(uow.session.execute(step))


async def _driven_async(steps: _Steps, uow: AsyncUnitOfWork) -> list[Finding]:
    step = next(steps)
    while True:
        try:
            answer = await _answered_async(step, uow)
        except Exception as error:  # whatever it is, the generator decides
            answer = error
        try:
            step = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


async def _answered_async(step: _Step, uow: AsyncUnitOfWork) -> Any:
    if isinstance(step, Models):
        connection = await uow.session.connection(execution_options=_SNAPSHOT)
        return await connection.run_sync(step.metadata.create_all)
    if isinstance(step, _Discard):
        return await (await uow.session.connection()).invalidate()
    async with uow.savepoint():
        if isinstance(step, _Read):
            return await uow.all(step.shape, step.statement)
        return _fetched(await uow.session.execute(step))


def _fetched(result: Any) -> Any:
    return list(result.scalars()) if result.returns_rows else None


def _examined(case: Case, models: Models, settings: Sequence[str], keeps_settings: bool) -> _Steps:
    """Say one step after the other, get the answer or the error of each, and return the findings."""
    failed = yield from _written(case, models)
    if failed:
        return [Finding(case.name, path, "failed", failed) for path in PATHS]
    expected = []
    if case.values:
        expected = yield select(models.leaf_table.c.value).order_by(models.leaf_table.c.id)
        if isinstance(expected, Exception):
            return [Finding(case.name, path, "failed", f"plain SQLAlchemy: {expected}") for path in PATHS]
    for setting in settings:
        yield text(setting)
    findings = []
    if case.values:
        for path in PATHS:
            found = yield _Read(*models.read(path))
            findings.append(_compared(case, path, expected, found))
    for expression in case.unreadable:
        yield models.leaf_table.delete()
        yield insert(models.leaf_table).values(**_PARENTS, id=1, value=literal_column(expression))
        for path in PATHS:
            found = yield _Read(*models.read(path))
            findings.append(_refusal(case, path, expression, found))
    if settings and keeps_settings:
        yield _Discard()
    return findings


def _written(case: Case, models: Models) -> Generator[_Step, Any, str]:
    """Create the tables and write the values; return what went wrong, if anything."""
    values = [None, *case.values] if case.values else []
    rows = [{**_PARENTS, "id": number, "value": value} for number, value in enumerate(values, 1)]
    writes: list[_Step] = [
        models,
        insert(models.root_table).values(id=1),
        insert(models.middle_table).values(id=1, root_id=1),
    ]
    if rows:
        writes.append(insert(models.leaf_table).values(rows))
    for write in writes:
        answer = yield write
        if isinstance(answer, Exception):
            return f"could not be written: {answer}"
    return ""


def _compared(case: Case, path: str, expected: list[Any], found: Any) -> Finding:
    if isinstance(found, _REFUSALS):
        return Finding(case.name, path, "refused", str(found))
    if isinstance(found, Exception):
        return Finding(case.name, path, "failed", f"{type(found).__name__}: {found}")
    for values in values_in(path, found):
        for ours, theirs in zip(values, expected, strict=True):
            if not same(ours, theirs):
                return Finding(case.name, path, "wrong", f"{ours!r:.200}, and plain SQLAlchemy reads {theirs!r:.200}")
    return Finding(case.name, path, "exact")


def _refusal(case: Case, path: str, expression: str, found: Any) -> Finding:
    if isinstance(found, ValueMismatch):
        return Finding(case.name, path, "mismatch")
    if isinstance(found, _REFUSALS):
        return Finding(case.name, path, "refused", str(found))
    detail = f"{type(found).__name__}: {found}" if isinstance(found, Exception) else repr(values_in(path, found))
    return Finding(case.name, path, "failed" if isinstance(found, Exception) else "wrong", f"{expression} is {detail}")


def _commits_tables(dialect: Dialect) -> bool:
    return dialect.name in ("mysql", "mariadb")


def _report(dialect: Dialect, findings: list[Finding]) -> Report:
    version = ".".join(map(str, dialect.server_version_info or ()))
    return Report(f"{dialect.name} {version}", dialect.driver, findings)
