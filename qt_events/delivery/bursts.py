"""Bursts: events that wait for one async handler, handed to it in one pass."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial
from sys import modules
from time import monotonic
from typing import Any

from qt_events.delivery.deliver import ENDED, handling
from qt_events.delivery.django_connections import DATABASES
from qt_events.delivery.middleware import MiddlewareStack
from qt_events.delivery.outcome import HANDLED, Attempts, Outcome
from qt_events.delivery.running_attempt import Rest, RunningAttempt, further_steps
from qt_events.delivery.stats import Tally, Watch
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.waiting.capacity import Capacity
from qt_events.delivery.waiting.lanes import BURST, Take
from qt_events.events.event import Event

logger = logging.getLogger("qt_events")


@dataclass(eq=False, slots=True)
class OpenDeliveries:
    """Number of an event's deliveries without an outcome; at 0 its place is free."""

    left: int

    def was_last(self) -> bool:
        """Note that one has its outcome. Return True if it was the last."""
        self.left -= 1
        return not self.left


# One event for one subscription; None: its only delivery. Bare: every event needs one.
Delivery = tuple[Event[Any], Subscription, OpenDeliveries | None, Attempts]


@dataclass(eq=False, slots=True)
class Bursts:
    """The short way to a handler: what is the same for all events of a lane is done once a pass.

    An event is handed over by the steps of `begin`, and may fail, wait or be slow as there. But
    nothing else may be asked for: no predicate, no middleware, no log line of each attempt.
    """

    capacity: Capacity
    middleware: MiddlewareStack
    tally: Tally
    watch: Watch
    slow_after: float
    #: Does what follows from an outcome.
    conclude: Callable[[Delivery, Outcome], None]

    def choose(self, subscription: Subscription) -> Take[Delivery] | None:
        """Return `take` where the events that wait for this subscription can go the short way."""
        is_plain = (
            subscription.is_async
            and subscription.when is None
            and not subscription.raw
            and not subscription.narrowed
            and not self.middleware.around_handle
            and not self.middleware.concluded
            and DATABASES not in modules
            and not logger.isEnabledFor(logging.DEBUG)
        )
        return self.take if is_plain else None

    def take(
        self, waiting: deque[Delivery], cancel_requests: Callable[[], int], until: float
    ) -> tuple[int, Delivery, Awaitable[None] | None]:
        """Handle events up to the first that is not done at once, or the end of the turn.

        Return how many, the last one, and what has to be awaited for its outcome.
        """
        dispatched, delivered = self.tally.dispatched, self.tally.delivered
        around, observers = self.middleware.around_handle, self.middleware.concluded
        leave, slow_after = self.capacity.leave, self.slow_after
        handled = 0
        event, subscription, open_, attempts = delivery = waiting.popleft()
        context, started = copy_context(), monotonic()
        try:
            while True:
                running = handling(event, subscription, attempts.next)
                waits_for = context.run(next, running, ENDED)
                now = monotonic()
                if waits_for is not ENDED or now - started > slow_after:
                    break
                delivered[subscription.name] += 1
                if open_ is not None:
                    open_.left -= 1
                if open_ is None or not open_.left:
                    dispatched[event.type] += 1
                    leave()
                handled += 1
                is_over = not waiting or handled == BURST or now > until or cancel_requests()
                # A handler may call unsubscribe() or use().
                if is_over or subscription.narrowed or around or observers:
                    return handled, delivery, None
                event, _, open_, attempts = delivery = waiting.popleft()
                context, started = copy_context(), now
        except BaseException as error:  # noqa: BLE001  # as in begin()
            this = self._attempt(delivery, context, started)
            return handled + 1, delivery, self._fail(delivery, this, error)
        this = self._attempt(delivery, context, started)
        rest = None if waits_for is ENDED else partial(further_steps, running, waits_for)
        return handled + 1, delivery, self._finish(delivery, this, rest)

    def _attempt(self, delivery: Delivery, context: Context, started: float) -> RunningAttempt:
        event, subscription, _, attempts = delivery
        return RunningAttempt(
            event, subscription, attempts.next, context, self.watch, self.slow_after, started
        )

    async def _fail(self, delivery: Delivery, this: RunningAttempt, error: BaseException) -> None:
        self.conclude(delivery, this.failed(error))

    async def _finish(self, delivery: Delivery, this: RunningAttempt, rest: Rest | None) -> None:
        self.conclude(delivery, this.ended(HANDLED) if rest is None else await this.finish(rest))
