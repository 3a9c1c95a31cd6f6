"""PoolBatches: batch subscriptions of the asyncio pool."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from contextvars import copy_context
from functools import partial
from typing import Any

from qt_events.delivery.batching.batch_lane import BatchLane
from qt_events.delivery.batching.batches import asked, deliver_batch
from qt_events.delivery.batching.haste import Haste
from qt_events.delivery.ending import is_ending
from qt_events.delivery.outcome import HANDLED, SKIPPED, Done, Outcome
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.rabbitmq.handling.attempt import (
    EVENTS,
    PAUSE,
    REVOKED,
    Begun,
    fails,
    open_message,
)
from qt_events.rabbitmq.pools.asyncio_delivery import Delivery
from qt_events.rabbitmq.pools.exclusive_gate import ExclusiveGate
from qt_events.rabbitmq.pools.redeliveries import Redeliveries
from qt_events.rabbitmq.runtime import Runtime

logger = logging.getLogger("qt_events")


class _PoolBatchLane(BatchLane[Delivery]):
    """Lane of a name that may be unsubscribed and subscribed again."""

    _served: Subscription | None = None

    def push(self, item: Delivery) -> None:
        """See Lane."""
        if item.task.subscription is not self._served:
            self._served = item.task.subscription
            self.serve(self._served)
        super().push(item)


class PoolBatches:
    """Makes the lanes of batch subscriptions, and handles their batches.

    `finish` does the rest of an attempt, and settles the delivery.
    """

    def __init__(
        self,
        runtime: Runtime,
        executor: Executor,
        gate: ExclusiveGate,
        redeliveries: Redeliveries,
        finish: Callable[[Delivery, Begun], Coroutine[Any, Any, None]],
    ) -> None:
        self._runtime, self._executor, self._gate = runtime, executor, gate
        self._redeliveries, self._finish = redeliveries, finish
        self.haste = Haste()

    def lane(self, subscription: Subscription) -> BatchLane[Delivery]:
        """Make a subscription's lane."""
        return _PoolBatchLane(
            subscription, self._admit, self._process, size_of=_size_of, haste=self.haste
        )

    # One event is gathered

    def _admit(self, delivery: Delivery) -> bool | Coroutine[Any, Any, bool]:
        return self._admit_when_open(delivery) if self._gate.closed else self._admit_now(delivery)

    async def _admit_when_open(self, delivery: Delivery) -> bool:
        await self._gate.opened()
        admitted = self._admit_now(delivery)
        return admitted if isinstance(admitted, bool) else await admitted

    def _admit_now(self, delivery: Delivery) -> bool | Coroutine[Any, Any, bool]:
        """Keep its event for the batch. One that is not to be handled is finished here."""
        if delivery.is_void():
            self._redeliveries.end(delivery)
            return False
        begun = self._opened(delivery)
        if begun is None:
            return True
        delivery.started()
        if isinstance(begun, Coroutine):
            return self._finished(delivery, begun)
        # The list that is gathered does not wait until it is stored.
        if isinstance(begun, Outcome):
            self._conclude(delivery, begun)
        else:
            self._redeliveries.store(delivery)
        return False

    def _opened(self, delivery: Delivery) -> Begun | None:
        """Return what follows instead of a batch; None if it is the event's place."""
        envelope, subscription = delivery.envelope, delivery.task.subscription
        try:
            opened = open_message(
                envelope, subscription, self._runtime, is_revoked=delivery.revoked()
            )
            if not isinstance(opened, EVENTS):
                return opened
            delivery.event = opened
            if subscription.when is None:
                return None
            return asked(opened, subscription, envelope.attempt, self._runtime.watch)
        except Exception as error:  # noqa: BLE001  # logged by `finish`
            return fails(error)

    async def _finished(self, delivery: Delivery, begun: Begun) -> bool:
        await self._finish(delivery, begun)
        return False

    # A batch is handled

    async def _process(self, deliveries: list[Delivery]) -> None:
        if self._gate.closed:
            _go_on(deliveries)
            await self._gate.opened()
        deliveries[:] = [each for each in deliveries if self._is_still_to_be_handled(each)]
        if not deliveries:
            return
        Delivery.start_together(deliveries)
        try:
            outcomes = await self._gate.inside(self._deliver(deliveries))
        except Exception as error:  # noqa: BLE001  # logged; the broker delivers them again
            await self._give_back(deliveries, error)
            return
        handled = outcomes.count(HANDLED) == len(outcomes)
        if handled and not any(each.is_void() for each in deliveries):
            # Most of what a batch costs beyond reading its messages.
            self._runtime.concluded_together([each.envelope for each in deliveries])
            Delivery.settle_together(deliveries)
            return
        for each, outcome in zip(deliveries, outcomes, strict=True):
            self._conclude(each, outcome)

    def _is_still_to_be_handled(self, delivery: Delivery) -> bool:
        """Look at what may have happened since it was gathered, and conclude it if it has."""
        if delivery.is_void():
            self._redeliveries.end(delivery)
        elif delivery.revoked():
            self._conclude(delivery, REVOKED)
        else:
            own, subscriptions = delivery.task.subscription, self._runtime.subscriptions
            if not (own.narrowed and subscriptions.is_unheard(own, delivery.event)):
                return True
            self._conclude(delivery, SKIPPED)
        return False

    async def _deliver(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        runtime = self._runtime
        if runtime.middleware.watching:
            for each in deliveries:
                each.envelope.begin()
        return await deliver_batch(
            [each.event for each in deliveries],
            deliveries[0].task.subscription,
            (each.envelope.attempt for each in deliveries),
            on_wait=partial(_go_on, deliveries),
            executor=self._executor,
            watch=runtime.watch,
            slow_after=runtime.settings.slow_after,
            middleware=runtime.middleware,
        )

    def _conclude(self, delivery: Delivery, outcome: Outcome) -> None:
        delivery.decided(outcome)
        if isinstance(outcome, Done) and not delivery.is_void():
            self._runtime.concluded(delivery.envelope, outcome)
            delivery.settle(outcome)
            return
        delivery.envelope.end()
        if delivery.is_void():
            self._redeliveries.end(delivery, outcome)
        else:
            # A copy of each is stored beside the next batch.
            self._redeliveries.store(delivery)

    async def _give_back(self, deliveries: Sequence[Delivery], error: Exception) -> None:
        if len(deliveries) > 1:
            message = "%s: %d events of a batch go back to their queue, the first of them is named"
            logger.warning(message, deliveries[0].name, len(deliveries))
        deliveries[0].log_return(error)
        # At once it would fail again.
        if not is_ending(copy_context()):
            await asyncio.sleep(PAUSE)
        for each in deliveries:
            self._redeliveries.give_back(each)


def _go_on(deliveries: Sequence[Delivery]) -> None:
    for each in deliveries:
        each.goes_on()


def _size_of(delivery: Delivery) -> int:
    return delivery.envelope.size
