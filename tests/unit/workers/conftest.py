"""A scene for one component: a bus that records all it carries, and a way to let days pass."""

from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar

import pytest

from qt_events import Event, InMemoryEventBus
from workers.events import MarketClosedEvent

E = TypeVar("E", bound=Event[Any])

MONDAY = date(2024, 1, 1)


class Scene:
    """A running bus and what was published on it."""

    def __init__(self) -> None:
        self.bus = InMemoryEventBus()
        self.events: list[Event[Any]] = []
        self.bus.subscribe("#", self.events.append, name="scene")

    async def say(self, *events: Event[Any]) -> None:
        """Publish these and wait for all that follows from them."""
        for event in events:
            await self.bus.publish(event)
        await self.bus.join()

    async def market(self, **paths: Sequence[float]) -> None:
        """Let days pass, one for each price; from a Monday on, weekends are trading days too."""
        for index, prices in enumerate(zip(*paths.values(), strict=True)):
            closes = dict(zip(paths, prices, strict=True))
            await self.say(MarketClosedEvent.create(day=MONDAY + timedelta(index), closes=closes))

    def heard(self, kind: type[E]) -> list[E]:
        """Events of this class, in order."""
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    scene = Scene()
    async with scene.bus:
        yield scene
    assert await scene.bus.dead_letters.list() == []
