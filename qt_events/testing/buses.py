"""Buses: the buses of one test, running when it gets them and checked when it ends."""

import asyncio
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from qt_events.bus import create_event_bus
from qt_events.delivery.subscribing.handler_names import ALONE
from qt_events.errors import InvalidOptionError
from qt_events.testing.clock import ManualClock
from qt_events.testing.observed import ObservedEventBus

BACKENDS = ("memory", "eager", "rabbitmq")
# Any URL: eager mode connects to no broker.
_NOBODY = "amqp://eager@localhost//"
# Seconds for work that the test did not wait for
_GRACE = 5.0


@dataclass(frozen=True, slots=True)
class Choice:
    """The backend that `--event-bus` names, and its broker's URL if that was named."""

    backend: str
    url: str | None = None

    @classmethod
    def of(cls, text: str) -> "Choice":
        """Read `memory`, `eager`, `rabbitmq` or `amqp://...`; else an InvalidOptionError."""
        if text in BACKENDS:
            return cls(text)
        if text.startswith(("amqp://", "amqps://")):
            return cls("rabbitmq", text)
        # A URL may hold a password.
        shown = f"{urlsplit(text).scheme}://..." if "://" in text else repr(text)
        raise InvalidOptionError(
            f"event bus {shown}: there are {', '.join(BACKENDS)} and amqp://user:password@host/"
        )


class _TestIsOver(Exception):
    """Reason for leaving a bus without waiting for retries."""


class Buses:
    """Factory of buses of one backend: memory, eager, or rabbitmq at `url`, the test's vhost."""

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
        if self._backend == "memory":
            clock = ManualClock()
            return ObservedEventBus(create_event_bus("memory://", clock=clock, **options), clock)
        bus: Any = create_event_bus(self._url or _NOBODY, **{"service": ALONE, **options})
        if self._backend == "eager":
            bus.app.conf.task_always_eager = True
        return ObservedEventBus(bus)

    async def leftovers(self) -> str:
        """Return what the test never claimed, once the queued events have been attempted."""
        await asyncio.gather(*(bus.settle(_GRACE) for bus in self.opened))
        return "\n".join(filter(None, (bus.leftovers() for bus in self.opened)))

    async def close(self) -> None:
        """Stop all buses: running handlers get the grace period, waiting retries are dropped."""
        for bus in self.opened:
            await bus.__aexit__(_TestIsOver, _TestIsOver(), None)
            await asyncio.to_thread(bus.close)
