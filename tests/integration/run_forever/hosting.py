"""Hosting: buses under run_forever(), and handlers that record what they got."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any

from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.waiting import PATIENCE, until

QUICK = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)


@contextlib.asynccontextmanager
async def running(*buses: CeleryEventBus) -> AsyncIterator[None]:
    """Run each bus until it is ready, and stop it at the end."""
    tasks = [asyncio.create_task(bus.run_forever()) for bus in buses]
    try:
        for bus, task in zip(buses, tasks, strict=True):
            await until(partial(_is_ready_or_done, bus, task), what="ready")
        yield
    finally:
        for bus in buses:
            bus.stop()
        await asyncio.gather(*tasks)


def is_ready(bus: CeleryEventBus) -> bool:
    return bus.serving.worker is not None and bus.serving.worker.ready.is_set()


def _is_ready_or_done(bus: CeleryEventBus, task: asyncio.Task[None]) -> bool:
    return is_ready(bus) or task.done()


class Handler:
    """Records events. May wait for `open` before it is done."""

    def __init__(self, *, wait: bool = False) -> None:
        self.begun: list[Event[Any]] = []
        self.done: list[Event[Any]] = []
        self.most = 0  #: at a time
        self.open = asyncio.Event()
        if not wait:
            self.open.set()

    async def __call__(self, event: Event[Any]) -> None:
        self.begun.append(event)
        self.most = max(self.most, len(self.begun) - len(self.done))
        await self.open.wait()
        self.done.append(event)

    @property
    def ids(self) -> list[str]:
        return [event.id for event in self.done]


async def publish(bus: CeleryEventBus, event_type: str = "happened", **payload: Any) -> Event[Any]:
    event = Event(event_type, None, payload)
    await bus.publish(event)
    return event


async def buried(bus: CeleryEventBus, number: int) -> Sequence[DeadLetterRecord]:
    """Return the dead letters as soon as there are so many."""
    async with asyncio.timeout(PATIENCE):
        # Poll, because nothing reports a new dead letter.
        while len(records := await bus.dead_letters.list()) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return records
