from datetime import date
from typing import TYPE_CHECKING

import pytest

from qt_events import OpportunitiesUpdatedEvent, Side, TradeExecutedEvent
from workers.events import MarketClosedEvent, OrderApprovedEvent, OrderRequestedEvent, TradingPlannedEvent
from workers.executor import Executor

if TYPE_CHECKING:
    from tests.unit.workers.conftest import Scene

DAY, NEXT_DAY = date(2024, 1, 2), date(2024, 1, 3)
CLOSES = {"A": 10.0, "B": 20.0, "C": 40.0, "D": 80.0}


def plan(day: date = DAY, strategy_id: str | None = "momentum", max_positions: int = 2) -> TradingPlannedEvent:
    return TradingPlannedEvent.create(
        day=day, strategy_id=strategy_id, model="XGBoost v1", max_positions=max_positions, position_share=0.1
    )


@pytest.fixture
async def executor(scene: "Scene") -> Executor:
    """One that knows prices and a ranking, and whose orders are all approved."""
    executor = Executor(scene.bus)
    scores = dict.fromkeys(CLOSES, 0.0)
    await scene.say(
        MarketClosedEvent.create(day=DAY, closes=CLOSES),
        OpportunitiesUpdatedEvent.create(top_symbols=list(CLOSES), scores=scores),
    )
    return executor


def approve_all(scene: "Scene") -> None:
    async def approve(event: OrderRequestedEvent) -> None:
        await scene.bus.publish(OrderApprovedEvent.create(**event.payload))

    scene.bus.subscribe(OrderRequestedEvent, approve, name="approve")


async def test_asks_before_it_trades(scene: "Scene", executor: Executor) -> None:
    """An order that nobody approves is not carried out."""
    await scene.say(plan())
    orders = [event.payload for event in scene.heard(OrderRequestedEvent)]
    assert [(order.symbol, order.side, order.confidence) for order in orders] == [
        ("A", Side.BUY, 1.0),
        ("B", Side.BUY, 0.75),
    ]
    assert (scene.heard(TradeExecutedEvent), executor.portfolio.positions) == ([], {})


async def test_trades_what_was_approved(scene: "Scene", executor: Executor) -> None:
    """At the close price, under an order id that only day and symbol decide."""
    approve_all(scene)
    await scene.say(plan())
    first, _ = [event.payload for event in scene.heard(TradeExecutedEvent)]
    assert (first.order_id, first.symbol, first.side, first.size) == ("20240102-A", "A", Side.BUY, 999)
    assert (first.price, first.strategy_id, first.model, first.pnl) == (10.0, "momentum", "XGBoost v1", None)
    assert executor.portfolio.positions.keys() == {"A", "B"}


async def test_the_same_plan_again_trades_nothing(scene: "Scene", executor: Executor) -> None:
    """Only what has changed is worth a fee; so a plan delivered twice does no harm."""
    approve_all(scene)
    await scene.say(plan(), plan())
    await scene.say(plan(NEXT_DAY))
    assert len(scene.heard(OrderRequestedEvent)) == 2


async def test_sells_with_the_profit_under_the_strategy_that_bought(scene: "Scene", executor: Executor) -> None:
    """A closing trade tells what came of the opening one."""
    approve_all(scene)
    await scene.say(plan())
    await scene.say(MarketClosedEvent.create(day=NEXT_DAY, closes=CLOSES | {"A": 11.0}))
    await scene.say(plan(NEXT_DAY, strategy_id=None))
    sale = next(event.payload for event in scene.heard(TradeExecutedEvent) if event.payload.side is Side.SELL)
    assert (sale.symbol, sale.strategy_id, sale.pnl) == ("A", "momentum", 999 - 2 * 5.0)
    assert executor.portfolio.positions == {}


async def test_an_approval_delivered_twice_is_one_trade(scene: "Scene", executor: Executor) -> None:
    """The second trade.executed carries the same order id, and the books do not change again."""
    approve_all(scene)
    await scene.say(plan(max_positions=1))
    cash = executor.portfolio.cash
    await scene.say(*scene.heard(OrderApprovedEvent))
    assert {event.payload.order_id for event in scene.heard(TradeExecutedEvent)} == {"20240102-A"}
    assert executor.portfolio.cash == cash
