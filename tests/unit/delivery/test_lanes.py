"""Lanes: what waits in this process, by subscription."""

import asyncio
import threading
from unittest.mock import AsyncMock

import pytest

from qt_events.delivery.lanes import Lanes
from qt_events.delivery.subscription import Subscription


class Work:
    """Processes by noting; may wait at a gate."""

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


async def test_what_was_pushed_before_and_between_runs_is_kept() -> None:
    """Without a loop, items wait; the next start works them off in order."""
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


async def test_a_drain_has_an_end_and_what_is_stopped_stays() -> None:
    """After TimeoutError, stop() puts what was being handled back to the head of its lane."""
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


async def test_what_is_pushed_while_it_stops_waits() -> None:
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


async def test_the_slowest_has_most_to_do() -> None:
    """Waiting and being handled count; nothing to do is nobody."""
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
    """Whoever pushes, items are handled on the loop's thread, each thread's in order."""
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
