"""BaseBus: subscribe(), which is the same on every backend."""

from typing import Any

from qt_events.delivery.options import SubscriptionOptions
from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscription import EventHandler, Predicate, Subscription, pattern_of
from qt_events.events.event import Event


class BaseBus:
    """Base of a bus that subscribes by `_subscribe`."""

    def subscribe(
        self,
        event_type: str | type[Event[Any]],
        handler: EventHandler,
        *,
        name: str | None = None,
        when: Predicate | None = None,
        retry: RetryPolicy | None = None,
        concurrency: int | None = None,
        broadcast: bool | None = None,
    ) -> Subscription:
        """See EventBus."""
        options = SubscriptionOptions(
            when=when, retry=retry, concurrency=concurrency, broadcast=broadcast
        )
        return self._subscribe(pattern_of(event_type), handler, name, options)

    def _subscribe(
        self, pattern: str, handler: EventHandler, name: str | None, options: SubscriptionOptions
    ) -> Subscription:
        """Make a subscription or add a pattern to one; without a name, find or make one."""
        raise NotImplementedError
