"""Logger: one line for every event on the bus, whatever its type."""

import logging
from typing import Any

from qt_events import Event, EventBus

logger = logging.getLogger(__name__)


class EventLogger:
    """Hears all. A plain function on purpose: writing logs may block, so it belongs in the bus's threads."""

    def __init__(self, bus: EventBus) -> None:
        bus.subscribe("#", self.on_event)

    def on_event(self, event: Event[Any]) -> None:
        logger.info("%s from %s, id %s, correlation %s", event.type, event.source, event.id, event.correlation_id)
