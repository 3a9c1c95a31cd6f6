"""Analyst: base class of MSC AI, SG AI, CLM and OppRank."""

from abc import ABC, abstractmethod
from datetime import date
from typing import Any, ClassVar

from qt_events import Event, EventBus
from workers.events import ANALYZED, MarketClosedEvent, with_fixed_id
from workers.market.prices import PriceHistory
from workers.store import Store
from workers.system.announcements import Announcements


class Analyst(ABC):
    """Component that hears each day's close, announces its conclusions, and reports that it is
    done.

    It keeps no state in its process: any worker can handle the next day from the database.
    """

    #: Begins the name of its subscription.
    name: ClassVar[str]
    announces: ClassVar[type[Event[Any]]]

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self.store = bus, store
        self.announcements: Announcements[Any] = Announcements(store.documents, self.announces)
        self._market = store.market
        bus.subscribe(
            MarketClosedEvent, self.on_market_closed, name=f"{self.name}.on_market_closed"
        )

    async def on_market_closed(self, event: MarketClosedEvent) -> None:
        day = event.payload.day
        history = await self._market.at(day)
        if history is not None:
            await self.analyze(day, history)
            await self._done(day)

    @abstractmethod
    async def analyze(self, day: date, history: PriceHistory) -> None:
        """Announce what has changed. Called again for an unfinished day, it announces the same."""

    async def announce(self, day: date, **payload: Any) -> bool:
        """Publish an announcement unless its day is past, and return True if it was published."""
        if await self._market.is_past(day):
            return False
        await self.announcements.announce(self.bus, day, **payload)
        return True

    async def _done(self, day: date) -> None:
        done = ANALYZED[self.announces].create(day=day, rests_on=await self.announcements.ids())
        await self.bus.publish(with_fixed_id(done, day))
