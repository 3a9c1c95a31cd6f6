"""Engines: yours checked, or one made from a URL."""

import os
from typing import Any, TypeVar
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import NullPool

from qt_events.databases import postgresql, sqlite
from qt_events.databases.urls import DatabaseUrls
from qt_events.outbox.errors import InvalidOutboxUrlError, SqliteBeginError, WrongEngineError

AnyEngine = TypeVar("AnyEngine", bound=sa.Engine | AsyncEngine)


checked_url = DatabaseUrls("outbox", "shop.db", InvalidOutboxUrlError).checked_url
_PORT = 5432
_KINDS = ("sqlite", "postgresql")
_IMMEDIATE = (["BEGIN", "IMMEDIATE"], ["BEGIN", "EXCLUSIVE"])
_INSTALL = (
    "call qt_events.outbox.begin_immediately(engine) once, right after create_engine(), or set "
    "isolation_level = None on `connect` and execute BEGIN IMMEDIATE on `begin` yourself"
)


def engine_of(given: object) -> sa.Engine | AsyncEngine:
    """Return the engine that an outbox was given, or make the one of a URL.

    Raises:
        InvalidOutboxUrlError: the URL has another form.
        WrongEngineError: it is none, or one for another kind of database.
    """
    if isinstance(given, str):
        url = checked_url(given)
        if url.drivername == "sqlite":
            made = begin_immediately(sqlite.make_engine(url))
        else:
            made = postgresql.make_engine(url)
        return _keep_from_children(made)
    if not isinstance(given, sa.Engine | AsyncEngine):
        raise WrongEngineError(
            f"an outbox needs an Engine, an AsyncEngine or a URL, not a {type(given).__name__}"
        )
    if given.dialect.name not in _KINDS:
        raise WrongEngineError(
            f"an outbox is kept in SQLite or PostgreSQL, not in {given.dialect.name!r:.80}"
        )
    if given.dialect.name == "sqlite" and given.url.database in {None, "", ":memory:"}:
        raise WrongEngineError(
            "a database in memory has one connection for you and the relay, so that nothing could "
            "be committed or rolled back: give the outbox a file, such as sqlite:///shop.db"
        )
    return _keep_from_children(given)


def sync_engine_of(engine: sa.Engine | AsyncEngine) -> sa.Engine:
    """Return the Engine behind it."""
    return engine.sync_engine if isinstance(engine, AsyncEngine) else engine


# Before a fork


_engines: WeakSet[sa.Engine] = WeakSet()


def _keep_from_children(engine: AnyEngine) -> AnyEngine:
    _engines.add(sync_engine_of(engine))
    return engine


def _after_fork() -> None:
    for engine in tuple(_engines):
        # The connections are the parent's, which goes on using them.
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_after_fork)


# SQLite


def begin_immediately(engine: AnyEngine) -> AnyEngine:
    """Have every transaction of an engine for SQLite begin by BEGIN IMMEDIATE; return the engine.

    Python's driver begins transactions late, and after savepoints. One that has read and then
    writes fails at once if another one has written meanwhile; one that begins immediately waits.
    """
    sync = sync_engine_of(engine)
    event.listen(sync, "connect", _leave_to_us)
    event.listen(sync, "begin", _begin)
    return engine


def _leave_to_us(connection: Any, _: object) -> None:
    connection.isolation_level = None


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def must_begin_immediately(engine: sa.Engine) -> None:
    """Raise SqliteBeginError for an engine whose listeners do not begin by BEGIN IMMEDIATE."""
    if engine.dialect.name != "sqlite":
        return
    said: list[str] = []
    # Its own listeners, on a connection to nowhere: yours may be in a transaction.
    elsewhere = sa.create_engine("sqlite://", poolclass=NullPool)
    event.listen(elsewhere, "connect", _leave_to_us)
    with elsewhere.connect() as connection:
        event.listen(
            connection, "before_cursor_execute", lambda *given: said.append(given[2].upper())
        )
        for listener in engine.dispatch.begin:
            listener(connection)
    if not any(
        each.split()[:2] in (["BEGIN", "IMMEDIATE"], ["BEGIN", "EXCLUSIVE"]) for each in said
    ):
        raise SqliteBeginError(
            f"transactions of {engine.url.render_as_string()!r} do not begin by BEGIN IMMEDIATE: "
            f"{_INSTALL}"
        )


def must_not_begin_by_itself(connection: Any) -> None:
    """Raise SqliteBeginError for a connection of Python's driver that begins by itself."""
    if connection.isolation_level is not None:
        raise SqliteBeginError(
            f"Python's driver for SQLite begins transactions by itself here, too late: {_INSTALL}"
        )


# One database


def same_database(one: sa.Engine, other: sa.Engine) -> bool:
    """Tell whether two engines are of one database, as far as their URLs say."""
    return one is other or one.pool is other.pool or place_of(one.url) == place_of(other.url)


def place_of(url: sa.URL) -> tuple[object, ...]:
    """Return what two URLs of one database have in common, whatever their drivers."""
    kind = url.get_backend_name()
    if kind != "sqlite":
        return kind, url.host or "", url.port or _PORT, url.database
    return kind, os.path.realpath(str(url.database).removeprefix("file:").partition("?")[0])
