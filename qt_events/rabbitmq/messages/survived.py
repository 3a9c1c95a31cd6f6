"""SurvivedDeliveries: events that went back to the broker from a worker that lives on."""

from collections import OrderedDict
from dataclasses import replace

from qt_events.limits import MAX_PREFETCH
from qt_events.rabbitmq.messages.envelope import RETURNS, Envelope


class SurvivedDeliveries:
    """Events that this worker gave back: it lost its connection, or could not save an outcome.

    Their returns do not count here: an event that ends its process would have ended this one. If a
    child of this process died of it, the entry is revoked. Other workers do not know of it.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def grant(self, envelope: Envelope) -> None:
        """Note that an event goes back; not one without an id, which looks like any other."""
        if not envelope.event_id:
            return
        self._known[envelope.subscription, envelope.event_id] = None
        # As many as one consumer may hold, which lose their connection together.
        while len(self._known) > MAX_PREFETCH:
            self._known.popitem(last=False)

    def revoke(self, envelope: Envelope) -> None:
        """Forget an event: a child of this process died of it, or of its time limit."""
        self._known.pop((envelope.subscription, envelope.event_id), None)

    def applied(self, envelope: Envelope) -> Envelope:
        """Return the envelope of a survived event without its returns; its trials stay."""
        if not envelope.returns or (envelope.subscription, envelope.event_id) not in self._known:
            return envelope
        return replace(envelope, headers={**envelope.headers, RETURNS: 0})
