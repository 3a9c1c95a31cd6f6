"""Logger: logs each change of a strategy's stage and of the system's health."""

import logging
from typing import Any

from qt_events import Event, EventBus, HealthStatusChangedEvent, StrategyPromotedEvent
from workers.store import Store

logger = logging.getLogger(__name__)


class EventLogger:
    """Logs with a plain function: writing logs may block, so the bus runs it in a thread."""

    publishes = ()

    def __init__(self, bus: EventBus, _store: Store) -> None:
        bus.subscribe(StrategyPromotedEvent, self.on_event, name="event_logger.on_event")
        bus.subscribe(HealthStatusChangedEvent, self.on_event, name="event_logger.on_event")

    def on_event(self, event: Event[Any]) -> None:
        logger.info("%s from %s: %s", event.type, event.source, dict(event.payload))
