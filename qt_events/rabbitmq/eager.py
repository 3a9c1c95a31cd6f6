"""Eager mode (`task_always_eager`): publish runs the handlers at once, in the caller.

Delivery is the same as everywhere: the event goes through the codec, and sync handlers run in a
thread. Retries follow at once, without their delays. There is no queue, so nothing waits or
overlaps, and `join` returns at once.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qt_events.dead_letters.in_memory import DeadLetterStore
from qt_events.delivery.batches import deliver_alone
from qt_events.delivery.deliver import begin, within
from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import FIRST, HANDLED, Outcome, consequences
from qt_events.delivery.subscription import Subscription
from qt_events.events.cloudevents import decode, encode
from qt_events.events.event import Event
from qt_events.rabbitmq.runtime import Runtime


class Eager:
    """Publishing and delivery in one call."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.dead_letters = DeadLetterStore(self._redeliver)

    async def publish(self, event: Event[Any], subscriptions: tuple[Subscription, ...]) -> None:
        """Deliver to each subscription in turn, until its last outcome."""
        received = decode(encode(event), event.type)
        for subscription in subscriptions:
            await self.run(received, subscription)
        if subscriptions:
            self._runtime.stats.count_dispatched(event.type)

    async def _redeliver(self, event: Event[Any], subscription: str) -> None:
        await self.run(event, self._runtime.subscriptions.served(subscription))

    async def run(self, event: Event[Any], subscription: Subscription) -> None:
        """Make all attempts of one delivery."""
        attempts = FIRST
        while True:
            outcome = await self._deliver(event, subscription, attempts.next)
            self._runtime.stats.count_outcome(subscription.name, event.type, outcome)
            if self._runtime.middleware.concluded:
                attempt = Attempt(event.id, event.type, subscription.name, attempts.next, outcome)
                self._runtime.middleware.tell_concluded(attempt)
            if outcome is HANDLED:
                return
            follows = consequences(outcome)
            if follows.dead_letter is not None:
                self.dead_letters.add(event, subscription.name, follows.dead_letter, attempts)
            if follows.again_after is None:
                return
            attempts = attempts.after(follows)

    async def _deliver(
        self, event: Event[Any], subscription: Subscription, attempt: int
    ) -> Outcome:
        runtime = self._runtime
        # A thread for each delivery: a sync handler may publish, and so on without end.
        with ThreadPoolExecutor(1) as executor:
            if subscription.batch is not None:
                return await deliver_alone(
                    event,
                    subscription,
                    attempt,
                    executor=executor,
                    watch=runtime.watch,
                    slow_after=runtime.settings.slow_after,
                    middleware=runtime.middleware,
                )
            if runtime.middleware.around_handle:
                subscription = within(runtime.middleware, subscription, attempt, executor)
            slow_after = runtime.settings.slow_after
            outcome = begin(event, subscription, attempt, executor, runtime.watch, slow_after)
            return outcome if isinstance(outcome, Outcome) else await outcome
