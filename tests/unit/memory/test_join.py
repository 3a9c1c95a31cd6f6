"""join(): waiting until all events of the bus in memory have an outcome."""

import asyncio
from unittest.mock import AsyncMock

import pytest

from qt_events.errors import BusStateError
from qt_events.memory import InMemoryEventBus
from qt_events.testing.clock import ManualClock
from tests.unit.memory.gate import Gate, end, event, run


async def test_join_on_a_bus_that_does_not_run_is_an_error() -> None:
    """join() with events that nobody will deliver would wait for ever; without any it returns."""
    bus = InMemoryEventBus()
    await bus.join()
    bus.subscribe("unit.memory", AsyncMock(), name="handler")
    await bus.publish(event())
    with pytest.raises(BusStateError, match="run_forever"):
        await bus.join()


async def test_join_waits_for_a_run_forever_made_just_before() -> None:
    """create_task(run_forever()) and join() at once is fine."""
    bus, handler = InMemoryEventBus(), AsyncMock()
    bus.subscribe("unit.memory", handler, name="handler")
    await bus.publish(event())
    task = asyncio.create_task(bus.run_forever())
    await bus.join(40)
    assert handler.await_count == 1
    await end(bus, task)


async def test_join_says_what_it_waited_for() -> None:
    """The TimeoutError tells how many events are open and how many of them wait for a retry."""
    bus = InMemoryEventBus(clock=ManualClock(), grace=0.05)
    bus.subscribe("unit.memory", AsyncMock(side_effect=OSError), name="failing")
    task = await run(bus)
    await bus.publish(event())
    with pytest.raises(TimeoutError, match="1 events have no outcome; 1 wait for a retry"):
        await bus.join(0.05)
    await end(bus, task)


async def test_join_ends_with_the_bus() -> None:
    """A stop with work unfinished is an error of join(), which would wait for ever."""
    bus = InMemoryEventBus(clock=ManualClock())
    bus.subscribe("unit.memory", AsyncMock(side_effect=OSError), name="failing")
    task = await run(bus)
    await bus.publish(event())
    joining = asyncio.create_task(bus.join())
    await asyncio.sleep(0)
    await end(bus, task)
    async with asyncio.timeout(5):
        with pytest.raises(BusStateError, match="stopped"):
            await joining


async def test_several_may_join() -> None:
    """All of them return."""
    bus, gate = InMemoryEventBus(), Gate()
    bus.subscribe("unit.memory", gate, name="gate")
    async with bus:
        await bus.publish(event())
        joining = [asyncio.create_task(bus.join()) for _ in range(3)]
        await gate.reaches(began=1)
        assert not any(task.done() for task in joining)
        gate.open()
        async with asyncio.timeout(5):
            await asyncio.gather(*joining)
