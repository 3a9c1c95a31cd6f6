"""RecordedPast: what a history gives to a new subscription that begins with old events."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from qt_events.delivery.redelivering import Redelivers
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.history.filters import EventFilter
from qt_events.history.recorder import Recorder
from qt_events.history.store import Bookmark, Store

_WHAT = "events for a new subscription"  # in the log, while the store cannot be used


class RecordedPast:
    """See RecordedEvents. `subscription` is that of the recorder on the bus.

    While the store cannot be used, each call waits for it.
    """

    def __init__(
        self, store: Store, recorder: Recorder, bus: Redelivers, subscription: str
    ) -> None:
        self._store, self._recorder = store, recorder
        self._bus, self._subscription = bus, subscription

    async def catch_up(self) -> None:
        """See PastEvents: a mark goes through the recorder's queue."""
        await self._recorder.pass_mark(self._send)

    async def catch_up_with(self, recorders: Callable[[], int]) -> frozenset[str]:
        """See RecordedEvents. Marks are sent until one has come to each recorder."""
        passed = set[str]()
        while not passed or len(passed) < recorders():
            passed.add(await self._recorder.pass_mark(self._send))
        return frozenset(passed)

    async def _send(self, mark: Event[Any]) -> None:
        await self._bus.redeliver(mark, self._subscription, replay_id="mark")

    async def page(self, after: int, since: datetime | None) -> Sequence[tuple[int, RawEvent]]:
        """See PastEvents."""
        read = partial(self._store.page, EventFilter(since=since), after=after)
        found = await self._recorder.kept(read, _WHAT)
        return [(each.sequence, each.event) for each in found]

    async def last(self) -> int:
        """See RecordedEvents."""
        read = partial(self._store.page, limit=1, newest_first=True)
        newest = await self._recorder.kept(read, _WHAT)
        return newest[0].sequence if newest else 0

    async def places(self, events: Sequence[RawEvent]) -> Sequence[int]:
        """See RecordedEvents."""
        return await self._recorder.kept(lambda: [self._place(each) for each in events], _WHAT)

    def _place(self, event: RawEvent) -> int:
        found = self._store.page(EventFilter(id=event.id, source=event.source), limit=1)
        return found[0].sequence if found else 0

    async def progress(self, key: str) -> tuple[int, str] | None:
        """See RecordedEvents."""
        kept = await self._recorder.kept(partial(self._store.bookmark, key), _WHAT)
        return None if kept is None else (kept.sequence, kept.request)

    async def keep_progress(self, key: str, subscription: str, place: int, text: str) -> None:
        """See RecordedEvents."""
        bookmark = Bookmark(key, subscription, text, place, datetime.now(UTC))
        await self._recorder.kept(partial(self._store.keep_bookmark, bookmark), _WHAT)
