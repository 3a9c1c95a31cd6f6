"""RetryTimers: what waits for a retry comes at its time, also after a stop."""

import asyncio

from qt_events.delivery.waiting.clock import LoopClock, RetryTimers
from qt_events.testing.clock import ManualClock


async def test_each_item_is_due_at_its_own_time() -> None:
    """Not in the order in which they were added."""
    clock, due = ManualClock(), list[str]()
    timers = RetryTimers[str](clock, due.append)
    timers.add("later", 5)
    timers.add("sooner", 1)
    assert (due, len(timers)) == ([], 2)
    await clock.advance(1)
    assert (due, len(timers)) == (["sooner"], 1)
    await clock.advance(4)
    assert (due, len(timers)) == (["sooner", "later"], 0)


async def test_what_falls_due_while_stopped_is_due_at_the_next_start() -> None:
    """The rest keeps its time."""
    clock, due = ManualClock(), list[str]()
    timers = RetryTimers[str](clock, due.append)
    timers.add("past", 1)
    timers.add("to come", 10)
    timers.stop()
    await clock.advance(5)
    assert (due, len(timers)) == ([], 2)
    timers.start()
    await clock.advance(0)
    assert due == ["past"]
    await clock.advance(5)
    assert due == ["past", "to come"]


async def test_real_time_is_that_of_the_running_loop() -> None:
    """A delay is never cut short."""
    clock, due = LoopClock(), asyncio.Event()
    began = clock.time()
    RetryTimers[str](clock, lambda _: due.set()).add("item", 0.01)
    async with asyncio.timeout(5):
        await due.wait()
    assert clock.time() - began >= 0.01
