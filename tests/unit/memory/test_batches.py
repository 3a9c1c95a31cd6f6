"""Batch handlers in memory: virtual time, removed patterns, stops, and what is counted."""

import asyncio
from typing import Any

import pytest

from qt_events import BatchFailed, Event, InMemoryEventBus, NotSupportedError, RetryPolicy
from qt_events.delivery.base_bus import BaseBus
from qt_events.delivery.middleware import Attempt
from qt_events.delivery.telling import fate_telling
from qt_events.delivery.telling.fates import BATCH, Fate
from qt_events.testing.clock import ManualClock
from tests.support.waiting import until


class Lists:
    """Records the numbers of the events in its lists; fails some of them, once."""

    def __init__(self, *failing: int) -> None:
        self.lists: list[list[int]] = []
        self._failing = set(failing)
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, events: list[Event[Any]]) -> None:
        self.lists.append([event.payload["n"] for event in events])
        await self.gate.wait()
        failed = [event for event in events if event.payload["n"] in self._failing]
        self._failing -= {event.payload["n"] for event in failed}
        if failed:
            raise BatchFailed({event.id: OSError("no") for event in failed})


async def publish(bus: InMemoryEventBus, *numbers: int, type: str = "made") -> None:
    for n in numbers:
        await bus.publish(Event(type, None, {"n": n}))


async def test_time_is_the_clocks() -> None:
    """`within` and the delays of retries pass when a test says so."""
    clock, handler = ManualClock(), Lists(1)
    bus = InMemoryEventBus(clock=clock)
    retry = RetryPolicy(initial=10, jitter=0)
    bus.subscribe("made", handler, name="lists", batch=3, within=5, retry=retry)
    async with bus:
        await publish(bus, 0, 1)
        await clock.advance(4.9)
        assert handler.lists == []
        await clock.advance(0.1)
        assert handler.lists == [[0, 1]]
        await publish(bus, 2)
        await clock.advance(5)
        await clock.advance(5)
        # It joins a later batch, which others may be in.
        await publish(bus, 3)
        await clock.advance(5)
        await bus.join(5)
    assert handler.lists == [[0, 1], [2], [1, 3]]


async def test_what_waits_by_a_removed_pattern_is_filtered() -> None:
    """Gathered or not; the others are handled."""
    clock, handler = ManualClock(), Lists()
    bus = InMemoryEventBus(clock=clock)
    bus.subscribe("made", handler, name="lists", batch=3)
    bus.subscribe("other", handler)
    async with bus:
        await publish(bus, 0)
        await publish(bus, 1, type="other")
        await clock.advance(0)
        bus.unsubscribe("made", handler)
        await clock.advance(1)
        await bus.join(5)
    assert handler.lists == [[1]]
    stats = bus.get_stats()
    assert (stats["delivered"], stats["filtered"], stats["dispatched"]) == (1, 1, 2)


async def test_a_subscription_that_is_gone_gets_nothing_more() -> None:
    """What it had gathered is filtered, and the bus is empty."""
    clock, handler = ManualClock(), Lists()
    bus = InMemoryEventBus(clock=clock)
    bus.subscribe("made", handler, name="lists", batch=3, within=5)
    async with bus:
        await publish(bus, 0, 1)
        await clock.advance(0)
        bus.unsubscribe("made", handler)
        await clock.advance(5)
        await bus.join(5)
    assert (handler.lists, bus.get_stats()["filtered"]) == ([], 2)


async def test_a_full_bus_waits_for_no_batch() -> None:
    """Nobody could fill it: who publishes waits for room, and no time passes here."""
    handler = Lists()
    bus = InMemoryEventBus(max_queue_size=4, publish_timeout=5, clock=ManualClock())
    bus.subscribe("made", handler, name="lists", batch=10, within=30)
    async with bus:
        await publish(bus, *range(8))
        await asyncio.to_thread(bus.publish_sync, Event("made", None, {"n": 8}))
        assert [n for each in handler.lists for n in each] == list(range(8))
        bus.stop()
    assert handler.lists[-1] == [8]


async def test_batches_wait_for_nothing_while_anybody_waits_for_room() -> None:
    """Not only for the first who wait: those behind them cannot fill a list either."""
    handler = Lists()
    bus = InMemoryEventBus(max_queue_size=4, publish_timeout=5, clock=ManualClock())
    bus.subscribe("made", handler, name="lists", batch=10, within=30)
    async with bus:
        await asyncio.gather(*(publish(bus, n) for n in range(14)))
        assert [n for each in handler.lists for n in each] == list(range(12))
        await publish(bus, 14)
        assert len(handler.lists) == 3
        bus.stop()
    assert handler.lists[-1] == [12, 13, 14]


async def test_a_stop_handles_what_was_gathered() -> None:
    """No time has to pass for it."""
    handler = Lists()
    bus = InMemoryEventBus(clock=ManualClock())
    bus.subscribe("made", handler, name="lists", batch=3, within=5)
    running = asyncio.create_task(bus.run_forever())
    await asyncio.sleep(0)
    await publish(bus, 0, 1)
    bus.stop()
    await running
    assert (handler.lists, bus.get_stats()["queue_size"]) == ([[0, 1]], 0)


async def test_who_leaves_the_bus_waits_for_no_batch() -> None:
    """Nor for those that follow: the first event of a lane, or another attempt."""
    handler = Lists(1)
    bus = InMemoryEventBus(retry=RetryPolicy(initial=0))

    async def follow(event: Event[Any]) -> None:
        await publish(bus, event.payload["n"], type="followed")

    bus.subscribe("made", follow, name="follow")
    bus.subscribe("followed", handler, name="lists", batch=3, within=60)
    async with bus:
        await publish(bus, 0, 1)
    assert handler.lists == [[0, 1], [1]]
    async with bus:
        await publish(bus, 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(handler.lists) == 2
    assert handler.lists[2:] == [[2]]


async def test_a_cancelled_batch_is_handled_by_the_next_run() -> None:
    """In order, before what had come since."""
    handler = Lists()
    handler.gate.clear()
    bus = InMemoryEventBus()
    bus.subscribe("made", handler, name="lists", batch=3)
    running = asyncio.create_task(bus.run_forever())
    await asyncio.sleep(0)
    await publish(bus, *range(5))
    await until(lambda: handler.lists)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    handler.gate.set()
    async with bus:
        await bus.join(5)
    assert handler.lists == [[0, 1, 2], [0, 1, 2], [3, 4]]


class Observer:
    """Observer that notes what it was told."""

    def __init__(self) -> None:
        self.attempts: list[tuple[str, int, str]] = []

    def concluded(self, attempt: Attempt) -> None:
        self.attempts.append((attempt.subscription, attempt.number, type(attempt.outcome).__name__))


async def test_events_are_counted_and_told_one_by_one() -> None:
    """In statistics, and to observers."""
    handler, observer = Lists(0), Observer()
    bus = InMemoryEventBus(retry=RetryPolicy(initial=0))
    bus.use(observer)
    bus.subscribe("made", handler, name="lists", batch=2)
    async with bus:
        await publish(bus, 0, 1)
        await bus.join(5)
    assert sorted(observer.attempts) == [
        ("lists", 1, "Done"),
        ("lists", 1, "Retry"),
        ("lists", 2, "Done"),
    ]
    stats = bus.get_stats()
    told = {name: stats[name] for name in ("delivered", "errors", "retries", "dispatched")}
    assert told == {"delivered": 2, "errors": 1, "retries": 1, "dispatched": 2}


async def test_the_fates_of_a_large_batch_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One turn of the loop concludes more than may wait to be told."""
    monkeypatch.setattr(fate_telling, "FULL", BATCH)
    monkeypatch.setattr(fate_telling, "MOST", BATCH + 100)
    number = 2 * BATCH + 10
    told, bus = list[Fate](), InMemoryEventBus()
    bus.subscribe("made", Lists(), name="lists", batch=number)
    bus.listen_to_fates(told.extend, name="listener")
    async with bus:
        await publish(bus, *range(number))
        await bus.join(20)
    assert (len(told), len({fate.event_id for fate in told})) == (number, number)


async def test_join_inside_a_batch_handler_is_refused() -> None:
    """It would wait for itself."""
    seen: list[str] = []
    bus = InMemoryEventBus()

    async def handler(events: list[Event[Any]]) -> None:
        try:
            await bus.join()
        except RuntimeError as error:
            seen.append(str(error))

    bus.subscribe("made", handler, name="joins", batch=2)
    async with bus:
        await publish(bus, 0)
        await bus.join(5)
    assert len(seen) == 1
    assert "join() inside a handler" in seen[0]


def test_a_bus_without_batches_refuses_them() -> None:
    """A handler that expects a list would get an event."""
    with pytest.raises(NotSupportedError, match="BaseBus gives handlers one event at a time"):
        BaseBus().subscribe("made", print, name="lists", batch=2)
