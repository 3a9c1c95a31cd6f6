import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from qt_events import (
    Event,
    HealthStatusChangedEvent,
    InMemoryEventBus,
    ModelPromotedEvent,
    OpportunitiesUpdatedEvent,
    PolicyUpdatedEvent,
    StrategyPromotedEvent,
    TradeExecutedEvent,
)
from workers import replay as module
from workers.events import TradingOpenedEvent
from workers.market import Close, read_market
from workers.replay import Progress, Replay, ReplayError, Summary

SIX = (
    PolicyUpdatedEvent,
    StrategyPromotedEvent,
    ModelPromotedEvent,
    HealthStatusChangedEvent,
    OpportunitiesUpdatedEvent,
    TradeExecutedEvent,
)


@pytest.fixture(scope="module")
def market() -> list[Close]:
    return read_market()


async def replayed(market: Iterable[Close]) -> tuple[Replay, Summary, list[tuple[str, Any]]]:
    bus = InMemoryEventBus()
    events: list[tuple[str, Any]] = []
    bus.subscribe("#", lambda event: events.append((event.type, event.payload)), name="record")
    replay = Replay(bus, list(market))
    return replay, await replay.run(), events


async def test_all_six_event_types_occur_in_four_years(market: list[Close]) -> None:
    """The main job exercises the whole catalog, without a failure."""
    replay, summary, _ = await replayed(market)
    assert {kind.event_type for kind in SIX} <= summary.events.keys()
    assert (summary.days, summary.retries, summary.dead_letters) == (1008, 0, 0)
    assert summary.trades == summary.events["trade.executed"] > 100
    assert summary.largest_drawdown < 0
    assert replay.system.executor.portfolio == replay.system.performance_tracker.portfolio


async def test_the_same_prices_make_the_same_events(market: list[Close]) -> None:
    """Nothing depends on ids, clocks or threads."""
    _, first, first_events = await replayed(market[:200])
    _, second, second_events = await replayed(market[:200])
    assert first == second
    assert first_events == second_events


async def test_the_executors_books_and_the_trackers_agree(market: list[Close]) -> None:
    """Two that keep books apart, one by doing and one by hearing, end with the same cent."""
    replay, summary, _ = await replayed(market[:300])
    closes = market[299].closes
    assert replay.system.executor.portfolio.equity(closes) / 100 == summary.final_equity


async def test_tells_its_progress_day_by_day(market: list[Close]) -> None:
    """How far, and how the system stands."""
    seen: list[Progress] = []
    await Replay(InMemoryEventBus(), market[:30]).run(seen.append)
    assert [(progress.day, progress.done) for progress in seen] == [
        (close.day, done) for done, close in enumerate(market[:30], 1)
    ]
    assert (seen[0].risk_mode, seen[-1].total) == (None, 30)
    assert seen[-1].events["market.closed"]["dispatched"] == 30


async def test_a_consumer_that_fails_once_changes_nothing_but_the_retries(market: list[Close]) -> None:
    """The failing subscription runs again, alone, and the phase waits for it."""
    bus = InMemoryEventBus()
    failures = [OSError("once")]

    async def flaky(event: Event[Any]) -> None:
        if failures:
            raise failures.pop()

    bus.subscribe(TradingOpenedEvent, flaky, name="flaky")
    summary = await Replay(bus, market[:30]).run()
    _, undisturbed, _ = await replayed(market[:30])
    assert (summary.retries, summary.dead_letters) == (1, 0)
    assert (summary.trades, summary.final_equity) == (undisturbed.trades, undisturbed.final_equity)


async def test_a_phase_that_does_not_end_stops_the_replay(market: list[Close], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the day it happened on, instead of waiting for ever."""
    monkeypatch.setattr(module, "PHASE_TIMEOUT", 0.05)
    bus = InMemoryEventBus(grace=0.05)

    async def stuck(event: Event[Any]) -> None:
        raise OSError

    bus.subscribe(TradingOpenedEvent, stuck, name="stuck")
    with pytest.raises(ReplayError, match="the replay stopped on 2007-01-03"):
        await Replay(bus, market[:5]).run()


def test_a_replay_in_memory_needs_no_celery() -> None:
    """The command starts fast, and works where celery is broken."""
    program = "import sys, workers.command; sys.exit('celery' in sys.modules or 'kombu' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
