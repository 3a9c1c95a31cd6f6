"""Outbox: events that are added in the transaction of the rows they are about."""

from typing import Any, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session

from qt_events.databases.urls import shown
from qt_events.events.current import checked_event
from qt_events.events.event import Event
from qt_events.outbox.engines import (
    Transactions,
    engine_of,
    must_begin_immediately,
    run,
    sync_engine_of,
)
from qt_events.outbox.joining import Adding, Joining
from qt_events.outbox.rows import Key, row_of
from qt_events.outbox.schema import make_tables

E = TypeVar("E", bound=Event[Any])


class Outbox:
    """Outbox in a database of yours.

    Args:
        engine: the engine that your rows are written by, an Engine or an AsyncEngine for SQLite or
            PostgreSQL; or the URL of the database, for a program that only relays.
        key: returns the ordering key of an event, a printable text of 1 to 255 bytes. Events of one
            key are sent one after the other. Its correlation id if left out.
        notify: have PostgreSQL wake the relays of other processes at each commit; else they find
            events when they next look.

    Raises:
        InvalidOutboxUrlError: the URL has another form.
        WrongEngineError: it is an engine for another kind of database.
    """

    def __init__(
        self, engine: sa.Engine | AsyncEngine | str, *, key: Key | None = None, notify: bool = True
    ) -> None:
        self.engine = engine_of(engine)
        self._sync_engine = sync_engine_of(self.engine)
        self._key = key
        self._joining = Joining(self._sync_engine, notify=notify)
        self._is_checked = False

    def __repr__(self) -> str:
        return f"<Outbox in {shown(self._sync_engine.url)}>"

    # Add

    @overload
    def add(
        self,
        where: AsyncSession | AsyncConnection | async_scoped_session[Any],
        event: E,
        *,
        key: str | None = None,
    ) -> Adding[E]: ...

    @overload
    def add(self, where: Any, event: E, *, key: str | None = None) -> E: ...

    def add(self, where: Any, event: E, *, key: str | None = None) -> E | Adding[E]:
        """Add an event to the transaction that `where` is in: it is sent if that is committed.

        Inside a handler the event is caused by the handled one, as with `publish`.

        Args:
            where: a Session or Connection, or a connection of Django, sqlite3 or psycopg: the event
                is written at once. An AsyncSession: it is written with your own objects, as
                `session.add()` has it, or at once if you await the result. An AsyncConnection:
                await the result.
            event: the event.
            key: its ordering key, in place of the outbox's `key`.

        Returns:
            The event, with its correlation and causation; of async kinds an awaitable of it.

        Raises:
            NoTransactionError: `where` is in no transaction.
            WrongEngineError: it is of another kind, or of another database.
            SqliteBeginError: its engine does not begin transactions by BEGIN IMMEDIATE.
            OutboxSchemaError: the tables are missing; at the flush, of an AsyncSession.
            InvalidEventError, InvalidPayloadError: it is no event, or one that nobody could read.
        """
        self._check_engine()
        event = checked_event(event)  # type: ignore[assignment]
        row = row_of(event, self._key(event) if key is None and self._key is not None else key)
        adding = self._joining.join(where, row, event)
        if adding is not None:
            return adding
        self._joining.write(where, row)
        return event

    def _check_engine(self) -> None:
        if not self._is_checked:
            must_begin_immediately(self._sync_engine)
            self._is_checked = True

    # Open

    async def open(self) -> None:
        """Make the tables if there are none, or say now what is wrong with engine or database.

        Raises:
            SqliteBeginError: the engine does not begin transactions by BEGIN IMMEDIATE.
            OutboxSchemaError: the tables are those of another release.
            OutboxUnavailableError: the database cannot be used now.
        """
        self._check_engine()
        transactions = Transactions(self.engine)
        try:
            await transactions.run(make_tables)
        finally:
            transactions.close()

    def open_sync(self) -> None:
        """Do what `open` does, for plain threads. An AsyncEngine needs `open`."""
        self._check_engine()
        run(self._sync_engine, make_tables)
