"""Inbox: what a subscription needs for an event to take effect once. See docs/adr/045."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from qt_events.errors import InvalidOptionError, NotSupportedError

_HOW = "qt_events.outbox.Inbox(engine) makes one"


class Inbox(Protocol):
    """Transaction around each call of a handler, in which it is noted that the event was handled.

    `qt_events.outbox.Inbox` is one over SQLAlchemy.
    """

    def around(
        self, subscription: str, handler: Callable[[Any], object], bus: object
    ) -> Callable[[Any], object]:
        """Return a handler that calls `handler` in a transaction; async if that is.

        It returns DEDUPLICATED, and calls nothing, for an event that was handled before. Where the
        handler fails, or leaves its transaction broken, it raises, and nothing is kept.

        Args:
            subscription: name of the subscription whose handler it is.
            handler: takes one event.
            bus: the middleware of the bus. What the handler publishes on that is a part of the
                transaction; see Outgoing.

        Raises:
            UsageError: it cannot be put around this handler.
        """


@dataclass(frozen=True, slots=True)
class InboxOnBus:
    """Inbox of a subscription, with the middleware of the bus on which that is made."""

    inbox: Inbox
    bus: object

    def around(
        self, subscription: str, handler: Callable[[Any], object]
    ) -> Callable[[Any], object]:
        """See Inbox."""
        return self.inbox.around(subscription, handler, self.bus)

    def __repr__(self) -> str:
        return repr(self.inbox)


def checked_inbox(whose: str, inbox: object, *, broadcast: bool, batch: int | None) -> None:
    """Refuse what is no inbox, and subscriptions that one cannot serve.

    Raises:
        InvalidOptionError: it is no inbox.
        NotSupportedError: the subscription is a broadcast, or its handler takes lists.
    """
    if inbox is None:
        return
    if not isinstance(inbox, InboxOnBus) or not callable(getattr(inbox.inbox, "around", None)):
        raise InvalidOptionError(f"{whose}: inbox={inbox!r:.200} is no inbox: {_HOW}")
    if broadcast:
        raise NotSupportedError(
            f"{whose} is a broadcast: each process handles each event, and a note that one did it "
            "would keep the event from the others; leave inbox= out, or leave broadcast= out"
        )
    if batch is not None:
        raise NotSupportedError(
            f"{whose}: the events of a list have an end each, and a transaction has one for all: "
            "leave batch= out, or leave inbox= out and make the handler's statements idempotent"
        )
