"""SurvivedDeliveries: events that went back to the broker while the worker that held them lived on."""

from collections import OrderedDict
from dataclasses import replace

from qt_events.rabbitmq.messages.envelope import RETURNS, Envelope

#: Events. More than a worker holds.
_REMEMBERED = 10_000


class SurvivedDeliveries:
    """Events that this worker held and survived: it lost its connection, or could not save an outcome.

    Their returns do not count here: an event that ends its process would have ended this one. If a
    child of this process died of it, the entry is revoked. Other workers do not know of it.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def grant(self, envelope: Envelope) -> None:
        """It goes back, and this process lives. Of events without an id one cannot be told from another."""
        if not envelope.event_id:
            return
        self._known[envelope.subscription, envelope.event_id] = None
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    def revoke(self, envelope: Envelope) -> None:
        """It goes back, and a child of this process has died of it, or of its time limit."""
        self._known.pop((envelope.subscription, envelope.event_id), None)

    def applied(self, envelope: Envelope) -> Envelope:
        """The envelope, as if it had never come back; one on trial goes on with the same trial."""
        if not envelope.returns or (envelope.subscription, envelope.event_id) not in self._known:
            return envelope
        return replace(envelope, headers={**envelope.headers, RETURNS: 0})
