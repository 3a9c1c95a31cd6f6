"""Journey: events by what caused them, and the subscriptions that handled them."""

import asyncio
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from qt_events import Event, InMemoryEventBus, Side, TradeExecutedEvent
from workers.events import MarketClosedEvent
from workers.market.price_file import read_market
from workers.replay.journey import Journey, JourneyRecorder, Step
from workers.replay.replay import Replay
from workers.store import Store
from workers.system.assembly import build

DAY = date(2024, 1, 1)


@dataclass
class Attempt:
    """The fields of an attempt that a recorder reads."""

    event_id: str
    subscription: str
    number: int = 1


def closed(day: date = DAY) -> MarketClosedEvent:
    return MarketClosedEvent.create(day=day, closes={"A": 1.0})


def trade(order_id: str = "20240101-A") -> TradeExecutedEvent:
    return TradeExecutedEvent.create(
        order_id=order_id, symbol="A", side=Side.BUY, size=1, price=1.0, strategy_id="s", model="m"
    )


def lines(step: Step, depth: int = 0) -> list[str]:
    """Return a tree as indented lines."""
    handlers = ", ".join(f"{name}:{attempts}" for name, attempts in step.handlers.items())
    line = f"{'  ' * depth}{step.event_type} x{step.events} {handlers}".rstrip()
    return [line, *(each for child in step.consequences for each in lines(child, depth + 1))]


def recorded(recorder: JourneyRecorder) -> Journey:
    journey = recorder.journey()
    assert journey is not None
    return journey


def test_events_of_one_type_and_one_cause_are_one_step() -> None:
    recorder, root = JourneyRecorder(), closed()
    plan = Event("test.planned").caused_by(root)
    for event in (root, plan, trade().caused_by(plan), trade("20240101-B").caused_by(plan)):
        recorder.published(event, ())
    recorder.concluded(Attempt(root.id, "planner.on_closed"))
    recorder.concluded(Attempt(plan.id, "executor.on_plan"))
    journey = recorded(recorder)
    assert lines(journey.root) == [
        "market.closed x1 planner.on_closed:1",
        "  test.planned x1 executor.on_plan:1",
        "    trade.executed x2",
    ]
    assert (journey.events, journey.deliveries, journey.traded) == (4, 2, True)
    assert journey.seconds >= 0


def test_a_retry_counts_as_an_attempt_of_the_same_handler() -> None:
    recorder, root = JourneyRecorder(), closed()
    recorder.published(root, ())
    for number in (1, 2, 3):
        recorder.concluded(Attempt(root.id, "planner.on_closed", number))
    assert recorded(recorder).root.handlers == {"planner.on_closed": 3}
    assert recorded(recorder).deliveries == 1


def test_a_handler_may_be_reported_before_the_publish() -> None:
    """Workers on RabbitMQ may be faster than the confirm."""
    recorder, root = JourneyRecorder(), closed()
    child = Event("test.analyzed").caused_by(root)
    recorder.concluded(Attempt(root.id, "msc_ai.on_closed"))
    recorder.published(child, ())
    recorder.published(root, ())
    assert lines(recorded(recorder).root) == [
        "market.closed x1 msc_ai.on_closed:1",
        "  test.analyzed x1",
    ]


def test_an_event_that_is_published_again_counts_once() -> None:
    recorder, root = JourneyRecorder(), closed()
    recorder.published(root, ())
    recorder.published(root, ())
    assert recorded(recorder).events == 1


def test_the_journey_is_that_of_the_last_day_with_a_trade() -> None:
    recorder = JourneyRecorder()
    roots = [closed(DAY + timedelta(number)) for number in range(3)]
    for number, root in enumerate(roots):
        recorder.published(root, ())
        recorder.published(Event(f"day.{number}").caused_by(root), ())
    recorder.published(trade().caused_by(roots[1]), ())
    assert [step.event_type for step in recorded(recorder).root.walk()] == [
        *("market.closed", "day.1", "trade.executed"),
    ]


def test_without_a_trade_the_journey_is_that_of_the_last_day() -> None:
    recorder = JourneyRecorder()
    for number in range(2):
        root = closed(DAY + timedelta(number))
        recorder.published(root, ())
        recorder.published(Event(f"day.{number}").caused_by(root), ())
    journey = recorded(recorder)
    assert [step.event_type for step in journey.root.walk()] == ["market.closed", "day.1"]
    assert not journey.traded


def test_without_a_day_there_is_no_journey() -> None:
    recorder = JourneyRecorder()
    recorder.published(trade(), ())
    assert recorder.journey() is None


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """Journey of a real replay that has traded."""
    return asyncio.run(replay(tmp_path_factory.mktemp("journey")))


async def replay(folder: Path) -> Journey:
    store, bus = Store(f"sqlite:///{folder}/store.db"), InMemoryEventBus()
    recorder = JourneyRecorder()
    bus.use(recorder)
    build(bus, store)
    await Replay(bus, store, read_market()[:36]).run()
    store.dispose()
    return recorded(recorder)


def test_a_trading_day_leads_from_its_prices_to_its_trades(replayed: Journey) -> None:
    """Every event of the day is in the tree, under the event that caused it."""
    path, step = [replayed.root.event_type], replayed.root
    while path[-1] != "trade.executed":
        (step,) = (
            each
            for each in step.consequences
            if "trade.executed" in [below.event_type for below in each.walk()]
        )
        path.append(step.event_type)
    assert path == [
        "market.closed",
        "trading.opened",
        "signals.generated",
        "signals.scored",
        "trading.planned",
        "trading.cleared",
        "orders.requested",
        "orders.approved",
        "trade.executed",
    ]
    assert list(step.handlers) == [
        "analytics.on_trade_executed",
        "metrics_logger.on_trade_executed",
        "performance_tracker.on_trading",
    ]
    types = [each.event_type for each in replayed.root.walk()]
    assert {"policy.analyzed", "trading.closed", "health.checked"} <= set(types)
