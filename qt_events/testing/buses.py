"""Buses: those of one test, opened and running when it gets them, and what they leave behind at its end."""

import asyncio
from typing import Any, cast

from qt_events.bus import create_event_bus
from qt_events.errors import InvalidOptionError
from qt_events.testing.clock import ManualClock
from qt_events.testing.observed import ObservedEventBus

_NOBODY = "amqp://eager@localhost//"  # eager mode connects to no broker
_GRACE = 5.0  # seconds that the end of a test gives to what it did not wait for


class _TestIsOver(Exception):
    """Why a bus is left without waiting for retries."""


class Buses:
    """Opens buses of one backend: memory, eager, or rabbitmq at `url`, a vhost that nobody else uses."""

    def __init__(self, backend: str, url: str | None) -> None:
        self._backend, self._url = backend, url
        self.opened: list[ObservedEventBus] = []

    async def open(self, **options: Any) -> ObservedEventBus:
        """One more, running. InvalidOptionError if the backend has no such option."""
        if "clock" in options:
            raise InvalidOptionError(
                "the bus of a test has a clock of its own already: event_bus.clock"
            )
        bus = self._made({"grace": _GRACE, **options})
        await bus.__aenter__()
        self.opened.append(bus)
        return bus

    def _made(self, options: dict[str, Any]) -> ObservedEventBus:
        match self._backend:
            case "memory":
                clock = ManualClock()
                return ObservedEventBus(
                    create_event_bus("memory://", clock=clock, **options), clock
                )
            case "eager":
                bus = cast("Any", create_event_bus(_NOBODY, **options))
                bus.app.conf.task_always_eager = True
                return ObservedEventBus(bus)
            case _:
                return ObservedEventBus(create_event_bus(str(self._url), **options))

    async def leftovers(self) -> str:
        """What the test said nothing about, once what is queued has been attempted; empty if all is well."""
        await asyncio.gather(*(bus.settle(_GRACE) for bus in self.opened))
        return "\n".join(filter(None, (bus.leftovers() for bus in self.opened)))

    async def close(self) -> None:
        """Stop them all; what is under way has the grace period, what waits for a retry is dropped."""
        for bus in self.opened:
            await bus.__aexit__(_TestIsOver, _TestIsOver(), None)
            await asyncio.to_thread(bus.close)
