"""The event that is being handled here: what a handler publishes is caused by it."""

from contextvars import Context, ContextVar, copy_context
from typing import Any

from qt_events.errors import InvalidEventError
from qt_events.events.event import Event
from qt_events.events.replays import marked

# Event, subscription's name, attempt. One variable and a bare tuple, for every delivery sets it.
# None for the event of a batch: there are many.
_handled: ContextVar[tuple[Event[Any] | None, str, int] | None] = ContextVar(
    "qt_events.handled", default=None
)

#: Return the event whose handler runs here, its subscription's name and the attempt; or None.
current_attempt = _handled.get
#: Set those three for the context that this is called in.
bind_attempt = _handled.set


def current_event() -> Event[Any] | None:
    """Return the event whose handler is running here; None in batch handlers and outside."""
    here = current_attempt()
    return None if here is None else here[0]


def handled(event: Event[Any], subscription: str = "", attempt: int = 1) -> Context:
    """Copy this context for a handler of `event`."""
    context = copy_context()
    context.run(bind_attempt, (event, subscription, attempt))
    return context


def correlated(event: Event[Any]) -> Event[Any]:
    """Return `event` as caused by the one being handled here, unless it names a cause itself."""
    if event.replay_id:
        # A new publish of it is no replay.
        event = marked(event, "")
    cause = current_event()
    # A handler may publish its own event again: nothing causes itself.
    if cause is None or not event.is_root or event.id == cause.id:
        return event
    return event.caused_by(cause)


def checked_event(event: object) -> Event[Any]:
    """Return the argument of publish(), with its cause. InvalidEventError for other things."""
    if not isinstance(event, Event):
        raise InvalidEventError(
            f"publish() takes an Event, not {event!r}: make one with "
            "Event(type, timestamp, payload) or .create()"
        )
    return correlated(event)
