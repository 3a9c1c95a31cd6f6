"""Performance Tracker: reports the day's result, from books of its own."""

from datetime import date
from typing import Any

from qt_events import EventBus, TradeExecutedEvent
from workers.events import PerformanceReportedEvent, TradingClosedEvent, as_json, with_fixed_id
from workers.store import Store
from workers.system.books import Books
from workers.system.portfolio import START_CENTS
from workers.system.trades import trade_of

#: Name of its books, and kind of its documents.
BOOK = KIND = "performance_tracker"
#: Keys of its documents: the day that ends, and the result of all days so far.
CLOSING, RESULT = "closing", "result"


class PerformanceTracker:
    """Publishes `performance.reported` once it has heard all trades of a day and its end."""

    publishes = (PerformanceReportedEvent,)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self.books = Books(store.trades, BOOK)
        self._market = store.market
        # One subscription for both, so that a day's end is heard after its trades.
        bus.subscribe(TradeExecutedEvent, self.on_trading, name="performance_tracker.on_trading")
        bus.subscribe(TradingClosedEvent, self.on_trading, name="performance_tracker.on_trading")

    async def on_trading(self, event: TradeExecutedEvent | TradingClosedEvent) -> None:
        """Keep the event, then report if the day is complete.

        Two workers may check at once: at least one of them sees all trades.
        """
        if isinstance(event, TradeExecutedEvent):
            trade = trade_of(event)
            await self.books.enter(trade)
            day, closing = trade.day, await self._documents.get(KIND, CLOSING)
        else:
            day, closing = event.payload.day, as_json(event.payload)
            if await self._market.is_past(day):
                return
            await self._documents.advance(KIND, CLOSING, closing)
        if closing and closing["day"] == day.isoformat():
            await self._maybe_report(day, closing["trades"])

    async def _maybe_report(self, day: date, trades: int) -> None:
        """Report if `trades` is the number of trades kept for the day."""
        portfolio, today = await self.books.at(day)
        history = await self._market.at(day)
        if len(today) < trades or history is None:
            return
        portfolio.enter_all(today)
        equity = portfolio.equity(history.closes[-1])
        result = next_result(await self._documents.get(KIND, RESULT), equity)
        await self._documents.put(KIND, RESULT, result)
        report = PerformanceReportedEvent.create(
            day=day,
            equity=equity / 100,
            drawdown=result["drawdown"],
            largest_drawdown=result["largest_drawdown"],
            trades=portfolio.trades,
        )
        await self.bus.publish(with_fixed_id(report, day))


def next_result(last: dict[str, Any] | None, equity: int) -> dict[str, Any]:
    """Return peak (cents), drawdown and largest drawdown (shares, 0 to -1) after a day."""
    peak = max(last["peak"] if last else START_CENTS, equity)
    drawdown = round(equity / peak - 1, 4)
    largest = min(last["largest_drawdown"] if last else 0.0, drawdown)
    return {"peak": peak, "drawdown": drawdown, "largest_drawdown": largest}
