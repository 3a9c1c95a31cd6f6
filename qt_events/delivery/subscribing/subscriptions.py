"""Subscriptions: a bus's subscribers, found by name, by handler, and by what they hear."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.annotations import must_take, must_take_raw
from qt_events.delivery.subscribing.handler_names import checked_service, name_of
from qt_events.delivery.subscribing.redefinition import Origin
from qt_events.delivery.subscribing.subscription import (
    FATES,
    NO_OPTIONS,
    EventHandler,
    Subscription,
    SubscriptionOptions,
    checked_policy,
)
from qt_events.errors import UnknownSubscriptionError
from qt_events.events.event import Event
from qt_events.events.raw import RawEvent
from qt_events.events.topics import RoutingIndex

logger = logging.getLogger("qt_events")


class Subscriptions:
    """All subscriptions of a bus: one handler a name, any number of patterns each. Thread-safe.

    `retry` is the policy of those that are made without one of their own; `service` begins the
    names of those that are made without a name.
    """

    def __init__(self, retry: RetryPolicy | None = None, service: str | None = None) -> None:
        self.service = checked_service(service)
        self._retry = None if retry is None else checked_policy("the bus", retry)
        self._changing = threading.Lock()
        self._by_name: dict[str, Subscription] = {}
        # Of handler and predicate, by name.
        self._origins: dict[str, tuple[Origin, Origin]] = {}
        self._index: RoutingIndex[Subscription] = RoutingIndex()
        #: Returns those that hear a type, each once, in the order in which they were made.
        self.match = self._index.match

    def after_fork(self) -> None:
        """Go on in a forked child: a thread of its parent may have been changing or matching."""
        self._changing = threading.Lock()
        self._index.after_fork()

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    @property
    def patterns(self) -> frozenset[str]:
        """Every pattern that anybody hears, once."""
        return frozenset(pattern for subscription in self for pattern in subscription.patterns)

    def add(
        self,
        pattern: str,
        handler: EventHandler,
        name: str,
        options: SubscriptionOptions = NO_OPTIONS,
    ) -> Subscription:
        """Make a subscription, or add a pattern to the one of that name and handler.

        Raises:
            DuplicateSubscriptionError: the name belongs to another handler, or has other options.
            InvalidHandlerError: the handler, or `when`, is annotated for other events.
            InvalidHandlerError, InvalidOptionError, InvalidPolicyError: from Subscription. Nothing
                has changed then.
        """
        known = self._by_name.get(name)
        is_batch = options.batch is not None or bool(known and known.batch)
        whose, is_raw = f"subscription {name!r}", bool(options.raw or (known and known.raw))
        checked = () if pattern == FATES else filter(None, (handler, options.when))
        for function in checked:
            must_take_raw(whose, function, is_raw=is_raw)
            must_take(whose, function, pattern, is_batch=is_batch and function is handler)
        with self._changing:
            subscription = self._by_name.get(name)
            if subscription is None:
                subscription = options.subscription(name, handler, self._retry)
                self._origins[name] = Origin.of(handler), Origin.of(options.when)
            else:
                self._renew(subscription, handler, options)
                options.must_agree(subscription, handler)
            self._by_name[name] = subscription
            if pattern == FATES:
                subscription.hears_fates, subscription.tells_fates = True, False
                return subscription
            if pattern not in subscription.patterns:
                subscription.patterns += (pattern,)
            self._index.add(pattern, subscription)
            return subscription

    def _renew(
        self, subscription: Subscription, handler: EventHandler, options: SubscriptionOptions
    ) -> None:
        """Take over a handler, or a predicate, that the same lines have made again."""
        name = subscription.name
        old, new = self._origins[name], (Origin.of(handler), Origin.of(options.when))
        if handler != subscription.handler and new[0].follows(old[0]):
            subscription.become(options.subscription(name, handler, self._retry))
            logger.warning("subscription %r is handled by the new definition of %r", name, handler)
        elif options.when is not None and new[1].follows(old[1]):
            subscription.when = options.when
        else:
            return
        self._origins[name] = new

    def remove(self, pattern: str, handler: EventHandler) -> tuple[Subscription, bool]:
        """Take a pattern from the handler's subscription.

        Returns:
            The subscription, and True if that was its last pattern and it is gone.

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
                del self._by_name[subscription.name], self._origins[subscription.name]
            return subscription, gone

    def _found(self, pattern: str, handler: EventHandler) -> Subscription:
        for subscription in self:
            if subscription.handler == handler and pattern in subscription.patterns:
                return subscription
        raise UnknownSubscriptionError(f"{handler!r} is not subscribed to {pattern!r}")

    def hears(self, subscription: Subscription, event_type: str) -> bool:
        """Return True if this very subscription still hears the type.

        An event that waits for it may have come before a change.
        """
        return subscription in self.match(event_type) or subscription.hears_fates

    def is_unheard(self, subscription: Subscription, event: "Event[Any] | RawEvent") -> bool:
        """Return True if an event that waits for a subscription is not for it any more.

        A replay sends what the subscription need not hear.
        """
        if self.hears(subscription, event.type):
            return False
        return not (event.replayed and subscription.patterns)

    def get(self, name: str) -> Subscription | None:
        """Return the subscription of that name, if there is one."""
        return self._by_name.get(name)

    def served(self, name: str) -> Subscription:
        """Return the subscription of that name.

        Raises:
            UnknownSubscriptionError: there is none, or not any more.
        """
        subscription = self._by_name.get(name)
        if subscription is None:
            raise UnknownSubscriptionError(
                f"nobody serves the subscription {name!r} here: subscribe it first, then send back"
            )
        return subscription

    def of(self, handler: EventHandler) -> Subscription | None:
        """Return the first subscription of this handler, if there is one.

        One without a name is also found by what the same lines made before.
        """
        found = next((each for each in self if each.handler == handler), None)
        if found is not None or name_of(handler) is not None:
            return found
        origin = Origin.of(handler)
        return next((each for each in self if origin.repeats(self._origins[each.name][0])), None)

    def name_for(self, handler: EventHandler) -> str | None:
        """Return the name of this handler's subscription, or the one it would have, if any."""
        known = self.of(handler)
        return known.name if known else name_of(handler, self.service)
