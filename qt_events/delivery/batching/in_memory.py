"""InMemoryBatches: batch subscriptions of a bus whose events wait in this process alone."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from qt_events.delivery.batching.batch_lane import BatchLane
from qt_events.delivery.batching.batches import asked, deliver_batch
from qt_events.delivery.batching.haste import Haste
from qt_events.delivery.bursts import Delivery
from qt_events.delivery.observed import ObservedAttempts
from qt_events.delivery.outcome import HANDLED, SKIPPED, Outcome
from qt_events.delivery.stats import Tally, Watch
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.waiting.capacity import Capacity
from qt_events.delivery.waiting.clock import Clock


class InMemoryBatches:
    """Makes the lanes of batch subscriptions. `conclude` is told each outcome."""

    #: Runs sync handlers, while the bus runs.
    executor: Executor | None = None

    def __init__(  # noqa: PLR0917  # by position, as the bus has them
        self,
        subscriptions: Subscriptions,
        conclude: Callable[[Any, Outcome], None],
        observed: ObservedAttempts,
        clock: Clock,
        watch: tuple[Watch, float],
        counts: tuple[Tally, Capacity],
    ) -> None:
        self._subscriptions, self._conclude = subscriptions, conclude
        self._observed, self._clock = observed, clock
        self._watch, self._slow_after = watch
        self._tally, self._capacity = counts
        self.haste = Haste()

    def lane(self, subscription: Subscription, on_idle: Callable[[], None]) -> BatchLane[Any]:
        """Make the lane of one subscription."""
        return BatchLane(
            subscription,
            self._admit,
            self._process,
            on_idle,
            self._clock,
            lambda: subscription.when is None and not subscription.narrowed,
            haste=self.haste,
        )

    def _admit(self, delivery: Delivery) -> bool:
        if not self._is_heard(delivery):
            return False
        event, subscription, _, attempts = delivery
        outcome = asked(event, subscription, attempts.next, self._watch)
        if outcome is not None:
            self._conclude(delivery, outcome)
        return outcome is None

    def _is_heard(self, delivery: Delivery) -> bool:
        """Conclude it if the pattern was removed that the event came by."""
        event, subscription, *_ = delivery
        gone = subscription.narrowed and self._subscriptions.is_unheard(subscription, event)
        if gone:
            self._conclude(delivery, SKIPPED)
        return not gone

    async def _process(self, deliveries: list[Delivery]) -> None:
        subscription = deliveries[0][1]
        if subscription.narrowed:
            # Since they were gathered.
            deliveries[:] = [each for each in deliveries if self._is_heard(each)]
        outcomes = await self._deliver(deliveries, subscription) if deliveries else []
        if self._observed.middleware.concluded or outcomes.count(HANDLED) < len(outcomes):
            for delivery, outcome in zip(deliveries, outcomes, strict=True):
                self._conclude(delivery, outcome)
        else:
            self._conclude_handled(deliveries, subscription)

    def _conclude_handled(self, deliveries: list[Delivery], subscription: Subscription) -> None:
        """Do what `conclude` does for each, together: that is most of what a batch costs."""
        self._tally.delivered[subscription.name] += len(deliveries)
        ended = Counter(
            event.type for event, _, open_, _ in deliveries if open_ is None or open_.was_last()
        )
        for event_type, number in ended.items():
            self._tally.dispatched[event_type] += number
        self._capacity.leave_together(ended.total())

    async def _deliver(
        self, deliveries: list[Delivery], subscription: Subscription
    ) -> list[Outcome]:
        if self._observed.middleware.concluded:
            for each in deliveries:
                self._observed.start(each)
        return await deliver_batch(
            [delivery[0] for delivery in deliveries],
            subscription,
            (delivery[3].next for delivery in deliveries),
            executor=self.executor,
            watch=self._watch,
            slow_after=self._slow_after,
            middleware=self._observed.middleware,
        )
