"""Giving back: an event that only another release of its subscription can handle.

While a release is rolled out, old and new workers serve one queue. An old one gets events of a new
pattern, a newer version or with a new value. It leaves them to a newer one, at growing intervals,
for as long as a release may take; only then is the event a dead letter. See docs/adr/026.
"""

from datetime import UTC, datetime

from qt_events.delivery.outcome import DeadLetter, Failure, GivenBack, unreadable
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import MessageError, UnknownHereError
from qt_events.rabbitmq.messages.envelope import Envelope

#: Seconds for which an event is given back, unless a bus is told otherwise.
ROLLOUT = 600.0
# Seconds until it is delivered again. They grow slowly: while one worker of ten is new, nine of ten
# copies come back to an old one.
_FIRST, _LONGEST = 0.5, 10.0
_SHARE = 0.25  # of the time that it has waited


def given_back(
    envelope: Envelope, error: MessageError, rollout: float, now: datetime | None = None
) -> GivenBack | DeadLetter:
    """Return the outcome of an event that this release cannot handle, because of `error`."""
    now = now or datetime.now(UTC)
    # The clock of the worker that began may be ahead.
    since = min(envelope.given_back_since or now, now)
    waited = (now - since).total_seconds()
    if waited >= rollout:
        return unreadable(error)
    pause = min(max(waited * _SHARE, _FIRST), _LONGEST, rollout - waited)
    return GivenBack(pause, since, Failure.of(error))


def unknown_here(subscription: Subscription, event_type: str) -> UnknownHereError:
    """Return the error of an event that matches none of the subscription's patterns here."""
    heard = ", ".join(map(repr, subscription.patterns))
    return UnknownHereError(
        f"{subscription.name} hears {heard} in this release, and its queue got {event_type!r}: "
        "start a release that hears it, or unsubscribe its pattern for good"
    )
