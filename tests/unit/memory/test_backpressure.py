"""Backpressure: a bus in memory holds so many events and no more; publishers wait."""

import asyncio
from typing import Any
from unittest.mock import AsyncMock

import pytest

from qt_events.errors import BackpressureError
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from qt_events.testing.clock import ManualClock
from tests.support.waiting import until
from tests.unit.memory.gate import Gate, end, event, run


async def test_a_bus_that_does_not_run_holds_so_many_and_no_more() -> None:
    """One event too many is a BackpressureError after publish_timeout."""
    bus, gate = InMemoryEventBus(2, publish_timeout=0.05), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    await bus.publish(event(0))
    await bus.publish(event(1))
    with pytest.raises(
        BackpressureError,
        match=r"0\.05 s: 2 events are held \(max_queue_size=2\).*'gate' with 2 events",
    ):
        await bus.publish(event(2))
    with pytest.raises(BackpressureError, match="not running"):
        await asyncio.to_thread(bus.publish_sync, event(2))
    gate.open()
    async with bus:
        await bus.join(40)
    assert gate.ended == [0, 1]


async def test_the_slowest_subscription_is_named() -> None:
    """The one with the most events to go, not the one that was made first."""
    bus, slow, quick = InMemoryEventBus(3, publish_timeout=0.05), Gate(), Gate()
    bus.subscribe("unit.memory", quick, name="quick")
    bus.subscribe("unit.memory", slow, name="slow")
    quick.open()
    task = await run(bus)
    for n in range(3):
        await bus.publish(event(n))
    await quick.reaches(ended=3)
    with pytest.raises(BackpressureError, match="'slow'"):
        await bus.publish(event(3))
    slow.open()
    await bus.join(40)
    await end(bus, task)


async def test_unroutable_events_take_no_room() -> None:
    """Events that nobody hears are not held."""
    bus = InMemoryEventBus(1)
    for n in range(3):
        await bus.publish(event(n))
    assert bus.get_stats()["queue_size"] == 0


async def test_many_publishers_never_exceed_the_bound() -> None:
    """The bus holds at most `max_queue_size` events, those of each publisher in order."""
    bus = InMemoryEventBus(3)
    sizes: list[int] = []
    order: list[int] = []

    async def handler(event: Event[Any]) -> None:
        sizes.append(bus.get_stats()["queue_size"])
        order.append(event.payload["n"])
        await asyncio.sleep(0)

    bus.subscribe("unit.memory", handler, name="handler")

    async def publish(first: int) -> None:
        for n in range(10):
            await bus.publish(event(first + n))
            sizes.append(bus.get_stats()["queue_size"])

    async with bus:
        await asyncio.gather(*(publish(100 * p) for p in range(8)))
    assert len(order) == 80
    assert max(sizes) == 3
    for publisher in range(8):
        assert [n for n in order if n // 100 == publisher] == [
            100 * publisher + n for n in range(10)
        ]


async def test_a_cancelled_publish_gives_its_turn_to_the_next() -> None:
    """Room that was meant for a publisher that has gone goes to the one behind it."""
    bus, gate = InMemoryEventBus(1), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    task = await run(bus)
    await bus.publish(event(0))
    waiting = [asyncio.create_task(bus.publish(event(n))) for n in (1, 2)]
    await gate.reaches(began=1)
    waiting[0].cancel()
    gate.open()
    async with asyncio.timeout(5):
        await waiting[1]
        await bus.join()
    assert gate.ended == [0, 2]
    await end(bus, task)


async def test_a_waiting_retry_is_held() -> None:
    """An event that waits for its retry counts in queue_size."""
    clock = ManualClock()
    bus = InMemoryEventBus(clock=clock)
    handler = AsyncMock(side_effect=[OSError, None])
    bus.subscribe("unit.memory", handler, name="flaky")
    task = await run(bus)
    await bus.publish(event())
    await clock.advance(0.9)
    assert (handler.await_count, bus.get_stats()["queue_size"], clock.due != []) == (1, 1, True)
    await clock.advance(0.3)
    assert (handler.await_count, bus.get_stats()["queue_size"], clock.due) == (2, 0, [])
    await end(bus, task)


async def test_publishing_in_a_loop_lets_the_event_loop_run() -> None:
    """A task that only publishes gives the loop a turn after 64 events at the latest."""
    turns = 0

    def count_turn() -> None:
        nonlocal turns
        turns += 1
        asyncio.get_running_loop().call_soon(count_turn)

    async with InMemoryEventBus() as bus:
        bus.subscribe("unit.memory", AsyncMock())
        count_turn()
        before = turns
        for n in range(1000):
            await bus.publish(event(n))
        assert turns - before >= 1000 // 65
        await bus.join(40)
    assert bus.get_stats()["dispatched"] == 1000


@pytest.mark.parametrize("blocking", [False, True])
async def test_a_publish_that_waits_says_why(
    caplog: pytest.LogCaptureFixture, *, blocking: bool
) -> None:
    """After a second a publish is in get_stats() and in the log, from a loop or a thread."""
    bus, gate = InMemoryEventBus(1, slow_after=60), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    async with bus:
        await bus.publish(event(0))
        publish = (
            asyncio.to_thread(bus.publish_sync, event(1)) if blocking else bus.publish(event(1))
        )
        waiting = asyncio.create_task(publish)
        assert bus.get_stats()["waiting"] == {}
        await until(lambda: caplog.messages, what="a line in the log")
        assert bus.get_stats()["waiting"] == {"window": 1}
        gate.open()
        await waiting
        await bus.join(40)
        assert bus.get_stats()["waiting"] == {}
    (line,) = caplog.messages
    assert line.startswith("publishes have waited for more than 1 s: 1 events are held")
    assert "'gate' with 1 events to go" in line
