"""Executor: turns plans into orders, and orders that Risk Guard approved into trades."""

from collections.abc import Iterator, Mapping
from typing import Any

from qt_events import EventBus, OpportunitiesUpdatedEvent, Side, TradeExecutedEvent
from workers.events import (
    MarketClosedEvent,
    Order,
    OrderApprovedEvent,
    OrderRequestedEvent,
    TradingPlanned,
    TradingPlannedEvent,
)
from workers.portfolio import Fill, Portfolio
from workers.rebalancing import rebalance
from workers.strategies import STRATEGIES


class Executor:
    """Publishes `order.requested`, and `trade.executed` at the day's close price."""

    def __init__(self, bus: EventBus) -> None:
        self.bus = bus
        self.portfolio = Portfolio()
        self._closes: Mapping[str, float] = {}
        self._ranking: list[str] = []
        self._origins: dict[str, dict[str, str]] = {}  # symbol -> strategy and model that its position came by
        self._traded_on: tuple[Any, ...] = ()  # what the last orders were made for
        bus.subscribe(MarketClosedEvent, self.on_market_closed)
        bus.subscribe(OpportunitiesUpdatedEvent, self.on_opportunities_updated)
        bus.subscribe(TradingPlannedEvent, self.on_trading_planned)
        bus.subscribe(OrderApprovedEvent, self.on_order_approved)

    async def on_market_closed(self, event: MarketClosedEvent) -> None:
        self._closes = event.payload.closes

    async def on_opportunities_updated(self, event: OpportunitiesUpdatedEvent) -> None:
        self._ranking = event.payload.top_symbols

    async def on_trading_planned(self, event: TradingPlannedEvent) -> None:
        """Orders only where what is wanted has changed."""
        plan = event.payload
        wanted = self._wanted(plan)
        basis = (*wanted, plan.strategy_id, plan.position_share)
        if basis == self._traded_on:
            return
        for request in list(self._requests(plan, wanted)):
            await self.bus.publish(request)
        self._traded_on = basis

    async def on_order_approved(self, event: OrderApprovedEvent) -> None:
        """Publish first, enter after: delivered again, it tells again what the books already hold once."""
        order = event.payload
        fill = Fill(order.order_id, order.symbol, order.side, order.size, order.price)
        await self.bus.publish(self._trade(order, fill))
        self.portfolio.enter(fill)
        self._origins[order.symbol] = {"strategy_id": order.strategy_id, "model": order.model}

    def _wanted(self, plan: TradingPlanned) -> list[str]:
        if plan.strategy_id is None:
            return []
        return STRATEGIES[plan.strategy_id](self._ranking)[: plan.max_positions]

    def _requests(self, plan: TradingPlanned, wanted: list[str]) -> Iterator[OrderRequestedEvent]:
        equity = self.portfolio.equity(self._closes)
        for step in rebalance(self.portfolio, self._closes, wanted, plan.position_share):
            price = self._closes[step.symbol]
            origin = {"strategy_id": plan.strategy_id, "model": plan.model}
            yield OrderRequestedEvent.create(
                order_id=f"{plan.day:%Y%m%d}-{step.symbol}",
                symbol=step.symbol,
                side=step.side,
                size=step.size,
                price=price,
                share=round(step.size * price * 100 / equity, 4),
                confidence=self._confidence(step.symbol, wanted),
                **(self._origins[step.symbol] if step.side is Side.SELL else origin),
            )

    def _confidence(self, symbol: str, wanted: list[str]) -> float:
        """1 for the first choice, less for each one after it; a sale is certain."""
        return round(1 - wanted.index(symbol) / len(self._ranking), 4) if symbol in wanted else 1.0

    def _trade(self, order: Order, fill: Fill) -> TradeExecutedEvent:
        profit = self.portfolio.profit(fill) / 100 if fill.side is Side.SELL else None
        return TradeExecutedEvent.create(
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            size=order.size,
            price=order.price,
            strategy_id=order.strategy_id,
            model=order.model,
            pnl=profit,
        )
