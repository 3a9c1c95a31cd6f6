"""In memory, an event whose attempt nobody can judge waits in its lane."""

import asyncio
import threading
from typing import Any

import pytest

from qt_events.delivery.retry import NO_RETRY
from qt_events.delivery.waiting import lanes
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from tests.support.waiting import PATIENCE


async def test_an_event_without_a_thread_for_its_handler_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is neither lost nor failed, and the attempt is not counted."""
    bus = InMemoryEventBus(max_workers=1)
    handled: list[Event[Any]] = []
    bus.subscribe("happened", handled.append, retry=NO_RETRY)
    refused: list[threading.Thread] = []
    start = threading.Thread.start

    def refuse_once(thread: threading.Thread) -> None:
        if not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(lanes, "_PAUSE", 0.01)
    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    event: Event[Any] = Event("happened")
    async with bus:
        await bus.publish(event)
    assert refused
    assert handled == [event]
    assert await bus.dead_letters.list() == []
    assert bus.get_stats()["errors"] == 0


def test_an_event_whose_handler_interrupts_the_program_waits_for_the_next_run() -> None:
    """KeyboardInterrupt ends asyncio.run(), and is nobody's outcome."""
    bus, calls = InMemoryEventBus(), 0

    async def interrupt_once(_: Event[Any]) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyboardInterrupt

    bus.subscribe("happened", interrupt_once, retry=NO_RETRY)

    async def run_once() -> None:
        await bus.publish(Event("happened"))
        await bus.run_forever()

    async def run_again() -> None:
        async with bus:
            await bus.join(PATIENCE)

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run_once())
    asyncio.run(run_again())
    assert calls == 2
