"""Handlers that scenarios subscribe: each records its calls under its subscription's name."""

import math
from typing import Any

from qt_events.bus import EventBus
from qt_events.delivery.subscription import EventHandler
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import is_open, nth_call, record


def recording(name: str) -> EventHandler:
    """Return an async handler that records its calls as `name`."""

    async def handler(event: Event[Any]) -> None:
        record(name, event)

    return handler


def hear(bus: EventBus, pattern: str, name: str, **options: Any) -> None:
    """Subscribe an async handler that records its calls."""
    bus.subscribe(pattern, recording(name), name=name, **options)


def fail(
    bus: EventBus,
    pattern: str,
    name: str,
    *,
    times: float = math.inf,
    until: str = "",
    **options: Any,
) -> None:
    """Subscribe an async handler that records its calls and raises OSError.

    It fails the first `times` that it gets an event, and until the gate `until` is open.
    """

    async def handler(event: Event[Any]) -> None:
        if nth_call(name, event) <= times and not (until and is_open(until)):
            raise OSError(f"{name} is out of order")

    bus.subscribe(pattern, handler, name=name, **options)
