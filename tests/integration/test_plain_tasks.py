"""A Celery app with tasks of its own keeps them when a bus is attached to it."""

import asyncio
import threading

import celery

from qt_events import CeleryEventBus, Event
from qt_events.rabbitmq.pools.subscription_task import is_plain
from qt_events.testing.broker.management import Management
from tests.support.waiting import until


async def test_an_apps_own_tasks_run_beside_its_subscriptions(amqp_url: str) -> None:
    """`task.delay()` goes to Celery's queue. The worker that serves the subscriptions runs it."""
    app = celery.Celery("mixed", broker=amqp_url, set_as_current=False)
    ran, heard = threading.Event(), asyncio.Event()

    @app.task(name="plain.task", ignore_result=True, shared=False)
    def plain() -> None:
        ran.set()

    async def hear(_: Event) -> None:
        heard.set()

    bus = CeleryEventBus(app=app)
    bus.subscribe("happened", hear, name="hear")
    async with bus:
        await asyncio.to_thread(plain.delay)
        await bus.publish(Event("happened"))
        await heard.wait()
        await until(ran.is_set, what="the plain task to run")
    bus.close()


async def test_an_app_without_tasks_of_its_own_leaves_no_queue_of_celerys(
    amqp_url: str, vhost: str, management: Management
) -> None:
    """Tasks would never be published to it."""

    async def hear(_: Event) -> None: ...

    app = celery.Celery("mere", broker=amqp_url, set_as_current=False)
    for task in filter(
        is_plain, list(app.tasks.values())
    ):  # pytest-celery's, which every app of this process shares
        app.tasks.unregister(task.name)
    bus = CeleryEventBus(app=app)
    bus.subscribe("happened", hear, name="hear")
    async with bus:
        await bus.publish(Event("happened"))
    bus.close()
    names = {each["name"] for each in await asyncio.to_thread(management.queues, vhost)}
    ours = {"qt.sub.hear", "qt.dead.hear", "qt.quarantine.hear", "qt.lost", "qt.register"}
    assert names == ours
