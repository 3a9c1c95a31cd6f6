"""PlainQueuesDelayed: Celery's delay of plain tasks on quorum queues, without our queues."""

from types import SimpleNamespace

from celery.worker.consumer import Consumer
from celery.worker.consumer.delayed_delivery import DelayedDelivery

from qt_events.rabbitmq.topology.queues import SubscriptionQueue


class PlainQueuesDelayed(DelayedDelivery):
    """Celery's step, which binds each queue of the app by `#.<key>` to the delayed tasks.

    Such a binding would bring a subscription the events of others.
    """

    name = "celery.worker.consumer.delayed_delivery.DelayedDelivery"

    def start(self, c: Consumer) -> None:
        """Do as Celery does, with the app's plain queues alone."""
        known = c.app.amqp.queues
        plain = {
            name: queue for name, queue in known.items() if not isinstance(queue, SubscriptionQueue)
        }
        app = SimpleNamespace(
            amqp=SimpleNamespace(queues=plain),
            conf=c.app.conf,
            connection_for_write=c.app.connection_for_write,
        )
        super().start(SimpleNamespace(app=app))
