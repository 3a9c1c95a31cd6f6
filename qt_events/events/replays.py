"""The mark of a replay: an event that is sent again, to one subscription."""

from typing import Any, TypeVar

from qt_events.events.event import Event

E = TypeVar("E", bound=Event[Any])


def marked(event: E, replay_id: str) -> E:
    """Return a copy that this replay sends again; "" takes the mark away."""
    copy = event.replace()
    # An event is immutable, once it is made.
    object.__setattr__(copy, "replay_id", replay_id)
    return copy
