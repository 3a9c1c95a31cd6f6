"""Harness for components: a bus that records all it carries, a store, and days of prices."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar

from qt_events import (
    Event,
    HealthStatusChangedEvent,
    InMemoryEventBus,
    ModelPromotedEvent,
    OpportunitiesUpdatedEvent,
    PolicyUpdatedEvent,
    RiskMode,
    Side,
    StrategyPromotedEvent,
)
from workers.events import MarketClosedEvent, Order, order_id
from workers.store import Store, Trade
from workers.system.announcements import Announcements

E = TypeVar("E", bound=Event[Any])

MONDAY = date(2024, 1, 1)
ANNOUNCED: tuple[type[Event[Any]], ...] = (
    PolicyUpdatedEvent,
    StrategyPromotedEvent,
    ModelPromotedEvent,
    OpportunitiesUpdatedEvent,
    HealthStatusChangedEvent,
)


class Harness:
    """A running bus and the events published on it.

    A second one on the same database stands for another process.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bus = InMemoryEventBus()
        self.events: list[Event[Any]] = []
        self.bus.subscribe("#", self.events.append, name="harness")

    async def publish(self, *events: Event[Any]) -> None:
        """Publish events one by one, and wait for all that follows from each."""
        for event in events:
            await self.bus.publish(event)
        await self.bus.join()

    async def close_day(self, day: date, **closes: float) -> None:
        """Store a day's closes and publish them."""
        await self.store.prices.add(day, closes)
        await self.publish(MarketClosedEvent.create(day=day, closes=closes))

    async def trade_days(self, **paths: Sequence[float]) -> None:
        """Close a day for each price, from a Monday on. Weekends are trading days too."""
        for day, closes in days(**paths):
            await self.close_day(day, **closes)

    async def store_prices(self, **paths: Sequence[float]) -> None:
        """Store the same days without publishing them."""
        for day, closes in days(**paths):
            await self.store.prices.add(day, closes)

    async def announce(self, kind: type[Event[Any]], day: date = MONDAY, **payload: Any) -> None:
        """Publish and store an announcement, as its producer does."""
        announcements: Announcements[Any] = Announcements(self.store.documents, kind)
        await announcements.announce(self.bus, day, **payload)
        await self.bus.join()

    async def rests_on(self) -> dict[str, str]:
        """Return the announcements that a step would rest on now."""
        ids = [await Announcements(self.store.documents, kind).ids() for kind in ANNOUNCED]
        return dict(pair for each in ids for pair in each.items())

    async def wait_for(self, kind: type[E], times: int = 1) -> None:
        """Wait for events that a task of its own publishes: `join` does not wait for them."""
        async with asyncio.timeout(40):
            while len(self.published(kind)) < times:  # noqa: ASYNC110  # appended by a thread
                await asyncio.sleep(0.001)

    def published(self, kind: type[E]) -> list[E]:
        """Return the events of this class, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def last_payload(self, kind: type[E]) -> Any:
        """Return the payload of the last event of this class."""
        return self.published(kind)[-1].payload


def days(**paths: Sequence[float]) -> Iterator[tuple[date, dict[str, float]]]:
    """Yield days and their closes."""
    for index, prices in enumerate(zip(*paths.values(), strict=True)):
        yield MONDAY + timedelta(index), dict(zip(paths, prices, strict=True))


def policy(**changes: Any) -> dict[str, Any]:
    """Return the fields of a policy."""
    return {
        "risk_mode": RiskMode.NORMAL,
        "allowed_strategies": ["momentum", "core"],
        "global_min_confidence": 0.7,
        "max_risk_per_trade": 0.1,
        "max_positions": 2,
    } | changes


def order(symbol: str = "A", side: Side = Side.BUY, *, day: date = MONDAY, **changes: Any) -> Order:
    """Return an order for a hundred units of a symbol at 10."""
    fields = {"size": 100, "price": 10.0, "share": 0.1, "confidence": 0.7}
    names = {"strategy_id": "momentum", "model": "XGBoost v1"}
    return Order(
        order_id=order_id(day, symbol), symbol=symbol, side=side, **(fields | names | changes)
    )


def trade(
    symbol: str = "A",
    side: Side = Side.BUY,
    size: int = 100,
    price: float = 10.0,
    *,
    day: date = MONDAY,
    **more: Any,
) -> Trade:
    """Return a trade of a hundred units of a symbol at 10."""
    fields = {"strategy_id": "momentum", "model": "XGBoost v1", "pnl_cents": None} | more
    return Trade(order_id(day, symbol), day, symbol, side, size, price, **fields)
