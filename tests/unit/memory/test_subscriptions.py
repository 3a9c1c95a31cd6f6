"""Subscriptions of the bus in memory: their names, their number, and their end."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from qt_events.testing.clock import ManualClock
from tests.unit.memory.gate import Gate, event


def test_lambdas_get_a_name_with_a_number() -> None:
    """Nothing outlives the process here, so a handler without a name may have a made-up one."""
    bus = InMemoryEventBus()
    first, second = bus.subscribe("a", lambda _: None), bus.subscribe("a", lambda _: None)
    assert first.name != second.name


async def test_events_that_wait_by_a_removed_pattern_are_filtered() -> None:
    """After unsubscribe() nothing more is handled; waiting events have an outcome all the same."""
    bus, gate = InMemoryEventBus(), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    async with bus:
        for n in range(3):
            await bus.publish(event(n))
        await gate.reaches(began=1)
        bus.unsubscribe("unit.memory", gate)
        gate.open()
    assert (gate.ended, bus.get_stats()["filtered"], bus.get_stats()["dispatched"]) == ([0], 2, 3)


async def test_subscriptions_that_come_and_go_leave_nothing() -> None:
    """A subscription that is gone after its event keeps no lane; waiting events are filtered."""
    bus = InMemoryEventBus()
    lanes = bus._lanes._lanes  # noqa: SLF001

    async def lanes_left(number: int) -> None:
        # A lane is dropped a turn or two of the loop after its last event.
        async with asyncio.timeout(5):
            while len(lanes) != number:  # noqa: ASYNC110  # no event tells of it
                await asyncio.sleep(0)

    async with bus:
        for n in range(100):
            handler = AsyncMock(side_effect=OSError if n % 2 else None)
            bus.subscribe("unit.memory", handler, retry=RetryPolicy(initial=0.001))
            await bus.publish(event(n))
            bus.unsubscribe("unit.memory", handler)
        await bus.join(40)
        await lanes_left(0)
        handler = AsyncMock()
        bus.subscribe("unit.memory", handler)
        await bus.publish(event())
        await bus.join(40)
        await lanes_left(1)
        bus.unsubscribe("unit.memory", handler)
        await lanes_left(0)
    assert bus.get_stats()["filtered"] == 100


async def test_events_that_wait_for_a_retry_are_filtered_too() -> None:
    """A retry of a subscription that is gone ends without a call."""
    clock = ManualClock()
    bus, handler = InMemoryEventBus(clock=clock), AsyncMock(side_effect=OSError)
    bus.subscribe("unit.memory", handler, name="flaky")
    async with bus:
        await bus.publish(event())
        await clock.advance(0)
        bus.unsubscribe("unit.memory", handler)
        await clock.advance(10)
    stats = bus.get_stats()
    assert (handler.await_count, stats["filtered"], stats["dispatched"]) == (1, 1, 1)


async def test_a_name_may_be_taken_again_with_other_options() -> None:
    """After unsubscribe() the name is free, and the new subscription's concurrency holds."""
    bus, gate = InMemoryEventBus(), Gate()
    first = AsyncMock()
    bus.subscribe("unit.memory", first, name="taken")
    async with bus:
        bus.unsubscribe("unit.memory", first)
        bus.subscribe("unit.memory", gate, name="taken", concurrency=3)
        for n in range(3):
            await bus.publish(event(n))
        await gate.reaches(began=3)
        gate.open()
    first.assert_not_called()


async def test_ten_thousand_idle_subscriptions_have_no_tasks() -> None:
    """A subscription costs something only while it has events."""
    bus = InMemoryEventBus()
    for n in range(10_000):
        bus.subscribe(f"idle.s{n}", _handler(n), name=f"s{n}")
    before = len(asyncio.all_tasks())
    async with bus:
        await bus.publish(event(0, "idle.s5"))
        await bus.join(40)
        assert len(asyncio.all_tasks()) <= before + 2
    assert bus.get_stats()["delivered"] == 1


def _handler(_n: int) -> Any:
    async def handler(event: Event[Any]) -> None: ...

    return handler
