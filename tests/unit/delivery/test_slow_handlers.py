"""Slow handlers, and those that block the loop: each is reported, and logged now and then."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import AsyncMock

import pytest

from qt_events.delivery.deliver import deliver
from qt_events.delivery.stats import SlowHandlerLog, Stats
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event
from tests.unit.delivery.samples import EVENT, subscription


class Watching:
    """A Watch that remembers."""

    def __init__(self) -> None:
        self.slow_ones: list[float] = []
        self.blocked_ones: list[float] = []

    def slow(self, subscription: Subscription, event: Event[Any] | None, seconds: float) -> None:
        self.slow_ones.append(seconds)

    def blocked(self, subscription: Subscription, event: Event[Any] | None, seconds: float) -> None:
        self.blocked_ones.append(seconds)


async def test_a_slow_handler_is_reported() -> None:
    """The watch is told about a handler over `slow_after`, from start to end, waiting included."""
    watch = Watching()

    async def waits(event: Event[Any]) -> None:
        await asyncio.sleep(0.03)

    await deliver(EVENT, subscription(waits), watch=watch, slow_after=0.02)
    await deliver(EVENT, subscription(AsyncMock()), watch=watch, slow_after=0.02)
    assert len(watch.slow_ones) == 1
    assert watch.slow_ones[0] >= 0.02
    assert watch.blocked_ones == []  # it let the loop run


async def test_a_failing_slow_handler_is_reported_too() -> None:
    """Slowness is reported whatever the outcome."""
    watch = Watching()

    def slow_and_bad(event: Event[Any]) -> None:
        time.sleep(0.03)
        message = "slow and bad"
        raise OSError(message)

    await deliver(EVENT, subscription(slow_and_bad), watch=watch, slow_after=0.02)
    assert len(watch.slow_ones) == 1


async def test_a_handler_that_blocks_the_loop_is_reported() -> None:
    """Each step that kept the loop for longer than `slow_after` is reported."""
    watch = Watching()

    async def blocks(event: Event[Any]) -> None:
        await asyncio.sleep(0)
        time.sleep(0.03)  # noqa: ASYNC251  # the subject of the test
        await asyncio.sleep(0)

    await deliver(EVENT, subscription(blocks), watch=watch, slow_after=0.02)
    assert len(watch.blocked_ones) == 1
    assert len(watch.slow_ones) == 1


async def test_a_handler_in_a_thread_blocks_nobody(executor: ThreadPoolExecutor) -> None:
    """A slow sync handler in the executor is slow, not blocking."""
    watch = Watching()
    await deliver(
        EVENT,
        subscription(lambda _: time.sleep(0.03)),
        executor=executor,
        watch=watch,
        slow_after=0.02,
    )
    assert (len(watch.slow_ones), watch.blocked_ones) == (1, [])


async def test_slow_handlers_are_counted_each_and_logged_now_and_then(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """SlowHandlerLog counts all and logs the first of a subscription in ten seconds, by name."""
    stats = Stats()
    log = SlowHandlerLog(stats)
    for name in ("a", "a", "b"):
        log.slow(Subscription(name, AsyncMock()), EVENT, 0.25)
    log.blocked(Subscription("a", AsyncMock()), EVENT, 0.5)
    assert (stats.slow, stats.blocked) == ({"a": 2, "b": 1}, {"a": 1})
    assert [record.getMessage() for record in caplog.records] == [
        "handler a is slow: it took 250 ms with unit.delivered",
        "handler b is slow: it took 250 ms with unit.delivered",
        "handler a blocked the event loop for 500 ms with unit.delivered",
    ]
