"""Harmed brokers, blocked, silent or killed: `publish` ends by name in time, and later goes on."""

import asyncio

import pytest

from qt_events import Event
from qt_events.errors import BackpressureError, BrokerBlockedError, PublishTimeoutError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker import PrivateBroker
from tests.integration.publisher.numbered_events import (
    SHORT,
    connected,
    event,
    keeping,
    taken,
    within,
)
from tests.support.buses import MakeBus
from tests.support.waiting import until, until_told


async def test_a_blocked_broker_is_a_named_error_and_later_none(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str
) -> None:
    """Publishing works again as soon as the alarm is over, without a new connection."""
    bus = await connected(keeping(make_bus(node_url, publish_timeout=SHORT)))
    patient = keeping(make_bus(node_url))
    await bus.publish(event(1))
    await patient.publish(event(2))
    await asyncio.to_thread(harmed.block)
    waiting = asyncio.create_task(patient.publish(event(3)))
    with within(SHORT):
        errors = await asyncio.gather(
            *(bus.publish(event(-1)) for _ in range(5)), return_exceptions=True
        )
    with within(SHORT), pytest.raises(BrokerBlockedError, match="alarm"):
        await bus.publish(event(-1))
    await asyncio.to_thread(harmed.unblock)
    await waiting
    await bus.publish(event(4))
    assert [type(error) for error in errors] == [BrokerBlockedError] * 5
    assert bus.publisher.state.channels == 1
    numbers = await asyncio.to_thread(taken, node_url)
    assert [number for number in numbers if number > 0] == [1, 2, 3, 4]


async def test_a_publish_that_an_alarm_held_up_says_so(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str
) -> None:
    """The time may run out between the end of the alarm and the confirm.

    The next one is not affected.
    """
    bus = await connected(keeping(make_bus(node_url, publish_timeout=SHORT)))
    await bus.publish(event(1))
    harmed.suspend()
    late = asyncio.create_task(bus.publish(event(2)))
    await until(lambda: bus.publisher.in_flight == 1)
    # In the name of the broker, which confirms nothing.
    bus.publisher.state.alarm_began()
    bus.publisher.state.alarm_over()
    with pytest.raises(BrokerBlockedError, match="a part of that time"):
        await late
    with pytest.raises(PublishTimeoutError, match="has not confirmed yet") as caught:
        await bus.publish(event(3))
    harmed.resume()
    assert type(caught.value) is PublishTimeoutError
    await until_told(lambda: published(bus))


async def test_large_events_end_by_name_on_a_blocked_broker_too(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str
) -> None:
    """The kernel stops taking them half way. Afterwards all is as before."""
    bus = await connected(keeping(make_bus(node_url, publish_timeout=SHORT)))
    await bus.publish(event(1))
    await asyncio.to_thread(harmed.block)
    large = [Event("number.drawn", None, {"number": -1, "text": "x" * 8_000_000}) for _ in range(2)]
    with within(SHORT):
        errors = await asyncio.gather(
            *(bus.publish(each) for each in large), return_exceptions=True
        )
    assert all(isinstance(error, PublishTimeoutError) for error in errors)
    await asyncio.to_thread(harmed.unblock)
    patient = keeping(make_bus(node_url))
    await patient.publish(event(2))
    await until_told(lambda: published(bus))
    assert bus.publisher.in_flight == 0


def published(bus: CeleryEventBus) -> bool:
    try:
        bus.publish_sync(event(3))
    except PublishTimeoutError:
        return False
    return True


async def test_a_silent_broker_is_a_named_error_and_later_none(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str
) -> None:
    """The connection stands and the kernel takes what is written, but nobody confirms."""
    bus = await connected(keeping(make_bus(node_url, publish_timeout=SHORT)))
    await bus.publish(event(1))
    harmed.suspend()
    with within(SHORT), pytest.raises(PublishTimeoutError, match="not confirmed") as caught:
        await bus.publish(event(2))
    harmed.resume()
    assert type(caught.value) is PublishTimeoutError
    await until_told(lambda: published(bus))
    assert (await asyncio.to_thread(taken, node_url))[:2] == [
        1,
        2,
    ]  # unknown, it was: here it arrived


async def test_an_outage_shorter_than_the_timeout_fails_no_publish(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str
) -> None:
    """The broker is killed with publishes in flight and comes back.

    All confirmed ones are there.
    """
    bus, numbers = keeping(make_bus(node_url, publish_timeout=60.0)), iter(range(10_000_000))
    await bus.publish(event(next(numbers)))
    await asyncio.to_thread(harmed.settle)
    confirmed, running = [], True

    async def load() -> None:
        while running:
            number = next(numbers)
            await bus.publish(event(number))
            confirmed.append(number)
            await asyncio.sleep(0.002)

    loads = [asyncio.create_task(load()) for _ in range(20)]
    await until(lambda: len(confirmed) > 200)
    harmed.kill()
    at_kill = len(confirmed)
    await asyncio.to_thread(harmed.restart)
    await until(lambda: len(confirmed) > at_kill + 200, 60)
    running = False
    await asyncio.gather(*loads)
    there = await asyncio.to_thread(taken, node_url)
    assert set(confirmed) <= set(there)
    assert bus.publisher.in_flight == 0


async def test_no_room_in_time_is_backpressure(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str
) -> None:
    """Publishes in flight have a timeout, those without room another error.

    Nothing is left of either.
    """
    bus = await connected(keeping(make_bus(node_url, publish_timeout=SHORT, max_queue_size=3)))
    await bus.publish(event(1))
    harmed.suspend()
    with within(SHORT):
        errors = await asyncio.gather(
            *(bus.publish(event(-1)) for _ in range(5)), return_exceptions=True
        )
    harmed.resume()
    assert [type(error) for error in errors[:3]] == [PublishTimeoutError] * 3
    assert all(
        isinstance(error, BackpressureError) and "max_queue_size=3" in str(error)
        for error in errors[3:]
    )
    assert (bus.publisher.in_flight, bus.publisher.in_line) == (0, 0)
    await until_told(lambda: published(bus))


async def test_a_cancelled_publish_leaves_nothing_behind(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str
) -> None:
    """The place is free at once, whether the publish was in flight or waited for room."""
    bus = keeping(make_bus(node_url, max_queue_size=3))
    await bus.publish(event(1))
    harmed.suspend()
    tasks = [asyncio.create_task(bus.publish(event(-1))) for _ in range(6)]
    await until(lambda: bus.publisher.in_flight == 3 and bus.publisher.in_line == 3)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    harmed.resume()
    assert (bus.publisher.in_flight, bus.publisher.in_line) == (0, 0)
    assert len(bus.outstanding) == 1  # the first one, which nobody serves
    await bus.publish(event(2))
