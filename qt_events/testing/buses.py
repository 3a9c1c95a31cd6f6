"""Buses: the buses of one test, running when it gets them and checked when it ends."""

import asyncio
from typing import Any, cast

from qt_events.bus import create_event_bus
from qt_events.errors import InvalidOptionError
from qt_events.testing.clock import ManualClock
from qt_events.testing.observed import ObservedEventBus

_NOBODY = "amqp://eager@localhost//"  # any URL: eager mode connects to no broker
_GRACE = 5.0  # seconds for work that the test did not wait for


class _TestIsOver(Exception):
    """Reason for leaving a bus without waiting for retries."""


class Buses:
    """Factory of buses of one backend: memory, eager, or rabbitmq at `url`, a vhost of the test's
    own.
    """

    def __init__(self, backend: str, url: str | None) -> None:
        self._backend, self._url = backend, url
        self.opened: list[ObservedEventBus] = []

    async def open(self, **options: Any) -> ObservedEventBus:
        """Open one more bus, running. InvalidOptionError if the backend has no such option."""
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
        """Return what the test never claimed, once the queued events have been attempted."""
        await asyncio.gather(*(bus.settle(_GRACE) for bus in self.opened))
        return "\n".join(filter(None, (bus.leftovers() for bus in self.opened)))

    async def close(self) -> None:
        """Stop all buses: running handlers get the grace period, waiting retries are dropped."""
        for bus in self.opened:
            await bus.__aexit__(_TestIsOver, _TestIsOver(), None)
            await asyncio.to_thread(bus.close)
