"""In memory, stop() ends within the grace whatever handlers do with their cancellation."""

import asyncio
import logging
import threading
from contextlib import suppress
from typing import Any

import pytest

from qt_events.delivery.waiting import lanes
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus
from tests.support.waiting import PATIENCE


async def go_on() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


async def stubborn(_: Event[Any]) -> None:
    await go_on()


children: list[asyncio.Task[None]] = []


async def stubborn_child(_: Event[Any]) -> None:
    children.append(asyncio.create_task(go_on()))
    await children[-1]


def stuck(_: Event[Any]) -> None:
    threading.Event().wait(PATIENCE)


@pytest.mark.parametrize("handler", [stubborn, stubborn_child, stuck])
async def test_a_handler_that_does_not_end_does_not_keep_the_bus_from_stopping(
    handler: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log names one that was cancelled and goes on. Its event waits for the next run."""
    monkeypatch.setattr(lanes, "_CLEAN_UP", 0.1)
    bus = InMemoryEventBus(grace=0.1)
    bus.subscribe("happened", handler, name="the_handler")
    running = asyncio.create_task(bus.run_forever())
    with caplog.at_level(logging.WARNING, "qt_events"):
        await bus.publish(Event("happened"))
        await asyncio.sleep(0)
        bus.stop()
        await asyncio.wait_for(running, PATIENCE)
    assert bus.get_stats()["queue_size"] == 1
    went_on = "the_handler: 1 of its handlers went on" in caplog.text
    assert went_on is (handler is not stuck)
    for each in children:
        each.get_coro().close()
    children.clear()
