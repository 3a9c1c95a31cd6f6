"""Outbox: events that are added in the transaction of the rows they are about."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, overload

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_scoped_session

from qt_events.bus import EventBus
from qt_events.databases.urls import shown
from qt_events.delivery.forwarding import Forwards
from qt_events.errors import NotSupportedError
from qt_events.events.current import checked_event
from qt_events.events.event import Event
from qt_events.limits import positive_int, positive_seconds, seconds_up_to
from qt_events.outbox.contents import (
    KeptEvent,
    OutboxStats,
    State,
    kept_in,
    let_go_again,
    stats_of,
)
from qt_events.outbox.engines import (
    engine_of,
    must_begin_immediately,
    place_of,
    sync_engine_of,
)
from qt_events.outbox.joining import Adding, Joining
from qt_events.outbox.relaying.relay import Relay
from qt_events.outbox.relaying.relay_thread import RelayThread
from qt_events.outbox.relaying.waking import wake
from qt_events.outbox.rows import Key, row_of
from qt_events.outbox.schema import make_tables, upgrade
from qt_events.outbox.transactions import Transactions, run

E = TypeVar("E", bound=Event[Any])
T = TypeVar("T")

#: Seconds, ten years.
LONGEST_KEPT = 315_360_000.0


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
        self._is_own = isinstance(engine, str)
        self._sync_engine = sync_engine_of(self.engine)
        self._key = key
        self._joining = Joining(self._sync_engine, notify=notify)
        self._place = place_of(self._sync_engine.url)
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
        if adding is None:
            self._joining.write(where, row)
        wake(self._place)
        return event if adding is None else adding

    def _check_engine(self) -> None:
        if not self._is_checked:
            must_begin_immediately(self._sync_engine)
            self._is_checked = True

    # Relay

    def relay(
        self, bus: EventBus, *, poll: float = 0.5, keep: float = 86_400.0, batch: int = 1000
    ) -> Relay:
        """Return a relay: `async with outbox.relay(bus):` sends what is committed, meanwhile.

        Any number may run at once, in any processes. Events of one key are sent one after the other
        in the order of their adding, and those of a transaction that began after another one had
        committed come later; keys are sent side by side. Each is confirmed before its row is marked
        as sent. A process that is killed between the two sends the event again, with the same id.

        Args:
            bus: where to.
            poll: seconds between two looks, where nothing wakes the relay: an event that another
                process has added on SQLite waits for so long.
            keep: seconds for which rows are kept after they were sent.
            batch: most events of one turn.

        Raises:
            NotSupportedError: the bus takes no events that were kept as bytes.
            InvalidOptionError: a number is out of its range.
        """
        if not isinstance(bus, Forwards):
            raise NotSupportedError(
                f"{type(bus).__name__} has no forward(): derive it from qt_events.backend.Hosted"
            )
        return Relay(
            self.engine,
            self.open,
            bus,
            poll=positive_seconds("poll", poll),
            keep=seconds_up_to("keep", keep, LONGEST_KEPT),
            batch=positive_int("batch", batch),
        )

    def relay_thread(
        self, bus: EventBus, *, poll: float = 0.5, keep: float = 86_400.0, batch: int = 1000
    ) -> RelayThread:
        """Return a relay for a program without an event loop: `with outbox.relay_thread(bus):`.

        Start it in the process that is to relay, after any fork. Arguments and errors: `relay`.
        """
        return RelayThread(self.relay(bus, poll=poll, keep=keep, batch=batch))

    # Look

    async def events(self, *states: State | str, limit: int = 1000) -> list[KeptEvent]:
        """Return the first events in these states, in the order of their adding.

        Without a state, those that wait and those that are dead.

        Raises:
            OutboxError: the database cannot be used now, or has no such tables.
        """
        wanted = [*map(State, states)] or [State.WAITING, State.DEAD]
        return await self._run(partial(kept_in, wanted, limit))

    async def stats(self) -> OutboxStats:
        """Return how much waits, and for how long; errors: see `events`."""
        return await self._run(stats_of)

    async def retry(self, *ids: str) -> int:
        """Have dead events sent again, all if no id is given, and return their number.

        Raises:
            UnknownRowError: an id is that of no dead event; nothing has changed then.
        """
        number = await self._run(partial(let_go_again, ids))
        wake(self._place)
        return number

    # Open

    async def open(self) -> None:
        """Make the tables if there are none, or say now what is wrong with engine or database.

        Raises:
            SqliteBeginError: the engine does not begin transactions by BEGIN IMMEDIATE.
            OutboxSchemaError: the tables are those of another release.
            OutboxUnavailableError: the database cannot be used now.
        """
        self._check_engine()
        await self._run(make_tables)

    def open_sync(self) -> None:
        """Do what `open` does, for plain threads. An AsyncEngine needs `open`."""
        self._check_engine()
        run(self._sync_engine, make_tables)

    async def upgrade(self) -> None:
        """Make the tables, or bring those of an older release up to date; stop the relays first."""
        await self._run(upgrade)

    def close(self) -> None:
        """Close idle connections of the engine that was made of a URL; yours is left to you."""
        if self._is_own:
            self._sync_engine.dispose()

    async def _run(self, do: Callable[[sa.Connection], T]) -> T:
        transactions = Transactions(self.engine)
        try:
            return await transactions.run(do)
        finally:
            transactions.close()
