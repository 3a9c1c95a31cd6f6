"""Metrics Logger: logs each trade and keeps it as a row."""

import logging

from qt_events import EventBus, TradeExecutedEvent
from workers.store import Store
from workers.system.trades import trade_of

logger = logging.getLogger(__name__)

BOOK = "metrics_logger"


class MetricsLogger:
    """Hears each trade."""

    publishes = ()

    def __init__(self, bus: EventBus, store: Store) -> None:
        self._trades = store.trades
        bus.subscribe(
            TradeExecutedEvent, self.on_trade_executed, name="metrics_logger.on_trade_executed"
        )

    async def on_trade_executed(self, event: TradeExecutedEvent) -> None:
        trade = trade_of(event)
        if await self._trades.add(BOOK, trade):
            logger.info(
                "trade side=%s symbol=%s size=%d price=%s",
                trade.side,
                trade.symbol,
                trade.size,
                trade.price,
            )
