"""An event to log about, its fields, and the lines that were logged, for tests of logs."""

import logging
from collections.abc import Callable
from typing import Any

from qt_events.events.event import Event
from qt_events.logs.formatters import FIELDS

EVENT: Event[Any] = Event("unit.logged").caused_by(Event("unit.cause"))
log = logging.getLogger("my.app")


def fields(
    subscription: str = "unit", attempt: int = 1, event: Event[Any] = EVENT
) -> dict[str, Any]:
    values = (event.id, event.type, subscription, attempt, event.correlation_id)
    return dict(zip(FIELDS, values, strict=True))


Lines = Callable[[], list[dict[str, Any]]]


def fields_by_message(lines: Lines, logger: str = "my.app") -> dict[str, dict[str, Any]]:
    """Map message to the five fields, for the lines of one logger."""
    return {
        line["message"]: {name: line[name] for name in FIELDS if name in line}
        for line in lines()
        if line["logger"] == logger
    }
