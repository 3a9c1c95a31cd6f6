"""ConsumingAnew: a queue gets a new consumer, for another prefetch or for one that is cancelled."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import Any

from amqp.exceptions import RecoverableConnectionError

from qt_events.errors import BrokerError, QtEventsError, TopologyError
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.pools.asyncio_pool import AsyncioPool
from qt_events.rabbitmq.pools.prefetch import Prefetch
from qt_events.rabbitmq.topology.queues import SubscriptionQueue
from qt_events.rabbitmq.worker.serving import Serving, Take

logger = logging.getLogger("qt_events")

_LOOK = 1.0  # seconds between two looks at what is held
# Seconds before queues that the publisher could not declare are tried again.
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0

Consume = Callable[[SubscriptionQueue], object]


class ConsumingAnew:
    """Consumers that one worker replaces. Runs on the thread that owns the connection.

    On the asyncio pool a subscription's prefetch may change. Once its handler has shown that it is
    fast, its events are not counted any more: that would cost something for each. What is held is
    looked at once a second.
    """

    def __init__(self, consumer: Any, serving: Serving) -> None:
        self._consumer, self._serving = consumer, serving
        self._queues: dict[str, SubscriptionQueue] = {}

    def adapts(self, name: str) -> bool:
        """Return True if the prefetch of a subscription is found out, event by event."""
        subscription = self._consumer.runtime.subscriptions.get(name)
        if subscription is None or subscription.batch is not None:
            return False
        return self._serving.adapting(subscription) is not None

    def counting(self, queue: SubscriptionQueue, take: Take) -> Take:
        """Return `take`, or a function that counts as well, if the prefetch of the queue adapts."""
        subscription = self._consumer.runtime.subscriptions.get(queue.subscription)
        prefetch = subscription and self._serving.adapting(subscription)
        if queue.quarantined or prefetch is None:
            return take
        self._queues[queue.subscription] = queue
        return self._counting(queue, take, prefetch) if prefetch.may_grow else take

    def _counting(self, queue: SubscriptionQueue, take: Take, prefetch: Prefetch) -> Take:
        def counting(id: str, tag: int, envelope: Envelope) -> None:
            if prefetch.came(envelope.size, monotonic()):
                self._consumer.call_soon(self.consume, queue)
            take(id, tag, envelope)

        return counting

    def look(self) -> None:
        """Lower the prefetch of a handler that has become slow, or whose events large."""
        for name, queue in tuple(self._queues.items()):
            subscription = self._consumer.runtime.subscriptions.get(name)
            prefetch = subscription and self._serving.adapting(subscription)
            if prefetch is None:
                del self._queues[name]
                continue
            held, size, done = self._consumer.pool.lanes.held_of(name)
            if prefetch.look(held, size, done, monotonic()):
                self._consumer.call_soon(self.consume, queue)

    def begin(self) -> Any:
        """Look from now on. Return what has `cancel`."""
        return self._consumer.timer.call_repeatedly(_LOOK, self.look)

    def take_up_again(self, queue: SubscriptionQueue) -> None:
        """Consume again from a queue whose consumer the broker has cancelled, and from no other.

        The broker gives no reason. RabbitMQ 4.3 does so for `consumer_timeout`, and delivers again
        what that consumer held. It keeps the consumer until it is cancelled from here, too.

        Raises:
            RecoverableConnectionError: on Celery's own pools, which cannot tell what of theirs is
                void: the connection begins anew there.
        """
        logger.warning(
            "%s: the broker has cancelled its consumer of %r, and it is taken up again: an event "
            "was held for longer than the broker's consumer_timeout (then lower prefetch= or raise "
            "that), or the queue was deleted or lost its node",
            queue.subscription,
            queue.name,
        )
        pool, declarations = self._consumer.pool, self._consumer.runtime.declarations
        # The queue may be gone, or be another one of the same name, which nobody has bound.
        declarations.doubt(queue.subscription)
        if not isinstance(pool, AsyncioPool):
            raise RecoverableConnectionError(f"the consumer of {queue.name!r} was cancelled")
        pool.cut_off(queue.subscription, quarantined=queue.quarantined)
        self._consumer.cut_off_limited(queue.subscription, quarantined=queue.quarantined)
        self.declare_and([queue], self.consume)

    def declare_and(self, queues: Sequence[SubscriptionQueue], consume: Consume) -> None:
        """Consume once the publisher's thread has declared the queues: the loop must not wait."""
        self._consumer.pool.spawn(partial(self._declare_and, queues, consume))

    async def _declare_and(self, queues: Sequence[SubscriptionQueue], consume: Consume) -> None:
        consumer, consumers = self._consumer, self._consumer.task_consumer

        def is_wanted() -> bool:
            # Else the next connection consumes from all queues there are.
            return consumer.pool.serving and consumer.task_consumer is consumers

        try:
            await self._declared(queues, is_wanted)
            for queue in queues:
                if is_wanted():
                    consume(queue)
        except QtEventsError:
            logger.exception("%s is not served", queues[0].subscription)
        except (*consumer.connection_errors, *consumer.channel_errors) as error:
            message = "%s: will be consumed once reconnected (%s)"
            logger.info(message, queues[0].subscription, error)
            consumer.hub.call_soon(consumer.give_up_connection, error)

    async def _declared(
        self, queues: Sequence[SubscriptionQueue], is_wanted: Callable[[], bool]
    ) -> None:
        """Return once they are declared, however long the publisher is blocked or away.

        Raises:
            TopologyError: one of them meets something with other arguments on the broker.
        """
        declarations, pause = self._consumer.runtime.declarations, _FIRST_PAUSE
        while is_wanted():
            try:
                await declarations.made()
                return
            except TopologyError:
                # About another subscription, perhaps, which was wanted at the same time.
                if any(declarations.misses(each.subscription) for each in queues):
                    raise
                return
            except BrokerError as error:
                message = "%s is not served yet, again in %g s: %s"
                logger.warning(message, queues[0].subscription, pause, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def consume(self, queue: SubscriptionQueue) -> None:
        """Take the new prefetch, unless the worker stops or an operator has cancelled the queue.

        Cancelling what the broker has cancelled is no error. What it refuses now closes the channel
        later.
        """
        consumers = self._consumer.task_consumer
        if consumers is None or not consumers.consuming_from(queue.name):
            return
        consumers.auto_declare = False
        try:
            consumers.cancel_by_queue(queue.name)
            consumers.add_queue(queue)
            consumers.consume()
        finally:
            consumers.auto_declare = True
