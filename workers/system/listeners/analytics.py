"""Analytics: profits of strategies, models and symbols, and their promotions."""

from typing import Any, Literal

from qt_events import Event, EventBus, ModelPromotedEvent, StrategyPromotedEvent, TradeExecutedEvent
from workers.events import as_json
from workers.store import Store
from workers.system.trades import trade_of

BOOK = "analytics"
Question = Literal["strategy", "model", "symbol"]
COLUMNS: dict[Question, Literal["strategy_id", "model", "symbol"]] = {
    "strategy": "strategy_id",
    "model": "model",
    "symbol": "symbol",
}


class Analytics:
    """Keeps trades and promotions in the database, to be asked from any process at any time."""

    publishes = ()

    def __init__(self, bus: EventBus, store: Store) -> None:
        self._store = store
        bus.subscribe(
            TradeExecutedEvent, self.on_trade_executed, name="analytics.on_trade_executed"
        )
        bus.subscribe(StrategyPromotedEvent, self.on_promoted, name="analytics.on_promoted")
        bus.subscribe(ModelPromotedEvent, self.on_promoted, name="analytics.on_promoted")

    async def on_trade_executed(self, event: TradeExecutedEvent) -> None:
        await self._store.trades.add(BOOK, trade_of(event))

    async def on_promoted(self, event: Event[Any]) -> None:
        await self._store.documents.add(f"{BOOK}.{event.type}", event.id, as_json(event.payload))


async def profit_by(store: Store, question: Question) -> dict[str, float]:
    """Return profits by strategy, model or symbol in the account's currency, best first."""
    earned = await store.trades.profit(BOOK, COLUMNS[question])
    return {
        name: cents / 100
        for name, cents in sorted(earned.items(), key=lambda item: (-item[1], item[0]))
    }
