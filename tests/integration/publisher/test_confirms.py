"""Confirms: published events are on the queue, in order, and only so many are in flight."""

import asyncio

import pytest

from qt_events.rabbitmq.bus import CeleryEventBus
from tests.integration.publisher.numbered_events import event, keeping, taken
from tests.support.buses import MakeBus


async def test_what_is_published_is_on_the_queue_when_publish_returns(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """A confirm means that the queue has it."""
    for number in range(20):
        await bus.publish(event(number))
    assert await asyncio.to_thread(taken, amqp_url) == list(range(20))


async def test_what_was_subscribed_before_gets_what_is_published_next(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """Queue and later patterns are declared before the event is written, without a worker."""
    bus.unsubscribe("#", print)
    bus.subscribe("first", print, name="kept")
    await bus.publish(event(1, "first"))
    bus.subscribe("second", print, name="kept")
    await asyncio.gather(bus.publish(event(2, "second")), bus.publish(event(3, "second")))
    assert await asyncio.to_thread(taken, amqp_url) == [1, 2, 3]


@pytest.mark.parametrize("room", [10_000, 7])
async def test_order_of_calls_is_order_on_the_queue(
    make_bus: MakeBus, amqp_url: str, room: int
) -> None:
    """The order holds within one publisher, also for those that had to wait for room."""
    bus = keeping(make_bus(amqp_url, max_queue_size=room))
    await asyncio.gather(*(bus.publish(event(number)) for number in range(300)))
    assert await asyncio.to_thread(taken, amqp_url) == list(range(300))


async def test_publishing_waits_for_room_and_goes_on(make_bus: MakeBus, amqp_url: str) -> None:
    """Never more than max_queue_size are in flight, and all come through."""
    bus, most = keeping(make_bus(amqp_url, max_queue_size=3)), 0

    async def watched(number: int) -> None:
        nonlocal most
        await bus.publish(event(number))
        most = max(most, bus.publisher.in_flight)

    await asyncio.gather(*(watched(number) for number in range(100)))
    assert most <= 3
    assert bus.publisher.in_flight == 0
    assert len(await asyncio.to_thread(taken, amqp_url)) == 100
