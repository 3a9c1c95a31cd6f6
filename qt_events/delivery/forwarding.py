"""Forwarding: an event that was kept as bytes, published to all who hear it."""

from typing import Protocol, runtime_checkable

from qt_events.events.raw import RawEvent


class Forwarding(Protocol):
    """Forwarding of one backend, without a look into the body."""

    @property
    def needs_event(self) -> bool:
        """True if an event of its class is needed now: for middleware, or to hand it out here."""

    async def send(self, event: RawEvent) -> None:
        """Publish the event as it is."""


@runtime_checkable
class Forwards(Protocol):
    """Bus that publishes an event as it was kept: for an outbox, or a spool."""

    async def forward(self, event: RawEvent) -> None:
        """Publish an event with its own id, source, time, cause and body, by its type.

        Middleware around publish() is called, for an event of its class. When this returns, the
        backend has the event safely.

        Raises:
            DecodeError: the event is needed as one of its class, which it does not fit.
            PublishNackedError: the broker could not store it now.
            PublishRefusedError: the broker does not take it, now or later.
            BrokerError: it is unknown whether it was taken; forward the same event again.
        """
