"""RecordedPast: what a history gives to a new subscription that begins with old events."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from qt_events.delivery.redelivering import Redelivers
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.history.filters import EventFilter
from qt_events.history.recorder import Recorder
from qt_events.history.store import Store


class RecordedPast:
    """See PastEvents. `subscription` is that of the recorder on the bus."""

    def __init__(
        self, store: Store, recorder: Recorder, bus: Redelivers, subscription: str
    ) -> None:
        self._store, self._recorder = store, recorder
        self._bus, self._subscription = bus, subscription

    async def catch_up(self) -> None:
        """See PastEvents: a mark goes through the recorder's queue."""
        await self._recorder.pass_mark(self._send)

    async def _send(self, mark: Event[Any]) -> None:
        await self._bus.redeliver(mark, self._subscription, replay_id="mark")

    async def page(self, after: int, since: datetime | None) -> Sequence[tuple[int, RawEvent]]:
        """See PastEvents. While the store cannot be used, it waits for it."""
        read = partial(self._store.page, EventFilter(since=since), after=after)
        found = await self._recorder.kept(read, "events for a new subscription")
        return [(each.sequence, each.event) for each in found]
