"""Watch and SlowHandlerLog: reports about handlers that take long."""

import logging
from time import monotonic
from typing import Any, Protocol

from qt_events.delivery.subscription import Subscription
from qt_events.events.event import Event

logger = logging.getLogger("qt_events")

#: Seconds from which a handler is slow, unless a bus is told otherwise.
SLOW_AFTER = 0.1
# Seconds between two log lines about one slow subscription; the counters count all.
_REPORT_EVERY = 10.0


class SlowCounters(Protocol):
    """Counters by subscription name; see Stats."""

    def count_slow(self, subscription: str, /) -> None:
        """Count one more slow delivery."""

    def count_blocked(self, subscription: str, /) -> None:
        """Count one more blocked loop."""


class Watch(Protocol):
    """Receiver of reports about handlers that take long."""

    def slow(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        """Report that the handler took `seconds` from start to end."""

    def blocked(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        """Report that the handler kept the event loop from everything else for `seconds`."""


class SlowHandlerLog:
    """Watch that counts each slow delivery, and logs one of a subscription every ten seconds."""

    def __init__(self, stats: SlowCounters) -> None:
        self._stats = stats
        self._silent_until: dict[tuple[str, str], float] = {}

    def slow(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        """See Watch."""
        self._stats.count_slow(subscription.name)
        self._log("is slow: it took", subscription, event, seconds)

    def blocked(self, subscription: Subscription, event: Event[Any], seconds: float) -> None:
        """See Watch."""
        self._stats.count_blocked(subscription.name)
        self._log("blocked the event loop for", subscription, event, seconds)

    def _log(
        self, what: str, subscription: Subscription, event: Event[Any], seconds: float
    ) -> None:
        key, now = (what, subscription.name), monotonic()
        if now >= self._silent_until.get(key, 0.0):
            self._silent_until[key] = now + _REPORT_EVERY
            message = "handler %s %s %.0f ms with %s"
            logger.warning(message, subscription.name, what, seconds * 1000, event.type)
