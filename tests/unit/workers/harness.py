"""A scene for some components: a bus that records all it carries, a store, and a way to let days pass."""

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


class Scene:
    """A running bus and what was published on it. Another one on the same database is another process."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.bus = InMemoryEventBus()
        self.events: list[Event[Any]] = []
        self.bus.subscribe("#", self.events.append, name="scene")

    async def say(self, *events: Event[Any]) -> None:
        """Publish these and wait for all that follows from them."""
        for event in events:
            await self.bus.publish(event)
        await self.bus.join()

    async def close(self, day: date, **closes: float) -> None:
        """A day's closes are kept and told."""
        await self.store.prices.add(day, closes)
        await self.say(MarketClosedEvent.create(day=day, closes=closes))

    async def market(self, **paths: Sequence[float]) -> None:
        """Let days pass, one for each price; from a Monday on, weekends are trading days too."""
        for day, closes in days(**paths):
            await self.close(day, **closes)

    async def keep(self, **paths: Sequence[float]) -> None:
        """The same prices, in the database only: nobody is told."""
        for day, closes in days(**paths):
            await self.store.prices.add(day, closes)

    async def announce(self, kind: type[Event[Any]], day: date = MONDAY, **payload: Any) -> None:
        """As its producer does it: told and kept."""
        announcements: Announcements[Any] = Announcements(self.store.documents, kind)
        await announcements.announce(self.bus, day, **payload)
        await self.bus.join()

    async def rests_on(self) -> dict[str, str]:
        """What a step that begins now rests on."""
        told = [await Announcements(self.store.documents, kind).ids() for kind in ANNOUNCED]
        return dict(pair for each in told for pair in each.items())

    async def until(self, kind: type[E], times: int = 1) -> None:
        """Wait for what a task of its own publishes, which `join` does not wait for."""
        async with asyncio.timeout(40):
            while len(self.heard(kind)) < times:  # noqa: ASYNC110  # heard in a thread
                await asyncio.sleep(0.001)

    def heard(self, kind: type[E]) -> list[E]:
        """Events of this class, in order."""
        return [event for event in self.events if isinstance(event, kind)]

    def last(self, kind: type[E]) -> Any:
        """The payload of the last event of this class."""
        return self.heard(kind)[-1].payload


def days(**paths: Sequence[float]) -> Iterator[tuple[date, dict[str, float]]]:
    """Days and their closes."""
    for index, prices in enumerate(zip(*paths.values(), strict=True)):
        yield MONDAY + timedelta(index), dict(zip(paths, prices, strict=True))


def policy(**changes: Any) -> dict[str, Any]:
    """A policy's fields."""
    return {
        "risk_mode": RiskMode.NORMAL,
        "allowed_strategies": ["momentum", "core"],
        "global_min_confidence": 0.7,
        "max_risk_per_trade": 0.1,
        "max_positions": 2,
    } | changes


def order(symbol: str = "A", side: Side = Side.BUY, *, day: date = MONDAY, **changes: Any) -> Order:
    """A wish to trade a hundred of a symbol at 10."""
    fields = {"size": 100, "price": 10.0, "share": 0.1, "confidence": 0.7}
    names = {"strategy_id": "momentum", "model": "XGBoost v1"}
    return Order(order_id=order_id(day, symbol), symbol=symbol, side=side, **(fields | names | changes))


def trade(
    symbol: str = "A", side: Side = Side.BUY, size: int = 100, price: float = 10.0, *, day: date = MONDAY, **more: Any
) -> Trade:
    """A trade that somebody enters."""
    fields = {"strategy_id": "momentum", "model": "XGBoost v1", "pnl_cents": None} | more
    return Trade(order_id(day, symbol), day, symbol, side, size, price, **fields)
