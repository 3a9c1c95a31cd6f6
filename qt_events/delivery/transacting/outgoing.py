"""Outgoing: what a handler publishes, held until its transaction is committed."""

from contextvars import ContextVar
from typing import Any, Protocol

from qt_events.events.event import Event


class Outgoing(Protocol):
    """Taker of what one handler publishes on its bus, as a part of its transaction.

    Nobody can know by then whether anybody hears it: `mandatory` has no effect on what it takes.
    """

    #: The middleware of its bus. What is published on any other bus is published at once.
    bus: object

    async def take(self, event: Event[Any]) -> None:
        """Take an event, which has its cause by now."""

    def take_sync(self, event: Event[Any]) -> None:
        """Do the same for publish_sync()."""


_outgoing: ContextVar[Outgoing | None] = ContextVar("qt_events.outgoing", default=None)

#: Return who takes what is published here, whichever bus it belongs to; or None.
current_outgoing = _outgoing.get
#: Set that for the context that this is called in; `release_outgoing` takes what it returns.
bind_outgoing = _outgoing.set
release_outgoing = _outgoing.reset


def outgoing_of(bus: object) -> Outgoing | None:
    """Return who takes what is published here on this bus; None: it is to be published at once."""
    here = current_outgoing()
    return here if here is not None and here.bus is bus else None
