"""Stats: the counters behind get_stats(); SlowHandlerLog: reports of handlers that take long."""

import logging
import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from heapq import nlargest
from time import monotonic
from types import MappingProxyType
from typing import Any, Protocol

from qt_events.delivery.outcome import HANDLED, Outcome, consequences
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event

logger = logging.getLogger("qt_events")

#: Seconds from which a handler is slow, unless a bus is told otherwise.
SLOW_AFTER = 0.1
# Seconds between two log lines about one slow subscription; the counters count all.
_REPORT_EVERY = 10.0

#: Name of the row that has what the rows without a place of their own counted.
OTHERS = "(others)"
MOST_ROWS = 1_000  #: types, or subscriptions, that one counter tells apart
# Held while rows are counted together, by whoever copies a Tally.
_folding = threading.Lock()


def _make_room(rows: dict[str, int]) -> int:
    """Return the count of a new row, 0, and make room for it first.

    Types may come from anywhere, and some programs put an id into them. When there are too many,
    the half that counted least is counted together from then on, in the row OTHERS, so that the
    sum stays right. Known rows cost no look at all.
    """
    if len(rows) >= MOST_ROWS:
        with _folding:
            total = sum(rows.values())
            rows.pop(OTHERS, None)
            # Of equal ones the older ones stay.
            kept = {
                each: rows[each] for each in nlargest(MOST_ROWS // 2, rows, key=rows.__getitem__)
            }
            rows.clear()
            rows |= {OTHERS: total - sum(kept.values()), **kept}
    return 0


class Rows(Counter[str]):
    """Counter by type or by subscription, with at most MOST_ROWS rows."""

    def __missing__(self, key: str) -> int:
        return _make_room(self)


def fast_rows() -> defaultdict[str, int]:
    """Return a dict that counts as Rows does, in a third of the time."""
    rows: defaultdict[str, int] = defaultdict(lambda: _make_room(rows))
    return rows


class Tally:
    """Counters of what happens most often, for one thread alone.

    They need no lock, which would cost more than the counting. `Stats.snapshot` includes them.
    """

    def __init__(self) -> None:
        #: By type: events that somebody hears.
        self.published = fast_rows()
        #: By type.
        self.dispatched = fast_rows()
        #: By subscription.
        self.delivered = fast_rows()


class Stats:
    """Counters by event type and by subscription; the totals are their sums. Thread-safe.

    The counters are there to be read; adding to one from outside may lose an addition by another
    thread. They do not include those of `tally`. Each has at most MOST_ROWS rows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.tally = Tally()
        self._unheard = UnheardLog()
        # By type.
        self.published = Rows()
        #: Events whose deliveries all have an outcome.
        self.dispatched = Rows()
        self.unroutable = Rows()
        #: Failed attempts.
        self.failed = Rows()
        # By subscription. Consequences names the counter of an outcome.
        #: Events handled to the end.
        self.delivered = Rows()
        #: Events that a predicate refused, or whose binding is gone.
        self.filtered = Rows()
        #: Events that an inbox knew to be handled before.
        self.deduplicated = Rows()
        #: Times that an event was left to another release.
        self.given_back = Rows()
        self.retried = Rows()
        self.dead_lettered = Rows()
        #: Failed attempts.
        self.errors = Rows()
        #: Handlers over the threshold.
        self.slow = Rows()
        #: Handlers that blocked the event loop.
        self.blocked = Rows()

    def after_fork(self) -> None:
        """Go on counting in a forked child: a thread of its parent may have been counting."""
        self._lock = threading.Lock()

    def count_published(self, event_type: str, *, routed: bool) -> None:
        """Count an event that was taken, `routed` or heard by nobody."""
        with self._lock:
            self.published[event_type] += 1
            if routed:
                return
            self.unroutable[event_type] += 1
            to_be_told = self._unheard.note(event_type)
        if to_be_told:
            self._unheard.tell(event_type)

    def count_unroutable(self, event_type: str) -> None:
        """Count an event that was published, and that nobody hears as it turns out."""
        with self._lock:
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

    def count_outcome(self, subscription: str, event_type: str, outcome: Outcome) -> None:
        """Count the end of one attempt."""
        with self._lock:
            if outcome is HANDLED:
                self.delivered[subscription] += 1
                return
            follows = consequences(outcome)
            counter: Counter[str] = getattr(self, follows.counter)
            counter[subscription] += 1
            if follows.is_error:
                self.errors[subscription] += 1
                self.failed[event_type] += 1

    def count_handled(self, subscription: str, number: int, dispatched: Mapping[str, int]) -> None:
        """Count events that were handled, and by type those that were dispatched by that."""
        with self._lock:
            self.delivered[subscription] += number
            for event_type, times in dispatched.items():
                self.dispatched[event_type] += times

    def snapshot(
        self,
        *,
        queue_size: int,
        handler_types: int,
        total_handlers: int,
        waiting: Mapping[str, int] = MappingProxyType({}),
        spool: Mapping[str, Any] = MappingProxyType({}),
    ) -> dict[str, Any]:
        """Return the six keys that every bus has, and more totals.

        `by_type` and `by_subscription` have the same numbers for each of these. `waiting` counts by
        cause the publishes that have waited for more than a second. `spool` is about the spool, and
        empty without one.
        """
        with self._lock:
            with _folding:
                # Last to first, for the loop goes on counting. Copying a dict is one step to it.
                delivered = self.delivered + Counter(dict(self.tally.delivered))
                dispatched = self.dispatched + Counter(dict(self.tally.dispatched))
                published = self.published + Counter(dict(self.tally.published))
            by_type = {"published": published, "dispatched": dispatched}
            by_type |= {"errors": self.failed, "unroutable": self.unroutable}
            by_subscription = {
                "delivered": delivered,
                "filtered": self.filtered,
                "deduplicated": self.deduplicated,
                "given_back": self.given_back,
                "errors": self.errors,
                "retries": self.retried,
                "dead_letters": self.dead_lettered,
                "slow": self.slow,
                "blocked": self.blocked,
            }
            totals = {name: column.total() for name, column in (by_type | by_subscription).items()}
            return {
                **{name: totals[name] for name in ("published", "dispatched", "errors")},
                "queue_size": queue_size,
                "handler_types": handler_types,
                "total_handlers": total_handlers,
                **totals,
                "waiting": dict(waiting),
                "spool": dict(spool),
                "by_type": _table(by_type),
                "by_subscription": _table(by_subscription),
            }


def _table(columns: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    rows = sorted(set().union(*columns.values()))
    return {row: {name: column.get(row, 0) for name, column in columns.items()} for row in rows}


class UnheardLog:
    """The log's lines about types that nobody hears: one a type, of the first hundred types."""

    _MOST = 100

    def __init__(self) -> None:
        self._told: set[str] = set()

    def note(self, event_type: str) -> bool:
        """Note a type. Return True if it is to be told."""
        if event_type in self._told or len(self._told) >= self._MOST:
            return False
        self._told.add(event_type)
        return True

    def tell(self, event_type: str) -> None:
        """Log that nobody hears a type, and what to do about it."""
        message = (
            "an event was published that no subscription hears: %s. Subscribe to it first, or "
            "publish with mandatory=True to have an error. Further ones are only counted: "
            "get_stats()['unroutable']"
        )
        logger.info(message, event_type)
        if len(self._told) == self._MOST:
            logger.info("of further types that nobody hears no line tells, they are counted")


class Watch(Protocol):
    """Receiver of reports about handlers that take long; once a batch, without an event."""

    def slow(self, subscription: Subscription, event: Event[Any] | None, seconds: float) -> None:
        """Report that the handler took `seconds` from start to end."""

    def blocked(self, subscription: Subscription, event: Event[Any] | None, seconds: float) -> None:
        """Report that the handler kept the event loop from everything else for `seconds`."""


class SlowHandlerLog:
    """Watch that counts each slow delivery, and logs one of a subscription every ten seconds."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._silent_until: dict[tuple[str, str], float] = {}

    def slow(self, subscription: Subscription, event: Event[Any] | None, seconds: float) -> None:
        self._stats.count_slow(subscription.name)
        self._log("is slow: it took", subscription, event, seconds)

    def blocked(self, subscription: Subscription, event: Event[Any] | None, seconds: float) -> None:
        self._stats.count_blocked(subscription.name)
        self._log("blocked the event loop for", subscription, event, seconds)

    def _log(
        self, what: str, subscription: Subscription, event: Event[Any] | None, seconds: float
    ) -> None:
        key, now = (what, subscription.name), monotonic()
        if now >= self._silent_until.get(key, 0.0):
            if len(self._silent_until) >= MOST_ROWS:
                self._silent_until = {
                    each: until for each, until in self._silent_until.items() if until > now
                }
            self._silent_until[key] = now + _REPORT_EVERY
            message = "handler %s %s %.0f ms with %s"
            about = "a batch" if event is None else event.type
            logger.warning(message, subscription.name, what, seconds * 1000, about)
