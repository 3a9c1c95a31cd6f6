"""LocalFates: fates inside one process, told to its own listeners, at most a loop's turn late."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.telling.fate_telling import WaitingFates, this_worker, topics_of
from qt_events.delivery.telling.fates import (
    Columns,
    Fate,
    by_subscription,
    messages_of,
    type_of,
)
from qt_events.delivery.waiting.capacity import Capacity
from qt_events.events.cloudevents import decode
from qt_events.events.event import Event


def events_of(told: Mapping[str, Columns]) -> Iterator[Event[Any]]:
    """Yield events that tell these fates."""
    for name, fates in topics_of(told):
        for body in messages_of(name, fates, this_worker()):
            yield decode(body, type_of(name))


class LocalFates:
    """Listeners of one bus, and the fates that wait for them.

    Those that wait have a place together, for join to wait. `hand` queues an event for
    subscriptions.
    """

    def __init__(
        self,
        subscriptions: Subscriptions,
        middleware: MiddlewareStack,
        capacity: Capacity,
        hand: Callable[[Event[Any], Sequence[Subscription]], object],
    ) -> None:
        self._subscriptions, self._middleware = subscriptions, middleware
        self._capacity, self._hand = capacity, hand
        self._waiting = WaitingFates(subscriptions, self._wake)
        self._listeners: tuple[Subscription, ...] = ()

    def follow(self, subscription: Subscription) -> Subscription:
        """Return a subscription that was made. Once one hears fates, they are kept and told."""
        if subscription.hears_fates and subscription not in self._listeners:
            if not self._listeners:
                self._middleware.add(self._waiting)
            self._listeners += (subscription,)
        return subscription

    def tell(self, fates: Iterable[Fate]) -> None:
        """Tell these fates. While nobody listens, they are not even made."""
        if self._listeners:
            self._tell(by_subscription(fates))

    def _tell(self, told: Mapping[str, Columns]) -> None:
        for event in events_of(told):
            self._hand(event, self._listeners)

    def _wake(self, count: int) -> None:
        if count == 1:
            self._capacity.enter_at_once(anyway=True)
            asyncio.get_running_loop().call_soon(self._tell_last)
        else:
            # One turn may conclude more than may wait.
            self._tell_waiting()

    def _tell_waiting(self) -> None:
        self._tell(self._waiting.take())

    def _tell_last(self) -> None:
        try:
            self._tell_waiting()
        finally:
            self._capacity.leave()
