"""ConsumedQueues: the queues of subscriptions as a worker of this process consumes them."""

from collections.abc import Callable
from functools import partial
from typing import Any

import kombu

from qt_events.delivery.subscribing.starting import NOW
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.queues import SubscriptionQueue
from qt_events.rabbitmq.topology.standing import Newcomers
from qt_events.rabbitmq.topology.trust import Provenance


class ConsumedQueues:
    """Maker of SubscriptionQueues.

    `declare(subscription, connection)` declares a subscription on a worker's own connection. For
    `prefetch` and `taker` see SubscriptionQueue.
    """

    def __init__(
        self,
        topology: Topology,
        prefetch: Callable[[Subscription], int],
        taker: Callable[[SubscriptionQueue, Any], Any],
        declare: Callable[[Subscription, Any], None],
        newcomers: Newcomers,
    ) -> None:
        self._topology, self._prefetch = topology, prefetch
        self._taker, self._declare, self._newcomers = taker, declare, newcomers

    def own(self, subscription: Subscription, key: str) -> SubscriptionQueue:
        """Return a subscription's own queue; `key` brings events back to it."""
        if subscription.hears_fates:
            shown = kombu.Exchange(self._topology.fates, "topic"), "#"
        else:
            shown = kombu.Exchange(self._topology.events, "topic"), ",".join(subscription.patterns)
        prefetch = partial(self._prefetch, subscription)
        queue = self._queue(subscription, key, self._topology.queue(key), shown, prefetch)
        if subscription.start != NOW:
            queue.consume_old = self._newcomers.consume
        return queue

    def quarantine(self, subscription: Subscription) -> SubscriptionQueue:
        """Return its quarantine, out of which events come one at a time."""
        key = subscription.name
        shown = kombu.Exchange(self._topology.quarantined, "topic"), key
        name = self._topology.quarantine(key)
        return self._queue(subscription, key, name, shown, lambda: 1, quarantined=True)

    def _queue(  # whose it is, and how it is consumed
        self,
        subscription: Subscription,
        key: str,
        name: str,
        shown: tuple[kombu.Exchange, str],
        prefetch: Callable[[], int],
        *,
        quarantined: bool = False,
    ) -> SubscriptionQueue:
        return SubscriptionQueue(
            name,
            # For the eyes alone, in Celery's banner: `declare_all` binds.
            *shown,
            subscription=subscription.name,
            key=key,
            quarantined=quarantined,
            origin=Provenance(self._topology, subscription.name, key, subscription.hears_fates).of,
            counts_returns=self._topology.queue_type == "quorum",
            declare_all=partial(self._declare, subscription),
            prefetch=prefetch,
            taker=self._taker,
        )
