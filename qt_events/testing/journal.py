"""Journal: everything that a bus published and attempted, for the assertions."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import consequences
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event

# Event id, subscription
DeliveryKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Publication:
    """An event that the bus took, and the subscriptions that it had then."""

    event: Event[Any]
    subscriptions: tuple[str, ...]


class Journal:
    """Observer that keeps publications and attempts, oldest first. Any thread may write."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.attempts: list[Attempt] = []
        #: Called after each entry, on the thread that wrote it.
        self.on_change: Callable[[], None] | None = None
        self._last: dict[DeliveryKey, Attempt] = {}
        # Deliveries without a final outcome, each with its last failed attempt, if any.
        self._open: dict[DeliveryKey, Attempt | None] = {}
        # Open deliveries that have failed
        self._waiting = 0
        self._lock = threading.Lock()

    def published(self, event: Event[Any], subscriptions: Sequence[Subscription]) -> None:
        names = tuple(each.name for each in subscriptions)
        with self._lock:
            self.publications.append(Publication(event, names))
            for name in names:
                # Over RabbitMQ the outcome may come before the confirm.
                if (event.id, name) not in self._last:
                    self._open.setdefault((event.id, name), None)
        self._tell()

    def concluded(self, attempt: Attempt) -> None:
        delivery = (attempt.event_id, attempt.subscription)
        with self._lock:
            self.attempts.append(attempt)
            self._last[delivery] = attempt
            self._waiting -= self._open.pop(delivery, None) is not None
            if consequences(attempt.outcome).again_after is not None:
                self._open[delivery] = attempt
                self._waiting += 1
        self._tell()

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change()

    @property
    def moving(self) -> bool:
        """True while a delivery is queued, or is being handled for the first time."""
        return len(self._open) > self._waiting

    def only_waits(self, timers: int) -> bool:
        """Return True if nothing happens before one of these timers of retries fires."""
        return 0 < self._waiting <= timers and not self.moving

    @property
    def open(self) -> dict[DeliveryKey, Attempt | None]:
        """Deliveries without a final outcome, each with its last failed attempt, if any."""
        with self._lock:
            return dict(self._open)

    @property
    def dead(self) -> list[Attempt]:
        """Attempts that made a dead letter and were not followed by another."""
        with self._lock:
            return [
                attempt
                for attempt in self._last.values()
                if consequences(attempt.outcome).dead_letter is not None
            ]

    def of(self, subscription: str | None = None, event: Event[Any] | None = None) -> list[Attempt]:
        """Return the attempts, all or those of one subscription or one event."""
        return [
            attempt
            for attempt in tuple(self.attempts)
            if subscription in (None, attempt.subscription)
            and (event is None or attempt.event_id == event.id)
        ]
