"""The counters behind get_stats()."""

from collections import Counter
from typing import Any

from qt_events.delivery import DeadLetter, Done, Outcome, Retry


class Stats:
    """Counts by event type and by subscription; the totals are their sums."""

    def __init__(self) -> None:
        self.published: Counter[str] = Counter()  #: by type
        self.dispatched: Counter[str] = Counter()  #: by type: events whose deliveries all have an outcome
        self.unroutable: Counter[str] = Counter()  #: by type
        self.failed: Counter[str] = Counter()  #: by type: failed attempts
        self.delivered: Counter[str] = Counter()  #: by subscription: handled to the end
        self.filtered: Counter[str] = Counter()  #: by subscription: its predicate said no, or its binding is gone
        self.errors: Counter[str] = Counter()  #: by subscription: failed attempts
        self.retried: Counter[str] = Counter()  #: by subscription
        self.dead_lettered: Counter[str] = Counter()  #: by subscription
        self.slow: Counter[str] = Counter()  #: by subscription: handlers over the threshold
        self.blocked: Counter[str] = Counter()  #: by subscription: times a handler blocked the event loop

    def outcome(self, subscription: str, event_type: str, outcome: Outcome) -> None:
        """Count one attempt's end."""
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

    def snapshot(self, *, queue_size: int, handler_types: int, total_handlers: int) -> dict[str, Any]:
        """The dict of SPEC.md's six keys, and `retries`, `dead_letters`, ..., `by_type` and `by_subscription`."""
        return {
            "published": self.published.total(),
            "dispatched": self.dispatched.total(),
            "errors": self.errors.total(),
            "queue_size": queue_size,
            "handler_types": handler_types,
            "total_handlers": total_handlers,
            "delivered": self.delivered.total(),
            "filtered": self.filtered.total(),
            "retries": self.retried.total(),
            "dead_letters": self.dead_lettered.total(),
            "unroutable": self.unroutable.total(),
            "slow": self.slow.total(),
            "blocked": self.blocked.total(),
            "by_type": _table(
                published=self.published, dispatched=self.dispatched, errors=self.failed, unroutable=self.unroutable
            ),
            "by_subscription": _table(
                delivered=self.delivered,
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
