"""The counters behind get_stats()."""

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from qt_events.delivery.outcome import DeadLetter, Done, Outcome, Retry


class Tally:
    """The counts of what happens most, by one thread alone: it needs no lock, which would cost more than the counting.

    They are a part of what `Stats.snapshot` tells.
    """

    def __init__(self) -> None:
        self.published: defaultdict[str, int] = defaultdict(
            int
        )  #: by type: what was heard by somebody
        self.dispatched: defaultdict[str, int] = defaultdict(int)  #: by type
        self.delivered: defaultdict[str, int] = defaultdict(int)  #: by subscription


class Stats:
    """Counts by event type and by subscription; the totals are their sums. Its methods are for any thread.

    The counters are there to be read; adding to one from outside may lose what another thread adds meanwhile.
    What is in `tally` is not in them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.tally = Tally()
        self.published: Counter[str] = Counter()  #: by type
        self.dispatched: Counter[str] = (
            Counter()
        )  #: by type: events whose deliveries all have an outcome
        self.unroutable: Counter[str] = Counter()  #: by type
        self.failed: Counter[str] = Counter()  #: by type: failed attempts
        self.delivered: Counter[str] = Counter()  #: by subscription: handled to the end
        self.filtered: Counter[str] = (
            Counter()
        )  #: by subscription: its predicate said no, or its binding is gone
        self.errors: Counter[str] = Counter()  #: by subscription: failed attempts
        self.retried: Counter[str] = Counter()  #: by subscription
        self.dead_lettered: Counter[str] = Counter()  #: by subscription
        self.slow: Counter[str] = Counter()  #: by subscription: handlers over the threshold
        self.blocked: Counter[str] = (
            Counter()
        )  #: by subscription: times a handler blocked the event loop

    def count_published(self, event_type: str, *, routed: bool) -> None:
        """Count an event that was taken, `routed` or heard by nobody."""
        with self._lock:
            self.published[event_type] += 1
            if not routed:
                self.unroutable[event_type] += 1

    def count_dispatched(self, event_type: str) -> None:
        """Count an event whose deliveries all have an outcome now."""
        with self._lock:
            self.dispatched[event_type] += 1

    def count_slow(self, subscription: str) -> None:
        """Count a handler that took too long."""
        with self._lock:
            self.slow[subscription] += 1

    def count_blocked(self, subscription: str) -> None:
        """Count a handler that blocked the event loop."""
        with self._lock:
            self.blocked[subscription] += 1

    def outcome(self, subscription: str, event_type: str, outcome: Outcome) -> None:
        """Count one attempt's end."""
        with self._lock:
            self._count_outcome(subscription, event_type, outcome)

    def _count_outcome(self, subscription: str, event_type: str, outcome: Outcome) -> None:
        match outcome:
            case Done(handled=True):
                self.delivered[subscription] += 1
                return
            case Done():
                self.filtered[subscription] += 1
                return
            case Retry():
                self.retried[subscription] += 1
            case DeadLetter():
                self.dead_lettered[subscription] += 1
        self.errors[subscription] += 1
        self.failed[event_type] += 1

    def snapshot(
        self,
        *,
        queue_size: int,
        handler_types: int,
        total_handlers: int,
        waiting: Mapping[str, int] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """The six keys that every bus has, and `retries`, `dead_letters`, ..., `by_type` and `by_subscription`.

        `waiting` counts by cause the publishes that have waited for more than a second.
        """
        with self._lock:
            # Backwards, for the loop goes on counting; dict(...) takes a copy in one step, whatever is added meanwhile.
            delivered = self.delivered + Counter(dict(self.tally.delivered))
            dispatched = self.dispatched + Counter(dict(self.tally.dispatched))
            published = self.published + Counter(dict(self.tally.published))
            return {
                "published": published.total(),
                "dispatched": dispatched.total(),
                "errors": self.errors.total(),
                "queue_size": queue_size,
                "handler_types": handler_types,
                "total_handlers": total_handlers,
                "delivered": delivered.total(),
                "filtered": self.filtered.total(),
                "retries": self.retried.total(),
                "dead_letters": self.dead_lettered.total(),
                "unroutable": self.unroutable.total(),
                "slow": self.slow.total(),
                "blocked": self.blocked.total(),
                "waiting": dict(waiting),
                "by_type": _table(
                    published=published,
                    dispatched=dispatched,
                    errors=self.failed,
                    unroutable=self.unroutable,
                ),
                "by_subscription": _table(
                    delivered=delivered,
                    filtered=self.filtered,
                    errors=self.errors,
                    retries=self.retried,
                    dead_letters=self.dead_lettered,
                    slow=self.slow,
                    blocked=self.blocked,
                ),
            }


def _table(**columns: Counter[str]) -> dict[str, dict[str, int]]:
    rows = sorted(set().union(*columns.values()))
    return {row: {name: column[row] for name, column in columns.items()} for row in rows}
