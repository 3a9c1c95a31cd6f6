"""Running: the bus in memory begins, stops, and begins again, and what it holds is not lost."""

import asyncio
import sys
from unittest.mock import AsyncMock

import pytest

from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from qt_events.testing.clock import ManualClock
from tests.unit.memory.gate import Gate, end, event, run


async def test_cancelling_gives_back_what_was_being_handled() -> None:
    """The next run_forever() handles the events without an outcome first."""
    bus, gate = InMemoryEventBus(), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    task = await run(bus)
    for n in range(3):
        await bus.publish(event(n))
    await gate.reaches(began=1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bus.get_stats()["queue_size"] == 3
    gate.open()
    async with bus:
        pass
    assert (gate.began, gate.ended) == ([0, 0, 1, 2], [0, 1, 2])


async def test_after_the_grace_period_the_rest_is_given_back() -> None:
    """stop() waits at most `grace` seconds; unfinished events are handled after a restart."""
    bus, gate = InMemoryEventBus(grace=0.05), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    task = await run(bus)
    await bus.publish(event(0))
    await gate.reaches(began=1)
    await end(bus, task)
    assert (gate.ended, bus.get_stats()["queue_size"]) == ([], 1)
    gate.open()
    async with bus:
        pass
    assert gate.ended == [0]


async def test_a_retry_that_waits_does_not_hold_up_a_stop() -> None:
    """After a restart a retry comes when it is due, at once if that has passed."""
    clock = ManualClock()
    bus = InMemoryEventBus(clock=clock)
    handler = AsyncMock(side_effect=[OSError, None])
    bus.subscribe("unit.memory", handler, name="flaky")
    task = await run(bus)
    await bus.publish(event())
    await clock.advance(0)
    async with asyncio.timeout(5):
        await end(bus, task)
    await clock.advance(100)
    assert handler.await_count == 1
    task = await run(bus)
    await clock.advance(0)
    assert handler.await_count == 2
    await end(bus, task)


def test_a_bus_may_run_on_one_loop_after_another() -> None:
    """Events that wait when a loop ends are handled on the next one."""
    bus, handler = InMemoryEventBus(), AsyncMock()
    bus.subscribe("unit.memory", handler, name="handler")

    async def publish_only() -> None:
        await bus.publish(event())

    async def deliver() -> None:
        async with bus:
            pass

    asyncio.run(publish_only())
    asyncio.run(deliver())
    asyncio.run(publish_only())
    asyncio.run(deliver())
    assert handler.await_count == 2


async def test_a_stop_before_run_forever_has_begun_is_kept_for_it() -> None:
    """A run_forever() that is stopped before it begins delivers the queued events and returns."""
    bus, handler = InMemoryEventBus(), AsyncMock()
    bus.subscribe("a.b", handler)
    running = asyncio.create_task(bus.run_forever())
    await bus.publish(Event("a.b"))
    bus.stop()
    async with asyncio.timeout(5):
        await running
    assert handler.await_count == 1


async def test_a_sync_handler_that_never_ends_does_not_keep_the_process() -> None:
    """Its thread is a daemon: the program ends when it wants to."""
    program = (
        "import asyncio, time\n"
        "from qt_events import Event, InMemoryEventBus\n"
        "async def main():\n"
        "    bus = InMemoryEventBus(grace=0.1)\n"
        "    bus.subscribe('a.b', lambda event: time.sleep(600), name='hang')\n"
        "    task = asyncio.create_task(bus.run_forever())\n"
        "    await bus.publish(Event('a.b'))\n"
        "    await asyncio.sleep(0)\n"
        "    bus.stop()\n"
        "    await task\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program)
    async with asyncio.timeout(30):
        assert await process.wait() == 0


async def test_a_stop_from_before_does_not_end_what_async_with_begins() -> None:
    """stop() before and after running is harmless, and does not stop the next run."""
    bus, handler = InMemoryEventBus(), AsyncMock()
    bus.subscribe("unit.memory", handler, name="handler")
    bus.stop()
    async with bus:
        await bus.publish(event())
    bus.stop()
    assert handler.await_count == 1


async def test_a_stop_from_another_thread_ends_it() -> None:
    """stop() may be called from any thread."""
    bus = InMemoryEventBus()
    task = await run(bus)
    await asyncio.to_thread(bus.stop)
    async with asyncio.timeout(5):
        await task


async def test_a_handler_may_stop_the_bus() -> None:
    """stop() inside a handler ends the bus after that handler."""
    bus = InMemoryEventBus()
    bus.subscribe("unit.memory", lambda _: bus.stop(), name="stopper")
    task = await run(bus)
    await bus.publish(event())
    async with asyncio.timeout(5):
        await task
    assert bus.get_stats()["dispatched"] == 1


async def test_an_error_inside_async_with_is_not_waited_for() -> None:
    """The bus stops without waiting for retries, and the error comes through."""
    bus = InMemoryEventBus(clock=ManualClock())
    bus.subscribe("unit.memory", AsyncMock(side_effect=OSError), name="failing")

    async def leave_by_an_error() -> None:
        async with asyncio.timeout(5), bus:
            await bus.publish(event())
            message = "of the caller"
            raise LookupError(message)

    with pytest.raises(LookupError):
        await leave_by_an_error()


async def test_leaving_async_with_is_bounded_by_the_grace_period() -> None:
    """A retry that is due later does not keep `async with` from ending; its event stays held."""
    bus = InMemoryEventBus(grace=0.05, clock=ManualClock())
    bus.subscribe("unit.memory", AsyncMock(side_effect=OSError), name="failing")
    async with asyncio.timeout(5):
        async with bus:
            await bus.publish(event())
    assert bus.get_stats()["queue_size"] == 1
