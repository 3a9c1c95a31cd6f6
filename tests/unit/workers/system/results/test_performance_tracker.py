from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import Event
from tests.unit.workers.harness import MONDAY, Scene, trade
from workers.events import PerformanceReported, PerformanceReportedEvent, TradingClosedEvent
from workers.system.portfolio import START_CENTS
from workers.system.results.performance_tracker import PerformanceTracker, next_result
from workers.system.trading.executor import executed

BOUGHT = trade("A", size=1000)


@pytest.fixture(autouse=True)
def tracker(scene: Scene) -> PerformanceTracker:
    return PerformanceTracker(scene.bus, scene.store)


def closed(day: int = 0, trades: int = 0) -> TradingClosedEvent:
    return TradingClosedEvent.create(day=MONDAY + timedelta(day), trades=trades)


async def price(scene: Scene, close: float, day: int = 0) -> None:
    await scene.store.prices.add(MONDAY + timedelta(day), {"A": close})


def reports(scene: Scene) -> list[PerformanceReported]:
    return [event.payload for event in scene.heard(PerformanceReportedEvent)]


async def test_reports_equity_from_the_trades_it_heard_of(scene: Scene) -> None:
    """Cash less what was paid, plus what is held, to the cent."""
    await price(scene, 11.005)
    await scene.say(executed(BOUGHT), closed(trades=1))
    (report,) = reports(scene)
    assert report == {"day": MONDAY, "equity": 101_000.0, "drawdown": 0.0, "largest_drawdown": 0.0, "trades": 1}


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_reports_once_all_trades_are_heard_in_whichever_order(scene: Scene, order: tuple[int, ...]) -> None:
    """The end of trading may come before the trades that it counts."""
    await price(scene, 10.0)
    news: list[Event[Any]] = [
        executed(trade("A")),
        executed(trade("A")._replace(order_id="20240101-B")),
        closed(trades=2),
    ]
    for index in order[:2]:
        await scene.say(news[index])
    assert reports(scene) == []
    await scene.say(news[order[2]])
    assert [report.trades for report in reports(scene)] == [2]


async def test_two_processes_report_together(scene: Scene, other: Scene) -> None:
    """Each hears of a part; whichever hears of the last reports all."""
    PerformanceTracker(other.bus, other.store)
    await price(scene, 11.005)
    await scene.say(closed(trades=1))
    await other.say(executed(BOUGHT))
    assert (reports(scene), [report.equity for report in reports(other)]) == ([], [101_000.0])


async def test_a_day_without_trades_is_reported_too(scene: Scene) -> None:
    """Prices move all the same."""
    await price(scene, 10.005)
    await scene.say(executed(BOUGHT), closed(trades=1))
    await price(scene, 12.005, 1)
    await scene.say(closed(1))
    assert [(report.equity, report.trades) for report in reports(scene)] == [(100_000.0, 1), (102_000.0, 1)]


async def test_a_trade_told_twice_counts_once(scene: Scene) -> None:
    """By its order id; and the report that may follow is the same event."""
    await price(scene, 11.005)
    await scene.say(executed(BOUGHT), executed(BOUGHT), closed(trades=1), executed(BOUGHT), closed(trades=1))
    told = scene.heard(PerformanceReportedEvent)
    assert len(told) > 1
    assert len({event.id for event in told}) == 1
    assert all(report == reports(scene)[0] for report in reports(scene))


async def test_its_books_are_its_own(scene: Scene, tracker: PerformanceTracker) -> None:
    """Made of what it heard, not of what Executor wrote."""
    await scene.store.trades.add("executor", BOUGHT)
    await price(scene, 20.0)
    await scene.say(closed(trades=0))
    assert [(report.equity, report.trades) for report in reports(scene)] == [(START_CENTS / 100, 0)]
    assert (await tracker.books.at(MONDAY))[1] == []


async def test_drawdown_counts_from_the_highest_equity(scene: Scene) -> None:
    """And the largest one is remembered."""
    for day, close in enumerate((20.005, 9.005, 20.005, 14.505)):
        await price(scene, close, day)
        if not day:
            await scene.say(executed(BOUGHT))
        await scene.say(closed(day, trades=int(not day)))
    assert [report.drawdown for report in reports(scene)] == [0.0, -0.1, 0.0, -0.05]
    assert [report.largest_drawdown for report in reports(scene)] == [0.0, -0.1, -0.1, -0.1]


@pytest.mark.parametrize("late", [closed(), executed(trade("A"))], ids=["end of trading", "trade"])
async def test_a_day_long_past_is_not_reported_again(scene: Scene, late: Event[Any]) -> None:
    """The market has moved on; equity would be of today."""
    await price(scene, 10.0)
    await price(scene, 11.0, 1)
    await scene.say(closed(1), late)
    assert [report.day for report in reports(scene)] == [MONDAY + timedelta(1)]


async def test_a_day_long_past_does_not_make_it_forget_today(scene: Scene) -> None:
    """Yesterday's end comes once more while a trade of today is on its way: today is reported all the same."""
    await price(scene, 10.0)
    await price(scene, 11.0, 1)
    await scene.say(closed(1, trades=1), closed(0))
    await scene.say(executed(trade("A", day=MONDAY + timedelta(1))))
    assert [(report.day, report.trades) for report in reports(scene)] == [(MONDAY + timedelta(1), 1)]


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30))
def test_the_largest_drawdown_is_the_least_of_all(equities: list[int]) -> None:
    """It never rises, no day is below it, and a day asked for again changes nothing."""
    result, drawdowns = None, []
    for equity in equities:
        result = next_result(result, equity)
        assert next_result(result, equity) == result
        drawdowns.append(result["drawdown"])
        assert result["largest_drawdown"] == min(0.0, *drawdowns)
        assert -1 <= result["drawdown"] <= 0
    assert result
    assert result["peak"] == max(START_CENTS, *equities)
