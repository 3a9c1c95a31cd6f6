"""PlainQueuesDelayed: Celery's delay of plain tasks on quorum queues, without our queues."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import celery
import kombu
from celery.worker.consumer.delayed_delivery import DelayedDelivery

from qt_events.rabbitmq.topology.queues import SubscriptionQueue


class PlainQueuesDelayed(DelayedDelivery):
    """Celery's step, which binds each queue of the app by `#.<key>` to the delayed tasks.

    Such a binding would bring a subscription the events of others.
    """

    name = "celery.worker.consumer.delayed_delivery.DelayedDelivery"

    def _bind_queues(self, app: celery.Celery, connection: kombu.Connection) -> None:
        plain = {
            name: queue
            for name, queue in app.amqp.queues.items()
            if not isinstance(queue, SubscriptionQueue)
        }
        super()._bind_queues(_app_with(plain), connection)


def _app_with(queues: Mapping[str, Any]) -> SimpleNamespace:
    """Return what the step needs of an app, with these queues."""
    return SimpleNamespace(amqp=SimpleNamespace(queues=queues))
