"""Backpressure, and rings of publishing handlers."""

import asyncio
import re
from typing import Any

import pytest

from qt_events.bus import EventBus
from qt_events.errors import BackpressureError
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import hear, record
from qt_events.testing.contract.scenario import Feature, Options, Scenario, ScenarioRun, this_bus


class Backpressure(Scenario):
    """A publish waits while the bus holds `max_queue_size` events, then raises an error.

    The error names the slowest subscription.
    """

    needs = Feature.BACKPRESSURE
    options = Options(max_queue_size=3, publish_timeout=0.2)

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "pressed.happened", "pressed.quick")
        hear(bus, "pressed.happened", "pressed.slow", after="pressed.go")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish_numbered("pressed.happened", 3)
        with pytest.raises(BackpressureError, match=re.escape("'pressed.slow'")):
            await run.publish("pressed.happened", n=3)
        run.open("pressed.go")
        await run.called("pressed.slow", 3)
        await run.publish("pressed.happened", n=4)
        calls = await run.called("pressed.slow", 4)
        assert [call.payload["n"] for call in calls] == [0, 1, 2, 4]


class WaitingForRoom(Scenario):
    """A publish that waits for room goes on as soon as there is some."""

    needs = Feature.BACKPRESSURE
    options = Options(max_queue_size=2)

    def subscribe(self, bus: EventBus) -> None:
        hear(bus, "awaited.happened", "awaited.slow", after="awaited.go")

    async def check(self, run: ScenarioRun) -> None:
        publishing = [asyncio.create_task(run.publish("awaited.happened", n=n)) for n in range(6)]
        await asyncio.wait(publishing, return_when=asyncio.FIRST_COMPLETED)
        assert not all(task.done() for task in publishing)
        run.open("awaited.go")
        await asyncio.gather(*publishing)
        calls = await run.called("awaited.slow", 6)
        assert [call.payload["n"] for call in calls] == list(range(6))


async def pass_on(event: Event[Any]) -> None:
    record("ring.passed", event)
    left, here = event.payload["left"], event.payload["to"]
    if left > 0:
        other = "ring.a" if here == "ring.b" else "ring.b"
        await this_bus().publish(Event(here, None, {"left": left - 1, "to": other}))


class Ring(Scenario):
    """Handlers that publish to each other in a ring do not lock up.

    More is under way than the bus may hold.
    """

    options = Options(max_queue_size=2, publish_timeout=1.0)

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("ring.*", pass_on, name="ring.both")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("ring.a", left=10, to="ring.b")
        await run.publish("ring.b", left=10, to="ring.a")
        await run.called("ring.passed", 22)
        # This one comes after any call too many.
        fence = await run.publish("ring.fence", left=0, to="")
        await run.called("ring.passed", event=fence)
        assert len(run.calls("ring.passed")) == 23


async def multiply(event: Event[Any]) -> None:
    record("multiplied.root", event)
    for n in range(20):
        await this_bus().publish(Event("multiplied.leaf", None, {"n": n}))


class Fountain(Scenario):
    """Events that a handler publishes are always admitted, even more than `max_queue_size`."""

    options = Options(max_queue_size=2, publish_timeout=1.0)

    def subscribe(self, bus: EventBus) -> None:
        bus.subscribe("multiplied.root", multiply, name="multiplied.root")
        hear(bus, "multiplied.leaf", "multiplied.leaf")

    async def check(self, run: ScenarioRun) -> None:
        await run.publish("multiplied.root")
        leaves = await run.called("multiplied.leaf", 20)
        assert run.in_turn(call.payload["n"] for call in leaves) == list(range(20))
        assert len(run.calls("multiplied.root")) == 1
