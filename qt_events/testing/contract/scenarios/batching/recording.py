"""Record of a call of a batch handler."""

from typing import Any

from qt_events.events.event import Event
from qt_events.testing.contract.recorder import record


def record_all(name: str, events: list[Event[Any]], **details: Any) -> None:
    """Record each event of a list, with the number of events in it."""
    for event in events:
        record(name, event, size=len(events), **details)
