"""Subscriptions: a bus's subscribers, found by name, by handler, and by what they hear."""

import threading
from collections.abc import Iterator
from typing import Any

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscription import EventHandler, Subscription, checked_policy
from qt_events.errors import DuplicateSubscriptionError, UnknownSubscriptionError
from qt_events.events.topics import RoutingIndex


class Subscriptions:
    """One handler a name, any number of patterns a subscription. Threads may call anything at any time.

    `retry` is the policy of those that are made without one of their own.
    """

    def __init__(self, retry: RetryPolicy | None = None) -> None:
        self._defaults = {"retry": checked_policy("the bus", retry)} if retry is not None else {}
        self._changing = threading.Lock()
        self._by_name: dict[str, Subscription] = {}
        self._index: RoutingIndex[Subscription] = RoutingIndex()
        self.match = (
            self._index.match
        )  #: those that hear a type, each once, in the order in which they were made

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def patterns(self) -> frozenset[str]:
        """Each pattern that anybody hears, once."""
        return frozenset(pattern for subscription in self for pattern in subscription.patterns)

    def add(self, pattern: str, handler: EventHandler, name: str, **options: Any) -> Subscription:
        """A new subscription, or another pattern for the one of that name and handler; None is no option.

        Raises:
            DuplicateSubscriptionError: the name belongs to another handler, or was given other options.
            InvalidHandlerError, InvalidOptionError, InvalidPolicyError: from Subscription. Nothing has changed then.
        """
        options = {key: value for key, value in options.items() if value is not None}
        with self._changing:
            subscription = self._by_name.get(name)
            if subscription is None:
                subscription = Subscription(name, handler, **(self._defaults | options))
            else:
                _must_agree(subscription, handler, options)
            if pattern not in subscription.patterns:
                subscription.patterns += (pattern,)
            self._by_name[name] = subscription
            self._index.add(pattern, subscription)
            return subscription

    def remove(self, pattern: str, handler: EventHandler) -> tuple[Subscription, bool]:
        """The handler no longer hears the pattern; whose that was, and whether it is gone: it was its last pattern.

        Raises:
            UnknownSubscriptionError: the handler is not subscribed to the pattern.
        """
        with self._changing:
            subscription = self._found(pattern, handler)
            subscription.patterns = tuple(each for each in subscription.patterns if each != pattern)
            subscription.narrowed = True
            self._index.remove(pattern, subscription)
            gone = not subscription.patterns
            if gone:
                del self._by_name[subscription.name]
            return subscription, gone

    def _found(self, pattern: str, handler: EventHandler) -> Subscription:
        for subscription in self:
            if subscription.handler == handler and pattern in subscription.patterns:
                return subscription
        message = f"{handler!r} is not subscribed to {pattern!r}"
        raise UnknownSubscriptionError(message)

    def hears(self, subscription: Subscription, event_type: str) -> bool:
        """Whether this very subscription still hears the type: what waits for it may have come before a change."""
        return subscription in self.match(event_type)

    def get(self, name: str) -> Subscription | None:
        """The subscription of that name, if there is one."""
        return self._by_name.get(name)

    def served(self, name: str) -> Subscription:
        """The subscription of that name. UnknownSubscriptionError if there is none (any more)."""
        subscription = self._by_name.get(name)
        if subscription is None:
            message = (
                f"nobody serves the subscription {name!r} here: subscribe it first, then send back"
            )
            raise UnknownSubscriptionError(message)
        return subscription

    def of(self, handler: EventHandler) -> Subscription | None:
        """The first subscription of this handler."""
        return next(
            (subscription for subscription in self if subscription.handler == handler), None
        )


def _must_agree(subscription: Subscription, handler: EventHandler, options: dict[str, Any]) -> None:
    if subscription.handler != handler:
        message = (
            f"the subscription {subscription.name!r} belongs to {subscription.handler!r}: "
            f"give {handler!r} a name of its own with name="
        )
        raise DuplicateSubscriptionError(message)
    for key, value in options.items():
        if getattr(subscription, key) != value:
            message = (
                f"the subscription {subscription.name!r} has {key}={getattr(subscription, key)!r} already, "
                f"now {value!r}: leave it out when adding a pattern, or take another name"
            )
            raise DuplicateSubscriptionError(message)
