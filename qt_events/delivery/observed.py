"""ObservedAttempts: attempts in this process, as observers are told of them."""

from concurrent.futures import Executor
from time import monotonic
from typing import Any

from qt_events.delivery.deliver import within
from qt_events.delivery.middleware import Attempt, MiddlewareStack
from qt_events.delivery.outcome import Attempts, Outcome
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event


class ObservedAttempts:
    """Begin and end of attempts, for a bus that holds its deliveries as objects of its own."""

    def __init__(self, middleware: MiddlewareStack) -> None:
        self.middleware = middleware
        # By the identity of a delivery. One that has no outcome begins again.
        self._began: dict[int, float] = {}

    def start(self, delivery: object) -> None:
        """Note that its handler is about to be called."""
        self._began[id(delivery)] = monotonic()

    def begin(
        self,
        delivery: object,
        subscription: Subscription,
        attempts: Attempts,
        executor: Executor | None,
    ) -> Subscription:
        """Return the subscription with the middleware around its handler, about to be called."""
        self.start(delivery)
        if not self.middleware.around_handle:
            return subscription
        return within(self.middleware, subscription, attempts.next, executor)

    def end(
        self,
        delivery: object,
        event: Event[Any],
        subscription: Subscription,
        attempts: Attempts,
        outcome: Outcome,
    ) -> Attempt:
        """Tell every observer of an outcome."""
        began = self._began.pop(id(delivery), None)
        attempt = Attempt(
            event.id,
            event.type,
            subscription.name,
            attempts.next,
            outcome,
            event.source,
            None if began is None else monotonic() - began,
            event.replayed,
        )
        self.middleware.tell_concluded(attempt)
        return attempt
