from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qt_events import Event
from tests.unit.workers.harness import MONDAY, Harness, trade
from workers.events import PerformanceReported, PerformanceReportedEvent, TradingClosedEvent
from workers.system.portfolio import START_CENTS
from workers.system.results.performance_tracker import PerformanceTracker, next_result
from workers.system.trading.executor import executed

BOUGHT = trade("A", size=1000)


@pytest.fixture(autouse=True)
def tracker(harness: Harness) -> PerformanceTracker:
    return PerformanceTracker(harness.bus, harness.store)


def closed(day: int = 0, trades: int = 0) -> TradingClosedEvent:
    return TradingClosedEvent.create(day=MONDAY + timedelta(day), trades=trades)


async def price(harness: Harness, close: float, day: int = 0) -> None:
    await harness.store.prices.add(MONDAY + timedelta(day), {"A": close})


def reports(harness: Harness) -> list[PerformanceReported]:
    return [event.payload for event in harness.published(PerformanceReportedEvent)]


async def test_reports_equity_from_the_trades_it_heard_of(harness: Harness) -> None:
    """Equity is cash and positions, to the cent."""
    await price(harness, 11.005)
    await harness.publish(executed(BOUGHT), closed(trades=1))
    (report,) = reports(harness)
    assert report == {
        "day": MONDAY,
        "equity": 101_000.0,
        "drawdown": 0.0,
        "largest_drawdown": 0.0,
        "trades": 1,
    }


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_reports_once_all_trades_are_heard_in_whichever_order(
    harness: Harness, order: tuple[int, ...]
) -> None:
    """The end of trading may come before the trades that it counts."""
    await price(harness, 10.0)
    news: list[Event[Any]] = [
        executed(trade("A")),
        executed(trade("A")._replace(order_id="20240101-B")),
        closed(trades=2),
    ]
    for index in order[:2]:
        await harness.publish(news[index])
    assert reports(harness) == []
    await harness.publish(news[order[2]])
    assert [report.trades for report in reports(harness)] == [2]


async def test_two_processes_report_together(harness: Harness, other: Harness) -> None:
    """The process that hears the last trade reports."""
    PerformanceTracker(other.bus, other.store)
    await price(harness, 11.005)
    await harness.publish(closed(trades=1))
    await other.publish(executed(BOUGHT))
    assert (reports(harness), [report.equity for report in reports(other)]) == ([], [101_000.0])


async def test_a_day_without_trades_is_reported_too(harness: Harness) -> None:
    """Prices still change the equity."""
    await price(harness, 10.005)
    await harness.publish(executed(BOUGHT), closed(trades=1))
    await price(harness, 12.005, 1)
    await harness.publish(closed(1))
    assert [(report.equity, report.trades) for report in reports(harness)] == [
        (100_000.0, 1),
        (102_000.0, 1),
    ]


async def test_a_trade_told_twice_counts_once(harness: Harness) -> None:
    """The order id identifies it, and a second report is the same event."""
    await price(harness, 11.005)
    await harness.publish(
        executed(BOUGHT), executed(BOUGHT), closed(trades=1), executed(BOUGHT), closed(trades=1)
    )
    told = harness.published(PerformanceReportedEvent)
    assert len(told) > 1
    assert len({event.id for event in told}) == 1
    assert all(report == reports(harness)[0] for report in reports(harness))


async def test_its_books_are_its_own(harness: Harness, tracker: PerformanceTracker) -> None:
    """The books hold the trades that it heard, not Executor's."""
    await harness.store.trades.add("executor", BOUGHT)
    await price(harness, 20.0)
    await harness.publish(closed(trades=0))
    assert [(report.equity, report.trades) for report in reports(harness)] == [
        (START_CENTS / 100, 0)
    ]
    assert (await tracker.books.at(MONDAY))[1] == []


async def test_drawdown_counts_from_the_highest_equity(harness: Harness) -> None:
    """The largest drawdown is kept."""
    for day, close in enumerate((20.005, 9.005, 20.005, 14.505)):
        await price(harness, close, day)
        if not day:
            await harness.publish(executed(BOUGHT))
        await harness.publish(closed(day, trades=int(not day)))
    assert [report.drawdown for report in reports(harness)] == [0.0, -0.1, 0.0, -0.05]
    assert [report.largest_drawdown for report in reports(harness)] == [0.0, -0.1, -0.1, -0.1]


@pytest.mark.parametrize("late", [closed(), executed(trade("A"))], ids=["end of trading", "trade"])
async def test_a_day_long_past_is_not_reported_again(harness: Harness, late: Event[Any]) -> None:
    """Equity would be that of today."""
    await price(harness, 10.0)
    await price(harness, 11.0, 1)
    await harness.publish(closed(1), late)
    assert [report.day for report in reports(harness)] == [MONDAY + timedelta(1)]


async def test_a_day_long_past_does_not_make_it_forget_today(harness: Harness) -> None:
    """Yesterday's end may come again while a trade of today is on its way."""
    await price(harness, 10.0)
    await price(harness, 11.0, 1)
    await harness.publish(closed(1, trades=1), closed(0))
    await harness.publish(executed(trade("A", day=MONDAY + timedelta(1))))
    assert [(report.day, report.trades) for report in reports(harness)] == [
        (MONDAY + timedelta(1), 1)
    ]


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=30))
def test_the_largest_drawdown_is_the_least_of_all(equities: list[int]) -> None:
    """The figure never rises, and a repeated day changes nothing."""
    result, drawdowns = None, []
    for equity in equities:
        result = next_result(result, equity)
        assert next_result(result, equity) == result
        drawdowns.append(result["drawdown"])
        assert result["largest_drawdown"] == min(0.0, *drawdowns)
        assert -1 <= result["drawdown"] <= 0
    assert result
    assert result["peak"] == max(START_CENTS, *equities)
