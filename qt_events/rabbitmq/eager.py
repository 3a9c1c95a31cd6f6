"""Eager mode (`task_always_eager`): publish runs the handlers at once, in the caller.

Delivery is the same as everywhere: the event goes through the codec, and sync handlers run in a
thread. Retries follow at once, without their delays. There is no queue, so nothing waits or
overlaps, and `join` returns at once.
"""

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qt_events.dead_letters.in_memory import DeadLetterStore
from qt_events.delivery.batching.batches import deliver_alone
from qt_events.delivery.deliver import begin
from qt_events.delivery.observed import ObservedAttempts
from qt_events.delivery.outcome import FIRST, HANDLED, Attempts, Outcome, consequences
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.delivery.telling.fate_telling import fates_of
from qt_events.delivery.telling.fates import Columns, Fate, by_subscription
from qt_events.delivery.telling.local_fates import events_of
from qt_events.events.cloudevents import decode, encode
from qt_events.events.event import Event
from qt_events.rabbitmq.runtime import Runtime


class Eager:
    """Publishing and delivery in one call."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.dead_letters = DeadLetterStore(self._redeliver, self._tell)
        self._observed = ObservedAttempts(runtime.middleware)

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
            # Its identity alone counts.
            delivery = [event]
            outcome = await self._deliver(delivery, subscription, attempts)
            self._runtime.stats.count_outcome(subscription.name, event.type, outcome)
            attempt = self._observed.end(delivery, event, subscription, attempts, outcome)
            if subscription.tells_fates and self._listeners:
                await self._hand(fates_of(attempt))
            if outcome is HANDLED:
                return
            follows = consequences(outcome)
            if follows.dead_letter is not None:
                self.dead_letters.add(event, subscription.name, follows.dead_letter, attempts)
            if follows.again_after is None:
                return
            attempts = attempts.after(follows)

    async def _tell(self, fates: Iterable[Fate]) -> None:
        """Tell those who listen what an operator has done."""
        if self._listeners:
            await self._hand(by_subscription(fates))

    async def _hand(self, told: Mapping[str, Columns]) -> None:
        """Hand fates to those who listen, at once."""
        for event in events_of(told):
            for subscription in self._listeners:
                await self.run(event, subscription)

    @property
    def _listeners(self) -> list[Subscription]:
        return [each for each in self._runtime.subscriptions if each.hears_fates]

    async def _deliver(
        self, delivery: list[Event[Any]], subscription: Subscription, attempts: Attempts
    ) -> Outcome:
        runtime = self._runtime
        # A thread for each delivery: a sync handler may publish, and so on without end.
        with ThreadPoolExecutor(1) as executor:
            if subscription.batch is not None:
                self._observed.start(delivery)
                return await deliver_alone(
                    delivery[0],
                    subscription,
                    attempts.next,
                    executor=executor,
                    watch=runtime.watch,
                    slow_after=runtime.settings.slow_after,
                    middleware=runtime.middleware,
                )
            called = self._observed.begin(delivery, subscription, attempts, executor)
            slow_after = runtime.settings.slow_after
            about = (delivery[0], called, attempts.next, executor, runtime.watch, slow_after)
            outcome = begin(*about)
            return outcome if isinstance(outcome, Outcome) else await outcome
