"""All components and their feed on the bus of `qt-events rerun`, with an empty store."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from qt_events import Event, EventBus
from workers.events import (
    ANALYZED,
    AnalyzedEvent,
    MarketClosedEvent,
    TradingOpenedEvent,
    with_fixed_id,
)
from workers.replay.feed import MarketFeed
from workers.store import Store
from workers.system.assembly import build


@contextmanager
def subscribe(bus: EventBus) -> Iterator[None]:
    """Subscribe the trading system to a bus. Its store is deleted at the end."""
    with TemporaryDirectory(prefix="qt-events-rerun-") as folder:
        store = Store(f"sqlite:///{folder}/store.db")
        try:
            build(bus, store)
            bus.use(RerunFeed(bus, store.prices))
            yield
        finally:
            store.dispose()


class RerunFeed(MarketFeed):
    """The market feed, for closes that a history brings.

    It keeps a day's prices before the components hear of them, and opens trading when the last
    analyst has reported.
    """

    async def around_publish(
        self, event: Event[Any], call_next: Callable[[Event[Any]], Awaitable[None]]
    ) -> None:
        if isinstance(event, MarketClosedEvent):
            day, closes = event.payload.day, event.payload.closes
            self._closed, self._day, self._missing = event, day, set(ANALYZED.values())
            await self._prices.add(day, closes)
        await call_next(event)

    async def on_market_analyzed(self, event: AnalyzedEvent) -> None:
        was_waiting = bool(self._missing)
        await super().on_market_analyzed(event)
        if was_waiting and not self._missing:
            opened = TradingOpenedEvent.create(day=self._day, rests_on=self._rests_on)
            opened = with_fixed_id(opened, self._day)
            await self.bus.publish(opened.caused_by(self._closed))
