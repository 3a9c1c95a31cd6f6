"""Registration: a subscription as a task and queues of the Celery app, and of the worker that runs here."""

from collections.abc import Sequence
from typing import Protocol

import celery

from qt_events.delivery.subscription import EventHandler, Subscription, name_of
from qt_events.errors import InvalidHandlerError
from qt_events.rabbitmq.pools.subscription_task import SubscriptionTask
from qt_events.rabbitmq.publishing.outstanding import Outstanding
from qt_events.rabbitmq.topology.declarations import Declarations
from qt_events.rabbitmq.topology.queues import SubscriptionQueue


class Server(Protocol):
    """The delivering side of this process, as far as subscriptions come and go."""

    def take_up(self, subscription: Subscription, queues: Sequence[SubscriptionQueue]) -> None:
        """Consume from them, if a worker runs here that serves the subscription."""

    def drop(self, queues: Sequence[SubscriptionQueue]) -> None:
        """Consume from them no more."""


class Registration:
    """What makes a Celery worker of this app serve a subscription."""

    def __init__(
        self,
        app: celery.Celery,
        declarations: Declarations,
        server: Server,
        outstanding: Outstanding,
    ) -> None:
        self._app, self._declarations = app, declarations
        self._server, self._outstanding = server, outstanding

    def add(self, task: SubscriptionTask, subscription: Subscription) -> None:
        """It is new, or has a new pattern."""
        self._declarations.want(subscription)
        queues = self._declarations.queues(subscription)
        if subscription.name not in self._app.tasks:
            self._app.register_task(task)
            for queue in queues:
                self._app.amqp.queues.select_add(queue)
        self._server.take_up(subscription, queues)

    def remove(self, subscription: Subscription) -> None:
        """It is served here no more; its queue stays on the broker, bound as it is."""
        queues = self._declarations.queues(subscription)
        self._server.drop(queues)
        self._declarations.drop(subscription)
        self._outstanding.drop(subscription)
        self._app.tasks.pop(subscription.name, None)
        for queue in queues:
            self._app.amqp.queues.deselect(queue.name)
            self._app.amqp.queues.pop(queue.name, None)


def lasting_name(handler: EventHandler) -> str:
    """The handler's own name, which its queue is to have. InvalidHandlerError if it has none that lasts."""
    name = name_of(handler)
    if name is None:
        message = (
            f"{handler!r} has no name of its own, and its queue needs one that lasts: give name=..."
        )
        raise InvalidHandlerError(message)
    return name
