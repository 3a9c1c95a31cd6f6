"""Trades: from the payload of `trade.executed` to a row of the books."""

from qt_events import TradeExecutedEvent
from workers.events import day_of
from workers.store import Trade
from workers.system.portfolio import cents


def trade_of(event: TradeExecutedEvent) -> Trade:
    """Return the trade that an event reports."""
    told = event.payload
    return Trade(
        order_id=told.order_id,
        day=day_of(told.order_id),
        symbol=told.symbol,
        side=told.side,
        size=int(told.size),
        price=told.price,
        strategy_id=told.strategy_id,
        model=told.model,
        pnl_cents=None if told.pnl is None else cents(told.pnl),
    )
