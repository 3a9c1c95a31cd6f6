"""Middleware on a bus in memory: publishes, attempts, and use while the bus runs."""

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import AsyncMock

import pytest

from qt_events.delivery.middleware import Attempt, CallHandler, CallPublish
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import BackpressureError, BusStateError, UnroutableError
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from tests.unit.memory.gate import event


class Counting:
    """Middleware that counts."""

    def __init__(self) -> None:
        self.publishes: list[str] = []
        self.attempts: list[int] = []

    async def around_publish(self, event: Event[Any], call_next: CallPublish) -> None:
        await call_next(event)
        self.publishes.append(event.id)

    async def around_handle(
        self, _event: Event[Any], _subscription: Subscription, attempt: int, call_next: CallHandler
    ) -> None:
        await call_next()
        self.attempts.append(attempt)


class Telling:
    """Observer that notes."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def published(self, _event: Event[Any], subscriptions: Sequence[Subscription]) -> None:
        self.told.append(f"published to {[each.name for each in subscriptions]}")

    def concluded(self, attempt: Attempt) -> None:
        self.told.append(f"concluded by {attempt.subscription}")


async def test_middleware_used_while_the_bus_runs_is_called_from_then_on() -> None:
    """An attempt that has begun goes on without it."""
    counting, began, go = Counting(), asyncio.Event(), asyncio.Event()

    async def handler(_: Event[Any]) -> None:
        began.set()
        await go.wait()

    bus = InMemoryEventBus()
    bus.subscribe("unit.memory", handler)
    async with bus:
        await bus.publish(event(0))
        await began.wait()
        bus.use(counting)
        second = event(1)
        await bus.publish(second)
        go.set()
        await bus.join(40)
    assert (counting.publishes, counting.attempts) == ([second.id], [1])


async def test_publish_sync_goes_through_middleware() -> None:
    """A plain thread may call it, and a sync handler, whose event is the cause."""
    bus, counting = InMemoryEventBus(), Counting()
    heard: list[Event[Any]] = []
    bus.use(counting)
    second = event(2, "unit.second")

    def pass_on(_: Event[Any]) -> None:
        bus.publish_sync(second)

    bus.subscribe("unit.memory", pass_on)
    bus.subscribe("unit.second", heard.append)
    first = event(1)
    async with bus:
        await asyncio.to_thread(bus.publish_sync, first)
        await bus.join(40)
    assert sorted(counting.publishes) == sorted([first.id, second.id])
    [caused] = heard
    assert (caused.id, caused.causation_id) == (second.id, first.id)


async def test_errors_of_a_publish_come_through_middleware() -> None:
    """Full, closed, or heard by nobody: the publisher is told as without middleware."""
    bus = InMemoryEventBus(1, publish_timeout=0.01)
    bus.use(Counting())
    with pytest.raises(UnroutableError):
        await bus.publish(event(), mandatory=True)
    bus.subscribe("unit.memory", AsyncMock())
    await bus.publish(event())
    with pytest.raises(BackpressureError):
        await bus.publish(event())
    bus.close()
    with pytest.raises(BusStateError, match="closed"):
        await bus.publish(event())
    with pytest.raises(BusStateError, match="closed"):
        await asyncio.to_thread(bus.publish_sync, event())


async def test_observers_hear_of_each_publish_and_each_attempt() -> None:
    """One subscription that hears the event, or none, makes no difference."""
    bus, telling = InMemoryEventBus(), Telling()
    bus.use(telling)
    bus.subscribe("unit.memory", AsyncMock(), name="only")
    async with bus:
        await bus.publish(event())
        await bus.publish(event(0, "unit.unheard"))
        await bus.join(40)
    assert sorted(telling.told) == ["concluded by only", "published to ['only']", "published to []"]


async def test_the_attribute_observer_still_works_and_warns() -> None:
    """It holds one observer, beside those that were used; None removes it."""
    bus, first, second, used = InMemoryEventBus(), Telling(), Telling(), Telling()
    bus.use(used)
    for observer in (first, second):
        with pytest.warns(DeprecationWarning, match=r"call bus\.use\(observer\)"):
            bus.observer = observer
    assert bus.observer is second
    await bus.publish(event())
    with pytest.warns(DeprecationWarning, match="observer"):
        bus.observer = None
    await bus.publish(event())
    told = "published to []"
    assert (first.told, second.told, used.told) == ([], [told], [told, told])
