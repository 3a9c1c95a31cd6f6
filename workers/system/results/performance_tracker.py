"""Performance Tracker: books of its own, made only of the trades it heard of, and the day's report."""

from datetime import date
from typing import Any

from qt_events import EventBus, TradeExecutedEvent
from workers.events import PerformanceReportedEvent, TradingClosedEvent, once, plain
from workers.store import Store
from workers.system.books import Books
from workers.system.portfolio import START_CENTS
from workers.system.trades import trade_of

BOOK = KIND = "performance_tracker"  # its books, and the kind of its documents
CLOSING, RESULT = "closing", "result"  # their keys: the day that ends, and what came of all days so far


class PerformanceTracker:
    """Publishes `performance.reported` when it has heard of all trades of a day, whichever it hears of last."""

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self.books = Books(store.trades, BOOK)
        self._market = store.market
        # One subscription, so that one worker alone hears of a day's end after its trades.
        bus.subscribe(TradeExecutedEvent, self.on_trading)
        bus.subscribe(TradingClosedEvent, self.on_trading)

    async def on_trading(self, event: TradeExecutedEvent | TradingClosedEvent) -> None:
        """Keep it; then look whether that was all. Of two that look at once in two workers, at least one sees all."""
        if isinstance(event, TradeExecutedEvent):
            trade = trade_of(event)
            await self.books.enter(trade)
            day, closing = trade.day, await self._documents.get(KIND, CLOSING)
        else:
            day, closing = event.payload.day, plain(event.payload)
            if await self._market.is_past(day):
                return
            await self._documents.advance(KIND, CLOSING, closing)
        if closing and closing["day"] == day.isoformat():
            await self._maybe_report(day, closing["trades"])

    async def _maybe_report(self, day: date, trades: int) -> None:
        """If these are all trades of the day."""
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
        await self.bus.publish(once(report, day))


def next_result(last: dict[str, Any] | None, equity: int) -> dict[str, Any]:
    """The highest equity (cents), how far this one is below it, and the farthest so far: shares, 0 to -1."""
    peak = max(last["peak"] if last else START_CENTS, equity)
    drawdown = round(equity / peak - 1, 4)
    largest = min(last["largest_drawdown"] if last else 0.0, drawdown)
    return {"peak": peak, "drawdown": drawdown, "largest_drawdown": largest}
