"""Observer: who is told what a bus published and how each attempt to deliver it ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from qt_events.delivery.outcome import Outcome
from qt_events.delivery.subscription import Subscription
from qt_events.events.event import Event


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one subscription, and its end."""

    event_id: str  #: "" where the message could not tell
    event_type: str
    subscription: str
    number: int  #: from 1
    outcome: Outcome


class Observer(Protocol):
    """Set as a bus's `observer`. Called on whichever thread the bus is on: it must be quick and must not raise.

    It hears of this process only: what other processes publish or handle it does not see.
    """

    def published(self, event: Event[Any], subscriptions: Sequence[Subscription]) -> None:
        """An event was taken that `subscriptions` of this process hear; over RabbitMQ one may have done so already."""

    def concluded(self, attempt: Attempt) -> None:
        """An attempt has an outcome; `join` does not return before this was called."""
