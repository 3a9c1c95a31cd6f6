"""History: events and fates of a bus, kept and asked for."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from qt_events.bus import EventBus
from qt_events.dead_letters.scan import OnProgress
from qt_events.delivery.redelivering import Redelivers
from qt_events.delivery.subscribing.starting import RECORDER, RemembersEvents
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.telling.fate_telling import TellsFates
from qt_events.delivery.telling.fates import Fate
from qt_events.history.asking import find, pages, trace
from qt_events.history.conversations.trace import Conversation
from qt_events.history.errors import MissingExtraError
from qt_events.history.filters import EVERY_EVENT, EventFilter
from qt_events.history.past import RecordedPast
from qt_events.history.recorder import Recorder
from qt_events.history.replaying.replay import Replayed, replay
from qt_events.history.replaying.replay_request import ReplayRequest
from qt_events.history.store import PAGE, Pruned, Store, StoredEvent, StoreStats
from qt_events.history.stores.in_memory_store import InMemoryStore
from qt_events.history.where import Where

#: Names of the subscriptions that record events, and their fates.
SUBSCRIPTION, FATES_SUBSCRIPTION = RECORDER, "history.fates"
#: Events of one transaction, and seconds that the first of them waits for others.
BATCH, WITHIN = 500, 0.05


class History:
    """A history in a database, or in memory for tests and the in-memory bus.

    Args:
        url: `sqlite:///events.db` or `postgresql://user:password@host/name`. Nothing is opened
            before it is used. Without a URL it is gone with its process.
        must_exist: refuse a database in which nothing was ever recorded.

    Raises:
        InvalidHistoryUrlError: the URL has another form.
    """

    def __init__(self, url: str | None = None, *, must_exist: bool = False) -> None:
        self.store: Store = InMemoryStore() if url is None else _sql_store(url, must_exist)
        self.recorder = Recorder(self.store)

    def __repr__(self) -> str:
        return f"<History in {self.store}>"

    def attach(self, bus: EventBus) -> Subscription:
        """Record all events of a bus from now on, and their fates if the bus tells any.

        Both are subscriptions like any other. On RabbitMQ their queues are durable, and many
        processes may serve them. An event is acknowledged when it is committed.
        """
        if isinstance(bus, TellsFates):
            bus.listen_to_fates(self.recorder.record_fates, name=FATES_SUBSCRIPTION)
        recording = bus.subscribe(
            "#", self.recorder.record, name=SUBSCRIPTION, raw=True, batch=BATCH, within=WITHIN
        )
        # That an event was recorded says its row.
        recording.tells_fates = False
        if isinstance(bus, RemembersEvents) and isinstance(bus, Redelivers):
            bus.remember(RecordedPast(self.store, self.recorder, bus, SUBSCRIPTION))
        return recording

    async def open(self) -> None:
        """Make the tables if there are none, or say now what is wrong with the database."""
        await self.count(EventFilter(id=""))

    async def events(
        self,
        which: EventFilter = EVERY_EVENT,
        *,
        where: str | Sequence[str] = (),
        after: int = 0,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> AsyncIterator[StoredEvent]:
        """Return events in the order of their recording, any number of them, a page at a time.

        Args:
            where: conditions on the payload, such as "size > 100"; see qt_events.history.where.
            after: sequence behind which to begin: that of the last one of an earlier call.
            limit: most events.
            newest_first: go from the newest to the oldest; `after` then means the next older one.

        Raises:
            InvalidWhereError: `where` has another form.
        """
        conditions = Where.parse(*([where] if isinstance(where, str) else where))
        found = pages(
            self.store, which, conditions, after=after, limit=limit, newest_first=newest_first
        )
        while (page := await asyncio.to_thread(next, found, None)) is not None:
            for each in page:
                yield each

    async def find(self, id: str, source: str | None = None) -> StoredEvent:
        """Return the event with an id, or with the only id that begins so.

        Raises:
            UnknownEventIdError: there is none.
            AmbiguousEventIdError: there are several, of several sources or with this beginning.
        """
        return await asyncio.to_thread(find, self.store, id, source)

    async def trace(self, id: str, source: str | None = None) -> Conversation:
        """Return the whole conversation of an event by causation; see `find` for the id.

        The id may be a correlation id, too, whose event is not kept.
        """
        return await asyncio.to_thread(trace, self.store, id, source)

    async def fates(self, id: str, source: str | None = None) -> list[Fate]:
        """Return all fates told of an event with this id, in the order of their telling."""
        told = await asyncio.to_thread(self.store.fates_of, [id])
        return [each for each in told if source in {None, each.event_source}]

    async def replay(
        self,
        bus: EventBus,
        subscription: str,
        which: EventFilter = EVERY_EVENT,
        *,
        where: str | Sequence[str] = (),
        rate: float | None = None,
        replay_id: str | None = None,
        on_progress: OnProgress | None = None,
        even_unheard: bool = False,
        dry_run: bool = False,
    ) -> Replayed:
        """Send events to one subscription again, in the order of their recording.

        They arrive as they were, marked: `event.replayed` is true. They are not recorded again.
        Called again with the same `replay_id` it goes on behind its bookmark, and sends at most
        500 events twice. One that is finished sends nothing.

        Args:
            bus, subscription: its name, and where it is; of RabbitMQ any process's bus.
            which: events, of those recorded before this call. To go on, leave it out.
            where: conditions on the payload, such as "size > 100".
            rate: most events a second.
            replay_id: name of the replay; a new one is made up, and returned.
            on_progress: called with half a batch; its total is 0 if `where` is given.
            even_unheard, dry_run: send also what it does not hear; send nothing, only count.

        Raises:
            UnknownSubscriptionError: nobody has made such a subscription, or it was deleted.
            NotSupportedError, UnheardPatternError, InvalidOptionError, InvalidWhereError: it
                cannot be replayed so; the text says why.
            ReplayTakenOverError, BackpressureError, BrokerError: another call may go on with it.
        """
        conditions = (where,) if isinstance(where, str) else tuple(where)
        request = ReplayRequest(subscription, which, conditions, even_unheard)
        return await replay(
            self.store,
            bus,
            request,
            rate=rate,
            replay_id=replay_id,
            on_progress=on_progress,
            dry_run=dry_run,
        )

    async def count(self, which: EventFilter) -> int:
        """Return the number of events."""
        return await asyncio.to_thread(self.store.count, which)

    async def prune(self, which: EventFilter, limit: int = PAGE) -> Pruned:
        """Remove at most `limit` events and their fates, in one transaction; see Store.prune."""
        return await asyncio.to_thread(self.store.prune, which, limit)

    async def stats(self) -> StoreStats:
        """Return sizes and numbers."""
        return await asyncio.to_thread(self.store.stats)

    async def close(self) -> None:
        """Close its connections. It may be used again."""
        await asyncio.to_thread(self.store.close)


def _sql_store(url: str, must_exist: bool) -> Store:  # noqa: FBT001
    # SQLAlchemy belongs to the extra, and takes a third of a second.
    try:
        from qt_events.history.stores.sql_store import SqlStore  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(
            f"a history in a database needs {error.name}: pip install 'qt-events[history]'"
        ) from None
    return SqlStore(url, must_exist=must_exist)
