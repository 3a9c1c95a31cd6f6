"""Journey: the events that followed from one `market.closed`, as a tree by causation ids."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from qt_events import Event, Subscription, TradeExecutedEvent
from workers.events import MarketClosedEvent

ROOT, TRADE = MarketClosedEvent.event_type, TradeExecutedEvent.event_type


@dataclass(slots=True)
class Published:
    """One event, and the subscriptions that handled it."""

    event_type: str = ""
    cause: str | None = None  #: causation id
    published_at: float = 0.0  #: by the monotonic clock, in seconds
    handled_at: float = 0.0  #: the last time, by the same clock
    attempts: dict[str, int] = field(default_factory=dict)  #: by subscription


@dataclass(frozen=True, slots=True)
class Step:
    """Events of one type with one cause, and what followed from them."""

    event_type: str
    events: int
    handlers: dict[str, int]  #: subscription -> the most attempts that one of the events took
    consequences: tuple["Step", ...]

    def walk(self) -> Iterator["Step"]:
        """Yield the step and all that followed from it."""
        yield self
        for step in self.consequences:
            yield from step.walk()


@dataclass(frozen=True, slots=True)
class Journey:
    """All that followed from the close of one trading day."""

    root: Step
    deliveries: int
    seconds: float  #: from the first publish to the end of the last handler

    @property
    def events(self) -> int:
        """Number of events."""
        return sum(step.events for step in self.root.walk())

    @property
    def traded(self) -> bool:
        """True if the day led to a trade."""
        return any(step.event_type == TRADE for step in self.root.walk())


class JourneyRecorder:
    """A bus's observer that remembers which event caused which, and who handled it.

    Over RabbitMQ the bus may report a handler before the publish, so both create the entry. The
    recorder keeps about 500 bytes an event.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        #: By event id.
        self._events: dict[str, Published] = {}

    def published(self, event: Event[Any], _subscriptions: Sequence[Subscription]) -> None:
        """Remember an event. One that is published again keeps its first time."""
        with self._lock:
            entry = self._events.setdefault(event.id, Published())
            if not entry.event_type:
                entry.event_type, entry.cause = event.type, event.causation_id
                entry.published_at = monotonic()

    def concluded(self, attempt: Any) -> None:
        """Remember an attempt of a subscription."""
        with self._lock:
            entry = self._events.setdefault(attempt.event_id, Published())
            entry.handled_at = monotonic()
            before = entry.attempts.get(attempt.subscription, 0)
            entry.attempts[attempt.subscription] = max(before, attempt.number)

    def journey(self) -> Journey | None:
        """Return the journey of the last day with a trade, else of the last day, if any."""
        with self._lock:
            consequences = self._by_cause()
            roots = [
                event_id for event_id, entry in self._events.items() if entry.event_type == ROOT
            ]
            found = (self._journey(event_id, consequences) for event_id in reversed(roots))
            last = next(found, None)
            if last is None or last.traded:
                return last
            return next((journey for journey in found if journey.traded), last)

    def _by_cause(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for event_id, entry in self._events.items():
            if entry.cause is not None:
                found.setdefault(entry.cause, []).append(event_id)
        return found

    def _journey(self, root: str, consequences: dict[str, list[str]]) -> Journey:
        entries = [self._events[event_id] for event_id in _descendants(root, consequences)]
        ended = max(max(entry.handled_at, entry.published_at) for entry in entries)
        return Journey(
            root=self._step([root], consequences),
            deliveries=sum(len(entry.attempts) for entry in entries),
            seconds=ended - self._events[root].published_at,
        )

    def _step(self, ids: Sequence[str], consequences: dict[str, list[str]]) -> Step:
        by_type: dict[str, list[str]] = {}
        for event_id in ids:
            for consequence in consequences.get(event_id, ()):
                by_type.setdefault(self._events[consequence].event_type, []).append(consequence)
        entries = [self._events[event_id] for event_id in ids]
        return Step(
            event_type=entries[0].event_type,
            events=len(ids),
            handlers=_most_attempts(entry.attempts for entry in entries),
            consequences=tuple(self._step(each, consequences) for each in by_type.values()),
        )


def _descendants(root: str, consequences: dict[str, list[str]]) -> Iterator[str]:
    yield root
    for event_id in consequences.get(root, ()):
        yield from _descendants(event_id, consequences)


def _most_attempts(attempts: Iterable[dict[str, int]]) -> dict[str, int]:
    most: dict[str, int] = {}
    for each in attempts:
        for subscription, number in each.items():
            most[subscription] = max(most.get(subscription, 0), number)
    return dict(sorted(most.items()))
