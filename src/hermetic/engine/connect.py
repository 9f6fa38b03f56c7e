"""Make the engine of a database: URL and driver checked first, connections prepared, failures to connect explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from hermetic.engine.age import watch_age
from hermetic.engine.borrow import keep_places, tell_cancellations
from hermetic.engine.custody import Custody
from hermetic.engine.enforce import hold_to_deadlines, watch_opened
from hermetic.engine.failures import explain_connect, explain_preparation, install_explanations
from hermetic.engine.fit import Fit
from hermetic.engine.gate import Gate
from hermetic.engine.liveness import watch_liveness
from hermetic.engine.mariadb import OPTIONS as MARIADB_OPTIONS
from hermetic.engine.mariadb import prepare_mariadb
from hermetic.engine.opening import opened
from hermetic.engine.pool import Pool
from hermetic.engine.residue import watch_residue
from hermetic.engine.sqlite import is_memory, prepare_sqlite
from hermetic.engine.timeouts import Timeouts, set_timeouts
from hermetic.engine.versions import check_version
from hermetic.engine.wire import connect_options, keep_alive, wrong_settings
from hermetic.errors import HermeticError, MissingPackage, PoolError, UnknownDriver

E = TypeVar("E")

_ASYNC_DEFAULT = {"sqlite": "sqlite+aiosqlite", "mysql": "mysql+asyncmy", "mariadb": "mariadb+asyncmy"}
_EXTRAS = {
    "psycopg": "postgres",
    "asyncpg": "asyncpg",
    "aiosqlite": "sqlite",
    "pymysql": "mariadb",
    "asyncmy": "mariadb",
}
_SYNC_DEFAULT = {"sqlite": "sqlite", "mysql": "mysql+pymysql", "mariadb": "mariadb+pymysql"}
_EXAMPLES = "postgresql+psycopg://user@host/name, mariadb+pymysql://user@host/name or sqlite:///file.db"


def make_engine(url: str | URL, pool: Pool, timeouts: Timeouts) -> Engine:
    """Return the engine behind a `Database`; nothing is connected yet.

    Raises:
        PoolError: the URL sets what cannot work with the pool.
        UnknownDriver: the URL cannot be read, or its driver does not exist or is an async one.
        MissingPackage: the driver's package is not installed.
    """
    parsed = _parse(url)
    dialect = _created(parsed.get_dialect, parsed)
    if dialect.is_async:
        sync = _SYNC_DEFAULT.get(dialect.name, f"{dialect.name}+psycopg")
        raise UnknownDriver(
            _shown(parsed),
            f"{dialect.driver} is an async driver, and Database is the sync one",
            f"use AsyncDatabase, or the URL {sync}://...",
        )
    engine = _created(lambda: create_engine(parsed, **_options(parsed, dialect, pool, is_async=False)), parsed)
    _prepare(engine, parsed, pool, timeouts)
    return engine


def make_async_engine(url: str | URL, pool: Pool, timeouts: Timeouts) -> AsyncEngine:
    """Return the engine behind an `AsyncDatabase`; nothing is connected yet.

    Raises:
        PoolError: the URL sets what cannot work with the pool.
        UnknownDriver: the URL cannot be read, or its driver does not exist or is a sync one.
        MissingPackage: the driver's package is not installed.
    """
    parsed = _parse(url)
    if parsed.drivername in _ASYNC_DEFAULT:
        parsed = parsed.set(drivername=_ASYNC_DEFAULT[parsed.drivername])
    # psycopg has one name for its sync and its async dialect
    dialect = _created(parsed.get_dialect, parsed).get_async_dialect_cls(parsed)
    if not dialect.is_async:
        raise UnknownDriver(
            _shown(parsed),
            f"{dialect.driver} is a sync driver, and AsyncDatabase is the async one",
            f"use Database, or one of {_EXAMPLES}",
        )
    engine = _created(lambda: create_async_engine(parsed, **_options(parsed, dialect, pool, is_async=True)), parsed)
    _prepare(engine.sync_engine, parsed, pool, timeouts)
    return engine


def _parse(url: str | URL) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        # the text may hold a password, so it is not repeated
        raise UnknownDriver("this URL", "it is not of the form dialect+driver://user@host/name", _EXAMPLES) from error


def _options(url: URL, dialect: type[Dialect], pool: Pool, *, is_async: bool) -> dict[str, Any]:
    problems = wrong_settings(url, pool)
    if problems:
        raise PoolError(_shown(url), "its URL", problems)
    # values stay out of logs and exceptions; whoever debugs turns that on at the engine
    options = {"hide_parameters": True, **pool.engine_options(is_async=is_async, is_memory=is_memory(url))}
    if is_memory(url) and not is_async:
        options["connect_args"] = {"check_same_thread": False}  # its one connection serves one thread after the other
    if url.get_backend_name() == "mariadb":
        options |= MARIADB_OPTIONS
    told = connect_options(url, dialect, pool)
    if told:
        options["connect_args"] = told
    return options


def _created(make: Callable[[], E], url: URL) -> E:
    try:
        return make()
    except NoSuchModuleError as error:
        raise UnknownDriver(
            _shown(url), f"SQLAlchemy knows no dialect {url.drivername}", f"use one of {_EXAMPLES}"
        ) from error
    except ModuleNotFoundError as error:
        package = (error.name or url.get_driver_name()).partition(".")[0]
        raise MissingPackage(
            package, f"a URL that begins with {url.drivername}", _EXTRAS.get(package, "all")
        ) from error


def _prepare(engine: Engine, url: URL, pool: Pool, timeouts: Timeouts) -> None:
    shown = _shown(url)
    fit = Fit(engine, pool, shown)
    is_known = False

    def connect(dialect: Dialect, record: Any, arguments: Any, options: Any) -> Any:
        nonlocal is_known
        fit.connect = lambda: opened(dialect, arguments, options, pool.connect_timeout)[0]
        try:
            made, ready_by = opened(dialect, arguments, options, pool.connect_timeout)
        except HermeticError:
            raise
        except (
            Exception
        ) as error:  # looked at, never renamed: what is not known to be a failed connection passes through
            explained = explain_connect(error, shown, dialect, is_known=is_known)
            if explained is None:
                raise
            raise explained from error
        is_known = True
        if not is_memory(url):  # whose one connection is the database
            watch_opened(engine, record, made, ready_by)
        return made

    event.listen(engine, "do_connect", connect)
    if engine.dialect.name == "sqlite":
        prepare_sqlite(engine)
    if engine.dialect.name == "mariadb":
        prepare_mariadb(engine)
    keep_places(engine)
    tell_cancellations(engine)
    check_version(engine)
    if not pool.is_shared:  # where each transaction may have another session
        set_timeouts(engine, timeouts)
    install_explanations(engine)
    if pool.is_pooling and not is_memory(url):
        watch_liveness(engine, pool.ping_idle)
        watch_age(engine, pool.recycle)
    if not is_memory(url):  # whose one connection is the database
        watch_residue(engine, is_shared=pool.is_shared)
    keep_alive(engine)
    fit.watch()
    hold_to_deadlines(engine)
    dialect = engine.dialect
    gate = Gate(is_async=dialect.is_async, is_remote=dialect.name != "sqlite", is_memory=is_memory(url))
    custody = Custody(engine, gate, pool.capacity(is_memory=is_memory(url)), pool.timeout)
    custody.check = fit.check
    custody.explain = lambda error: explain_preparation(error, shown, dialect)
    custody.watch()


def _shown(url: URL) -> str:
    """Return the URL without password and without options, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)
