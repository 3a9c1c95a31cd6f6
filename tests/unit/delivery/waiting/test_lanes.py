"""Lanes: events that wait in this process, by subscription."""

import asyncio
import threading
from unittest.mock import AsyncMock

import pytest

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.waiting.lanes import Lanes


class Work:
    """Process that notes its items, and may wait at a gate."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.done: list[int] = []
        self.threads: set[int] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, item: int) -> None:
        self.begun.append(item)
        await self.gate.wait()
        self.done.append(item)
        self.threads.add(threading.get_ident())


def subscribed(name: str = "s", concurrency: int = 1) -> Subscription:
    return Subscription(name, AsyncMock(), ("a",), concurrency=concurrency)


async def test_items_pushed_before_and_between_runs_are_kept() -> None:
    """The next start processes them in order."""
    work, subscription = Work(), subscribed()
    lanes = Lanes(work)
    for n in range(6):
        lanes.push(subscription, n)
        if n % 2:
            assert (lanes.running, work.done) == (False, list(range(n - 1)))
            lanes.start()
            await lanes.drain(5)
            await lanes.stop()
    assert (work.done, lanes.queued) == ([0, 1, 2, 3, 4, 5], 0)


async def test_a_drain_times_out_and_stopped_items_stay() -> None:
    """After TimeoutError, stop() puts items being handled back to the head of their lane."""
    work, subscription = Work(), subscribed()
    work.gate.clear()
    lanes = Lanes(work)
    lanes.start()
    for n in range(2):
        lanes.push(subscription, n)
    with pytest.raises(TimeoutError):
        await lanes.drain(0.01)
    await lanes.stop()
    assert (work.begun, work.done, lanes.queued) == ([0], [], 2)
    work.gate.set()
    lanes.start()
    await lanes.drain(5)
    assert work.done == [0, 1]
    await lanes.stop()


async def test_items_pushed_while_it_stops_wait() -> None:
    """A subscription that has had nothing to do yet does not begin while the others are stopped."""
    work = Work()
    work.gate.clear()
    lanes = Lanes(work)
    lanes.start()
    lanes.push(subscribed("first"), 1)
    await asyncio.sleep(0)
    stopping = asyncio.create_task(lanes.stop())
    await asyncio.sleep(0)
    lanes.push(subscribed("second"), 2)
    await stopping
    assert (work.begun, lanes.queued) == ([1], 2)


async def test_no_error_loses_an_item(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault is logged, and the item is tried again, before those behind it."""
    monkeypatch.setattr("qt_events.delivery.waiting.lanes._PAUSE", 0.01)
    faults, done = [ZeroDivisionError("a fault"), ZeroDivisionError("another")], list[int]()

    async def process(item: int) -> None:
        if faults:
            raise faults.pop()
        done.append(item)

    lanes, subscription = Lanes(process), subscribed()
    lanes.start()
    for n in range(3):
        lanes.push(subscription, n)
    await lanes.drain(10)
    await lanes.stop()
    assert done == [0, 1, 2]
    assert [each.exc_info is not None for each in caplog.records] == [True, True]


async def test_the_slowest_has_most_to_do() -> None:
    """Items that wait and items being handled count."""
    lanes, busy, idle = Lanes(Work()), subscribed("busy"), subscribed("idle")
    assert lanes.slowest() == ("", 0)
    lanes.push(idle, 0)
    for n in range(3):
        lanes.push(busy, n)
    assert lanes.slowest() == ("busy", 3)
    lanes.start()
    await lanes.drain(5)
    await asyncio.sleep(0)
    assert lanes.slowest() == ("", 0)
    await lanes.stop()


async def test_threads_push_and_the_loops_own_thread_works() -> None:
    """Items are handled on the loop's thread, those of each pushing thread in order."""
    work, subscription = Work(), subscribed()
    lanes = Lanes(work)
    lanes.start()

    def push(first: int) -> None:
        for n in range(first, first + 100):
            lanes.push(subscription, n)

    await asyncio.gather(*(asyncio.to_thread(push, first) for first in (0, 100, 200)))
    await asyncio.sleep(0)
    await lanes.drain(5)
    await lanes.stop()
    assert work.threads == {threading.get_ident()}
    for first in (0, 100, 200):
        assert [n for n in work.done if first <= n < first + 100] == list(range(first, first + 100))
