"""UnacknowledgedEvents: events with an outcome whose acknowledgement the broker does not hear."""

import math
from collections import OrderedDict
from time import monotonic

from qt_events.delivery.outcome import Outcome
from qt_events.limits import MAX_PREFETCH
from qt_events.rabbitmq.messages.envelope import Envelope

# Seconds for an outcome that is safe. The broker delivers again within moments; later another
# worker may have buried the event, and an operator sent it back.
_FOR = 600.0
_NOTHING = (0.0, None)

#: Message of one copy of an event: key, event id, attempt, quarantined, trials.
Delivered = tuple[str, str, int, bool, int]


class UnacknowledgedEvents:
    """Outcomes of events that this worker handled while, or until, its connection was lost.

    A handler that blocks the event loop keeps the broker's heartbeats from being answered. The
    broker hangs up and delivers again whatever was held. If that comes here, it is not handled
    again. Other workers do not know of it.
    """

    def __init__(self) -> None:
        # With the time, by time.monotonic(), until which it is remembered.
        self._outcomes: OrderedDict[Delivered, tuple[float, Outcome | None]] = OrderedDict()

    def add(self, envelope: Envelope, outcome: Outcome | None) -> None:
        """Remember an outcome, None for one that is safe already; not without an id to find it.

        One that is not safe is remembered for as long as the process lives: the broker may be away
        for hours, and the handler is not to be called again for what is decided.
        """
        if not envelope.event_id:
            return
        until = monotonic() + _FOR if outcome is None else math.inf
        self._outcomes[delivered(envelope)] = (until, outcome)
        # As many as one consumer may hold, which lose their connection together.
        while len(self._outcomes) > MAX_PREFETCH:
            self._outcomes.popitem(last=False)

    def knows(self, envelope: Envelope) -> bool:
        """Return True if this message has been delivered before, and its outcome is known.

        A copy that was never delivered is another one: an operator has sent back a dead letter.
        """
        if not envelope.redelivered:
            return False
        until, _ = self._outcomes.get(delivered(envelope), _NOTHING)
        return monotonic() < until

    def take(self, envelope: Envelope) -> Outcome | None:
        """Return the outcome of an event that it knows, and forget it."""
        _, outcome = self._outcomes.pop(delivered(envelope))
        return outcome


def delivered(envelope: Envelope) -> Delivered:
    """Return what identifies a message from one delivery to the next."""
    return (
        envelope.key, envelope.event_id, envelope.attempt, envelope.quarantined, envelope.trials,
    )  # fmt: skip
