"""Trades: from the payload of `trade.executed` to a row of the books."""

from qt_events import TradeExecutedEvent
from workers.events import day_of
from workers.store import Trade
from workers.system.portfolio import cents


def trade_of(event: TradeExecutedEvent) -> Trade:
    """Return the trade that an event reports."""
    executed = event.payload
    return Trade(
        order_id=executed.order_id,
        day=day_of(executed.order_id),
        symbol=executed.symbol,
        side=executed.side,
        size=int(executed.size),
        price=executed.price,
        strategy_id=executed.strategy_id,
        model=executed.model,
        pnl_cents=None if executed.pnl is None else cents(executed.pnl),
    )
