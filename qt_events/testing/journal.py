"""Journal: what a bus published and attempted, in memory; the Observer that tests look through."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from qt_events.delivery import DeadLetter, Retry
from qt_events.events import Event
from qt_events.observer import Attempt
from qt_events.subscription import Subscription

DeliveryKey = tuple[str, str]  # event id, subscription


@dataclass(frozen=True, slots=True)
class Publication:
    """An event that was taken, and who was subscribed to it then."""

    event: Event[Any]
    subscriptions: tuple[str, ...]


class Journal:
    """Oldest first. Any thread may write; what it tells is of now."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.attempts: list[Attempt] = []
        self.on_change: Callable[[], None] | None = None  #: called after each entry, on whichever thread wrote it
        self._last: dict[DeliveryKey, Attempt] = {}
        self._open: dict[DeliveryKey, Attempt | None] = {}  # without a final outcome: the last failed attempt, if any
        self._waiting = 0  # of those, how many have failed
        self._lock = threading.Lock()

    def published(self, event: Event[Any], subscriptions: Sequence[Subscription]) -> None:
        """See Observer."""
        names = tuple(each.name for each in subscriptions)
        with self._lock:
            self.publications.append(Publication(event, names))
            for name in names:
                if (event.id, name) not in self._last:  # over RabbitMQ the outcome may come before the confirm
                    self._open.setdefault((event.id, name), None)
        self._tell()

    def concluded(self, attempt: Attempt) -> None:
        """See Observer."""
        delivery = (attempt.event_id, attempt.subscription)
        with self._lock:
            self.attempts.append(attempt)
            self._last[delivery] = attempt
            self._waiting -= self._open.pop(delivery, None) is not None
            if isinstance(attempt.outcome, Retry):
                self._open[delivery] = attempt
                self._waiting += 1
        self._tell()

    def _tell(self) -> None:
        if self.on_change is not None:
            self.on_change()

    @property
    def moving(self) -> bool:
        """Whether a delivery is queued or being handled for the first time."""
        return len(self._open) > self._waiting

    def only_waits(self, timers: int) -> bool:
        """Whether nothing happens before one of these timers of retries fires."""
        return 0 < self._waiting <= timers and not self.moving

    @property
    def open(self) -> dict[DeliveryKey, Attempt | None]:
        """Deliveries without a final outcome, each with its last failed attempt, if there was one."""
        with self._lock:
            return dict(self._open)

    @property
    def dead(self) -> list[Attempt]:
        """The deliveries whose last attempt made a dead letter."""
        with self._lock:
            return [attempt for attempt in self._last.values() if isinstance(attempt.outcome, DeadLetter)]

    def event(self, event_id: str) -> Event[Any] | None:
        """The event, if it was published here."""
        return next((each.event for each in self.publications if each.event.id == event_id), None)

    def of(self, subscription: str | None = None, event: Event[Any] | None = None) -> list[Attempt]:
        """The attempts of one subscription, with one event, or all."""
        return [
            attempt
            for attempt in tuple(self.attempts)
            if subscription in (None, attempt.subscription) and (event is None or attempt.event_id == event.id)
        ]
