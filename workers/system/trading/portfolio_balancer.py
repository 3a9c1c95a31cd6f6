"""Portfolio Balancer: derives orders from the plan and the positions held."""

from collections.abc import Iterable, Iterator
from typing import Any

from qt_events import EventBus, PolicyUpdated, PolicyUpdatedEvent, Side
from workers.events import (
    ClearedPlan,
    Order,
    OrdersRequestedEvent,
    TradingClearedEvent,
    order_id,
    with_fixed_id,
)
from workers.market.prices import Closes
from workers.store import Store
from workers.system.announcements import Announcements, KnownAnnouncements
from workers.system.books import ACCOUNT, Books
from workers.system.portfolio import Portfolio
from workers.system.trading.rebalancing import Step, rebalance

#: Kind of the document with the basis of the last orders, and the one before it.
BASIS = "portfolio_balancer.basis"
#: Kind of the documents, one for each day with orders.
REBALANCED = "portfolio_balancer.days"


class PortfolioBalancer:
    """Answers `trading.cleared` with `orders.requested`; without orders if nothing has changed."""

    publishes = (OrdersRequestedEvent,)

    def __init__(self, bus: EventBus, store: Store) -> None:
        self.bus, self._documents = bus, store.documents
        self.policies = KnownAnnouncements(Announcements(store.documents, PolicyUpdatedEvent))
        self._account = Books(store.trades, ACCOUNT)
        self._market = store.market
        bus.subscribe(
            PolicyUpdatedEvent,
            self.on_policy_updated,
            name="portfolio_balancer.on_policy_updated",
            broadcast=True,
        )
        bus.subscribe(
            TradingClearedEvent,
            self.on_trading_cleared,
            name="portfolio_balancer.on_trading_cleared",
        )

    async def on_policy_updated(self, event: PolicyUpdatedEvent) -> None:
        self.policies.remember(event)

    async def on_trading_cleared(self, event: TradingClearedEvent) -> None:
        plan = event.payload
        history = await self._market.at(plan.day)
        if history is None:
            return
        policy = await self.policies.single(plan.rests_on)
        orders = await self._orders(plan, policy, history.closes[-1]) if policy else []
        if orders:
            await self._documents.put(REBALANCED, plan.day.isoformat(), {"orders": len(orders)})
        requested = OrdersRequestedEvent.create(day=plan.day, rests_on=plan.rests_on, orders=orders)
        await self.bus.publish(with_fixed_id(requested, plan.day))

    async def _orders(
        self, plan: ClearedPlan, policy: PolicyUpdated, closes: Closes
    ) -> list[Order]:
        wanted = list(plan.confidence)[: policy.max_positions]
        share = policy.max_risk_per_trade
        if not await self._is_new(plan, [wanted, plan.strategy_id, share, plan.halted]):
            return []
        portfolio, _ = await self._account.at(plan.day)
        steps = rebalance(portfolio, closes, wanted, share)
        if plan.halted:
            steps = [step for step in steps if step.side is Side.SELL]
        return list(as_orders(plan, portfolio, closes, steps))

    async def _is_new(self, plan: ClearedPlan, basis: list[Any]) -> bool:
        """Return True if the basis differs from that of the last trading day.

        Redelivered on the same day, it returns the same.
        """
        today = plan.day.isoformat()
        last = await self._documents.get(BASIS, "") or {"day": "", "basis": None, "before": None}
        before = last["before"] if last["day"] == today else last["basis"]
        if basis == before or await self._market.is_past(plan.day):
            return False
        await self._documents.advance(BASIS, "", {"day": today, "basis": basis, "before": before})
        return True


def as_orders(
    plan: ClearedPlan, portfolio: Portfolio, closes: Closes, steps: Iterable[Step]
) -> Iterator[Order]:
    """Yield the steps as orders.

    A sale counts for the strategy that bought, with full confidence.
    """
    equity = portfolio.equity(closes)
    for symbol, side, size in steps:
        held = portfolio.positions.get(symbol) if side is Side.SELL else None
        yield Order(
            order_id=order_id(plan.day, symbol),
            symbol=symbol,
            side=side,
            size=size,
            price=closes[symbol],
            share=round(size * closes[symbol] * 100 / equity, 4),
            confidence=1.0 if held else plan.confidence[symbol],
            strategy_id=held.strategy_id if held else str(plan.strategy_id),
            model=held.model if held else plan.model,
        )
