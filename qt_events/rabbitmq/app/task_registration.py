"""Task registration: a bus's subscriptions as tasks and queues of its Celery app.

An app is finalized when its tasks are first used, most often by a worker. Its author may configure
it and add tasks until then, so nothing here reads its tasks or queues earlier.
"""

from typing import Any

import celery

from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import DuplicateSubscriptionError
from qt_events.rabbitmq.pools.subscription_task import SubscriptionTask, is_plain, task_for
from qt_events.rabbitmq.runtime import Runtime


def register_when_finalized(runtime: Runtime) -> None:
    """Register the subscriptions that there are when the app is finalized."""

    def register_all(**_: Any) -> None:
        for subscription in runtime.subscriptions:
            register(subscription, runtime)

    runtime.app.on_after_finalize.connect(register_all, weak=False)


def register(subscription: Subscription, runtime: Runtime) -> None:
    """Register a subscription or its new pattern, unless the app is not finalized yet."""
    app = runtime.app
    if not app.finalized:
        return
    must_be_no_task(subscription.name, app)
    known = app.amqp.queues
    queues = runtime.declarations.queues(subscription)
    if subscription.name not in app.tasks:
        app.register_task(task_for(subscription, runtime))
        for queue in queues:
            known.select_add(queue)
        return
    for queue in queues:
        # In Celery's banner.
        if queue.name in known:
            known[queue.name].routing_key = queue.routing_key


def must_be_no_task(name: str, app: celery.Celery) -> None:
    """Refuse a subscription that is called like a task of the app: that would get the events."""
    if app.finalized and not isinstance(app.tasks.get(name), SubscriptionTask | None):
        raise DuplicateSubscriptionError(
            f"{name!r} is a Celery task of this app, which would be given the events: "
            "give the subscription another name="
        )


def unregister(subscription: Subscription, runtime: Runtime) -> None:
    """Take back what `register` did."""
    app = runtime.app
    if not app.finalized:
        return
    app.tasks.pop(subscription.name, None)
    for queue in runtime.declarations.queues(subscription):
        app.amqp.queues.deselect(queue.name)
        app.amqp.queues.pop(queue.name, None)


def has_plain_tasks(runtime: Runtime) -> bool:
    """Return True if the app has tasks of its author's, or of a library that its author uses.

    An app that the bus made has only tasks that some library gives to every app.
    """
    return runtime.settings.app_is_users and any(map(is_plain, runtime.app.tasks.values()))
