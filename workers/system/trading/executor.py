"""Executor: executes approved orders, best opportunities first, as far as the cash goes."""

from collections.abc import Iterable, Iterator, Sequence

from qt_events import EventBus, OpportunitiesUpdatedEvent, Side, TradeExecutedEvent
from workers.events import (
    Order,
    OrdersApproved,
    OrdersApprovedEvent,
    TradingClosedEvent,
    with_fixed_id,
)
from workers.store import Store, Trade
from workers.system.announcements import Announcements, KnownAnnouncements
from workers.system.books import ACCOUNT, Books
from workers.system.portfolio import Portfolio, settlement


class Executor:
    """Publishes `trade.executed` for each trade, then `trading.closed`. It keeps the account."""

    publishes = (TradeExecutedEvent, TradingClosedEvent)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus = bus
        self.rankings = KnownAnnouncements(
            Announcements(store.documents, OpportunitiesUpdatedEvent)
        )
        self.account = Books(store.trades, ACCOUNT)
        self._market = store.market
        bus.subscribe(
            OpportunitiesUpdatedEvent,
            self.on_opportunities_updated,
            name="executor.on_opportunities_updated",
            broadcast=True,
        )
        bus.subscribe(
            OrdersApprovedEvent, self.on_orders_approved, name="executor.on_orders_approved"
        )

    async def on_opportunities_updated(self, event: OpportunitiesUpdatedEvent) -> None:
        self.rankings.remember(event)

    async def on_orders_approved(self, event: OrdersApprovedEvent) -> None:
        """Publish each trade, then enter it.

        Redelivered, it publishes the same trades, which the books hold once.
        """
        approved = event.payload
        if approved.orders and await self._market.is_past(approved.day):
            return
        trades = list(await self._trades(approved)) if approved.orders else []
        for trade in trades:
            await self.bus.publish(executed(trade))
            await self.account.enter(trade)
        await self.bus.publish(
            with_fixed_id(
                TradingClosedEvent.create(day=approved.day, trades=len(trades)), approved.day
            )
        )

    async def _trades(self, approved: OrdersApproved) -> Iterator[Trade]:
        ranking = await self.rankings.single(approved.rests_on)
        portfolio, _ = await self.account.at(approved.day)
        return fill(
            approved, in_turn(approved.orders, ranking.top_symbols if ranking else []), portfolio
        )


def in_turn(orders: Iterable[Order], ranking: Sequence[str]) -> list[Order]:
    """Return sales first, for the cash they bring, then purchases by the rank of their symbols."""

    def turn(order: Order) -> tuple[bool, int]:
        return order.side is Side.BUY, ranking.index(
            order.symbol
        ) if order.symbol in ranking else len(ranking)

    return sorted(orders, key=turn)


def fill(
    approved: OrdersApproved, orders: Iterable[Order], portfolio: Portfolio
) -> Iterator[Trade]:
    """Yield the trades of the orders and enter them into the portfolio.

    A purchase beyond the cash is left out.
    """
    for order in orders:
        sale = order.side is Side.SELL
        if not sale and settlement(order.side, order.size, order.price) > portfolio.cash:
            continue
        trade = Trade(
            order_id=order.order_id,
            day=approved.day,
            symbol=order.symbol,
            side=order.side,
            size=order.size,
            price=order.price,
            strategy_id=order.strategy_id,
            model=order.model,
            pnl_cents=portfolio.profit(order.symbol, order.size, order.price) if sale else None,
        )
        portfolio.enter(trade)
        yield trade


def executed(trade: Trade) -> TradeExecutedEvent:
    """Return the event of a trade."""
    event = TradeExecutedEvent.create(
        order_id=trade.order_id,
        symbol=trade.symbol,
        side=trade.side,
        size=trade.size,
        price=trade.price,
        strategy_id=trade.strategy_id,
        model=trade.model,
        pnl=None if trade.pnl_cents is None else trade.pnl_cents / 100,
    )
    return with_fixed_id(event, trade.order_id)
