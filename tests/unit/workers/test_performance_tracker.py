from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from qt_events import Side, TradeExecutedEvent
from workers.events import MarketClosedEvent, PerformanceReportedEvent, TradingClosedEvent
from workers.performance_tracker import PerformanceTracker

if TYPE_CHECKING:
    from tests.unit.workers.conftest import Scene

DAY = date(2024, 1, 2)
BUY = TradeExecutedEvent.create(
    order_id="1", symbol="A", side=Side.BUY, size=1000, price=10.0, strategy_id="momentum", model="XGBoost v1"
)


@pytest.fixture
def tracker(scene: "Scene") -> PerformanceTracker:
    return PerformanceTracker(scene.bus)


async def closes(scene: "Scene", *prices: float) -> None:
    for index, price in enumerate(prices):
        day = DAY + timedelta(index)
        await scene.say(MarketClosedEvent.create(day=day, closes={"A": price}))
        await scene.say(TradingClosedEvent.create(day=day))


async def test_reports_equity_from_the_trades_it_heard_of(scene: "Scene", tracker: PerformanceTracker) -> None:
    """Cash less what was paid, plus what is held, to the cent."""
    await scene.say(BUY)
    await closes(scene, 11.005)
    (report,) = scene.heard(PerformanceReportedEvent)
    assert report.payload == {"day": DAY, "equity": 101_000.0, "drawdown": 0.0, "trades": 1}


async def test_a_trade_told_twice_counts_once(scene: "Scene", tracker: PerformanceTracker) -> None:
    """By its order id: deliveries come at least once."""
    await scene.say(BUY, BUY.replace(id="another"))
    await closes(scene, 11.005)
    assert (tracker.trades, tracker.equity) == (1, 101_000_00)


async def test_drawdown_counts_from_the_highest_equity(scene: "Scene", tracker: PerformanceTracker) -> None:
    """And the largest one is remembered."""
    await scene.say(BUY)
    await closes(scene, 20.005, 9.005, 20.005, 14.505)
    drawdowns = [event.payload.drawdown for event in scene.heard(PerformanceReportedEvent)]
    assert drawdowns == [0.0, -0.1, 0.0, -0.05]
    assert (tracker.drawdown, tracker.largest_drawdown) == (-0.05, -0.1)
