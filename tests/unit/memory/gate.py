"""Events, a handler that waits at a gate, and a bus that runs, for tests of the bus in memory."""

import asyncio
from typing import Any

from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus


def event(n: int = 0, event_type: str = "unit.memory") -> Event[Any]:
    return Event(event_type, None, {"n": n})


class Gate:
    """Handler that waits until it is opened, and remembers the events that began and ended."""

    def __init__(self) -> None:
        self.began: list[int] = []
        self.ended: list[int] = []
        self._open = asyncio.Event()
        self._changed = asyncio.Condition()

    async def __call__(self, event: Event[Any]) -> None:
        await self._note(self.began, event)
        await self._open.wait()
        await self._note(self.ended, event)

    async def _note(self, notes: list[int], event: Event[Any]) -> None:
        async with self._changed:
            notes.append(event.payload["n"])
            self._changed.notify_all()

    def open(self) -> None:
        self._open.set()

    async def reaches(self, *, began: int = 0, ended: int = 0) -> None:
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(
                lambda: len(self.began) >= began and len(self.ended) >= ended
            )


async def run(bus: InMemoryEventBus) -> asyncio.Task[None]:
    task = asyncio.create_task(bus.run_forever())
    await asyncio.sleep(0)
    return task


async def end(bus: InMemoryEventBus, task: asyncio.Task[None]) -> None:
    bus.stop()
    await task
