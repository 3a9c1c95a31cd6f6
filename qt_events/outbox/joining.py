"""Joining: one row written in a transaction of the user's own, whatever it was begun with."""

import sqlite3
import sys
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session
from sqlalchemy.orm import Session, scoped_session

from qt_events.databases.urls import shown
from qt_events.events.event import Event
from qt_events.outbox.engines import must_not_begin_by_itself, same_database
from qt_events.outbox.errors import (
    NotAwaitedError,
    NoTransactionError,
    OutboxSchemaError,
    WrongEngineError,
)
from qt_events.outbox.rows import CHANNEL, OutboxRow, Row, insertion
from qt_events.outbox.transactions import is_about_tables, no_tables

E = TypeVar("E", bound=Event[Any])

_BEGIN = {
    Session: "with session.begin():",
    AsyncSession: "async with session.begin():",
    sa.Connection: "with connection.begin():",
    AsyncConnection: "async with connection.begin():",
}


class Joining:
    """Writes rows in transactions of one database."""

    def __init__(self, engine: sa.Engine, *, notify: bool) -> None:
        self._engine = engine
        self._notify = notify and engine.dialect.name == "postgresql"
        self._insert = insertion(engine.dialect, notify=self._notify)
        self._state = _notifying_state() if self._notify else None

    def write(self, where: object, row: Row) -> None:
        """Write the row at once. See `Outbox.add` for errors.

        Raises:
            WrongEngineError: `where` is nothing that can be written to at once.
        """
        if isinstance(where, scoped_session):
            where = where()
        if isinstance(where, Session):
            self._must_be_begun(where, where.in_transaction())
            self._must_be_ours(where.get_bind(sa.inspect(OutboxRow)).engine)
            self._insert_by(where.connection({"mapper": sa.inspect(OutboxRow)}), row)
        elif isinstance(where, sa.Connection):
            self._must_be_begun(where, where.in_transaction())
            self._must_be_ours(where.engine)
            self._insert_by(where, row)
        else:
            _write_by_driver(where, row, self._engine, notify=self._notify)

    def join(self, where: object, row: Row, event: E) -> "Adding[E] | None":
        """Join the transaction of an async session or connection; None if it is none of those."""
        if isinstance(where, async_scoped_session):
            where = where()
        if isinstance(where, AsyncSession):
            self._must_be_begun(where, where.in_transaction())
            self._must_be_ours(where.get_bind(sa.inspect(OutboxRow)).engine)
            made = OutboxRow(row)
            if self._state is not None:
                made.state = self._state  # type: ignore[attr-defined]
            where.add(made)
            return Adding(event, where.flush)
        if isinstance(where, AsyncConnection):
            self._must_be_begun(where, where.in_transaction())
            sync = where.sync_connection
            assert sync is not None  # noqa: S101
            self._must_be_ours(sync.engine)
            adding = Adding(event, partial(where.run_sync, partial(self._insert_by, row=row)))
            _must_be_awaited(sync, adding)
            return adding
        return None

    def _must_be_begun(self, where: Any, begun: bool) -> None:  # noqa: FBT001
        if begun:
            return
        kind = next(kind for kind in _BEGIN if isinstance(where, kind))
        raise NoTransactionError(
            f"this {kind.__name__} is in no transaction, so nothing would tie the event to your "
            f"rows: add it within `{_BEGIN[kind]}`, or after your first statement"
        )

    def _must_be_ours(self, engine: sa.Engine) -> None:
        if engine is not self._engine and not same_database(engine, self._engine):
            raise WrongEngineError(
                f"this transaction is one of {shown(engine.url)}, the outbox is in "
                f"{shown(self._engine.url)}: give Outbox() the engine that your rows are written by"
            )

    def _insert_by(self, connection: sa.Connection, row: Row) -> None:
        driver: Any = connection.connection.driver_connection
        if connection.dialect.name == "sqlite":
            must_not_begin_by_itself(driver)
            is_begun = driver.in_transaction
        else:
            is_begun = (
                getattr(connection.connection.dbapi_connection, "autocommit", False) is not True
            )
        if not is_begun:
            raise NoTransactionError(
                "this connection commits each statement by itself (AUTOCOMMIT): add events in a "
                "transaction, together with your rows"
            )
        try:
            connection.exec_driver_sql(self._insert, row).close()
        except sa.exc.DBAPIError as error:
            named = _named(error.orig, self._engine)
            if named is None:
                raise
            raise named from None


def _named(error: BaseException | None, engine: sa.Engine) -> OutboxSchemaError | None:
    """Return our error for tables that are not there; all others are the transaction's own."""
    if error is None or not is_about_tables(error):
        return None
    return no_tables(engine.url, error)


def _notifying_state() -> sa.ColumnElement[int]:
    # An expression among the values of an INSERT: the session may write the row in its own way.
    told = sa.func.pg_notify(CHANNEL, "")
    return sa.func.length(sa.cast(told, sa.Text)) * 0


# Async


class Adding(Generic[E]):
    """Event that was added to an AsyncSession or AsyncConnection; await it to have it written."""

    def __init__(self, event: E, write: Callable[[], Awaitable[object]]) -> None:
        self.event, self._write = event, write
        self.is_awaited = False

    def __await__(self) -> Generator[Any, Any, E]:
        return self._written().__await__()

    async def _written(self) -> E:
        self.is_awaited = True
        await self._write()
        return self.event


_open: WeakKeyDictionary[sa.Connection, list[Adding[Any]]] = WeakKeyDictionary()


def _must_be_awaited(connection: sa.Connection, adding: Adding[Any]) -> None:
    if connection not in _open:
        _open[connection] = []
        event.listen(connection, "commit", _refuse_open)
        event.listen(connection, "rollback", _forget)
    _open[connection].append(adding)


def _refuse_open(connection: sa.Connection) -> None:
    added = _open.get(connection, [])
    forgotten = [each.event for each in added if not each.is_awaited]
    added.clear()
    if forgotten:
        # To SQLAlchemy the transaction is over, whatever is raised here.
        connection.dialect.do_rollback(connection.connection)
        raise NotAwaitedError(
            f"{forgotten[0].type!r} was added without `await`, so it was not written, and its "
            "transaction is not committed: write `await outbox.add(connection, event)`"
        )


def _forget(connection: sa.Connection) -> None:
    _open.get(connection, []).clear()


# Connections of a driver, or of Django


def _write_by_driver(where: Any, row: Row, engine: sa.Engine, *, notify: bool) -> None:
    if isinstance(where, sqlite3.Connection):
        kind, begun, cursor = "sqlite", where.in_transaction, where.cursor
        style = "qmark"
    elif hasattr(where, "in_atomic_block") and hasattr(where, "vendor"):
        kind, begun, cursor, style = where.vendor, where.in_atomic_block, where.cursor, "format"
    elif _is_psycopg(where):
        status = where.info.transaction_status.name
        kind, begun, cursor, style = "postgresql", status == "INTRANS", where.cursor, "format"
    else:
        raise WrongEngineError(
            f"events are added to a Session, AsyncSession, Connection, AsyncConnection, or a "
            f"connection of Django, sqlite3 or psycopg, not to a {type(where).__name__}"
        )
    if kind != engine.dialect.name:
        raise WrongEngineError(
            f"this is a connection to {kind}, the outbox is in {shown(engine.url)}: give Outbox() "
            "an engine for the database that your rows are written to"
        )
    if not begun:
        raise NoTransactionError(
            "this connection is in no transaction, so nothing would tie the event to your rows: "
            "add it within `transaction.atomic()`, or after BEGIN"
        )
    opened = cursor()
    try:
        opened.execute(insertion(style, notify=notify), row)
    except Exception as error:
        # Django's errors are wrappers.
        named = _named(error.__cause__ or error, engine)
        if named is None:
            raise
        raise named from None
    finally:
        opened.close()


def _is_psycopg(where: object) -> bool:
    psycopg = sys.modules.get("psycopg")
    return psycopg is not None and isinstance(where, psycopg.Connection)
