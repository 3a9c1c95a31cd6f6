"""Eager mode (`task_always_eager`): publish runs the handlers at once, in the caller, through the same delivery.

The event goes through the codec all the same; sync handlers run in a thread, as everywhere. Retries
follow at once, without their delays; there is no queue, so nothing waits, nothing overlaps, and `join`
has nothing to wait for.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from qt_events.dead_letters.in_memory import DeadLetterStore
from qt_events.delivery.attempts import FIRST
from qt_events.delivery.deliver import deliver
from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import consequences
from qt_events.delivery.subscription import Subscription
from qt_events.events.cloudevents import decode, encode
from qt_events.events.event import Event
from qt_events.rabbitmq.runtime import Runtime


class Eager:
    """The whole way of an event inside one call."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.dead_letters = DeadLetterStore(self._redeliver)

    async def publish(self, event: Event[Any], subscriptions: tuple[Subscription, ...]) -> None:
        """Deliver to each in turn, to its last outcome."""
        received = decode(encode(event), event.type)
        for subscription in subscriptions:
            await self.run(received, subscription)
        if subscriptions:
            self._runtime.stats.count_dispatched(event.type)

    def publish_sync(self, event: Event[Any], subscriptions: tuple[Subscription, ...]) -> None:
        """`publish`, for plain threads."""
        asyncio.run(self.publish(event, subscriptions))

    async def _redeliver(self, event: Event[Any], subscription: str) -> None:
        await self.run(event, self._runtime.subscriptions.served(subscription))

    async def run(self, event: Event[Any], subscription: Subscription) -> None:
        """All attempts of one delivery."""
        attempts = FIRST
        while True:
            with ThreadPoolExecutor(
                1
            ) as executor:  # a thread each: a sync handler may publish, and so on without end
                outcome = await deliver(
                    event,
                    subscription,
                    attempts.next,
                    executor=executor,
                    watch=self._runtime.watch,
                    slow_after=self._runtime.settings.slow_after,
                )
            self._runtime.stats.count_outcome(subscription.name, event.type, outcome)
            if self._runtime.observer is not None:
                self._runtime.observer.concluded(
                    Attempt(event.id, event.type, subscription.name, attempts.next, outcome)
                )
            follows = consequences(outcome)
            if follows.again_after is None:
                break
            attempts = attempts.after(follows)
        if follows.dead_letter is not None:
            self.dead_letters.add(event, subscription.name, follows.dead_letter, attempts)
