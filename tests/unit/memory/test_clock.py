"""The clock: retries of the bus in memory come when it says so."""

from typing import Any
from unittest.mock import AsyncMock

from qt_events.delivery.retry import RetryLater, RetryPolicy
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from qt_events.testing.clock import ManualClock
from tests.unit.memory.gate import event


async def test_backoff_runs_on_the_clock() -> None:
    """Attempts happen when the policy says, to the moment, however long that is."""
    clock = ManualClock()
    bus = InMemoryEventBus(clock=clock)
    times: list[float] = []

    async def failing(event: Event[Any]) -> None:
        times.append(clock.time())
        message = "never"
        raise OSError(message)

    bus.subscribe(
        "unit.memory",
        failing,
        retry=RetryPolicy(max_attempts=5, initial=10, factor=3, max_delay=60, jitter=0),
        name="f",
    )
    async with bus:
        await bus.publish(event())
        await clock.advance(0)
        assert (times, clock.due) == ([0.0], [10.0])
        await clock.advance(9.99)
        assert times == [0.0]
        await clock.advance(1000)
    assert times == [0.0, 10.0, 40.0, 100.0, 160.0]
    [letter] = await bus.dead_letters.list()
    assert (letter.attempts, letter.reason) == (5, "exhausted")


async def test_a_handlers_own_delay_runs_on_the_clock() -> None:
    """RetryLater is obeyed to the moment."""
    clock = ManualClock()
    bus = InMemoryEventBus(clock=clock)
    handler = AsyncMock(side_effect=[RetryLater(3600), None])
    bus.subscribe("unit.memory", handler, name="later")
    async with bus:
        await bus.publish(event())
        await clock.advance(3599)
        assert handler.await_count == 1
        await clock.advance(1)
        assert handler.await_count == 2
