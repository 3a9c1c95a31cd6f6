"""Performance Tracker: books of its own, made only of the trades it heard of, and the day's report."""

from collections.abc import Mapping

from qt_events import EventBus, TradeExecutedEvent
from workers.events import MarketClosedEvent, PerformanceReportedEvent, TradingClosedEvent
from workers.portfolio import START_CENTS, Fill, Portfolio


class PerformanceTracker:
    """Publishes `performance.reported` at the end of each day."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.portfolio = Portfolio()
        self.equity = START_CENTS  #: cents, at the last report
        self.peak = START_CENTS  #: cents
        self.largest_drawdown = 0.0  #: as a share of the peak before: 0 to -1
        self._closes: Mapping[str, float] = {}
        bus.subscribe(MarketClosedEvent, self.on_market_closed)
        bus.subscribe(TradeExecutedEvent, self.on_trade_executed)
        bus.subscribe(TradingClosedEvent, self.on_trading_closed)

    @property
    def trades(self) -> int:
        """How many there were."""
        return len(self.portfolio.fills)

    @property
    def drawdown(self) -> float:
        """How far equity is below its highest, as a share of that: 0 to -1."""
        return round(self.equity / self.peak - 1, 4)

    async def on_market_closed(self, event: MarketClosedEvent) -> None:
        self._closes = event.payload.closes

    async def on_trade_executed(self, event: TradeExecutedEvent) -> None:
        trade = event.payload
        self.portfolio.enter(Fill(trade.order_id, trade.symbol, trade.side, int(trade.size), trade.price))

    async def on_trading_closed(self, event: TradingClosedEvent) -> None:
        self.equity = self.portfolio.equity(self._closes)
        self.peak = max(self.peak, self.equity)
        self.largest_drawdown = min(self.largest_drawdown, self.drawdown)
        report = PerformanceReportedEvent.create(
            day=event.payload.day, equity=self.equity / 100, drawdown=self.drawdown, trades=self.trades
        )
        await self.bus.publish(report)
