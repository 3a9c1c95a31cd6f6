"""A Celery app with tasks of its own keeps them when a bus is attached to it."""

import asyncio
import threading
from typing import Any

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


async def test_stop_lets_an_apps_own_task_come_to_its_end(amqp_url: str) -> None:
    """run_forever() returns when the task has ended, as it waits for handlers."""
    app = celery.Celery("stopped", broker=amqp_url, set_as_current=False)
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    @app.task(name="stopped.task", ignore_result=True, shared=False)
    def slow() -> None:
        begun.set()
        assert gate.wait(20)
        ended.set()

    bus = CeleryEventBus(app=app)
    running = asyncio.create_task(bus.run_forever())
    await asyncio.to_thread(slow.delay)
    await until(begun.is_set, what="the task to begin")
    bus.stop()
    asyncio.get_running_loop().call_later(1, gate.set)
    await running
    assert ended.is_set()
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
    assert names == {"qt.sub.hear", "qt.lost", "qt.register"}


async def test_plain_tasks_with_eta_and_retries_leave_the_connection_to_its_owner(
    amqp_url: str,
) -> None:
    """Celery's loop changes the prefetch for each; only the connection's owner may send that.

    In tests, use by another thread is an error: see the fixture `one_thread_a_connection`.
    """
    app = celery.Celery("waiting", broker=amqp_url, set_as_current=False)
    app.conf.worker_send_task_events = True
    ran: list[int] = []

    @app.task(bind=True, name="plain.task", ignore_result=True, shared=False, max_retries=None)
    def plain(task: Any, n: int) -> None:
        ran.append(n)
        if ran.count(n) < 3:
            raise task.retry(countdown=0.3)

    async def hear(_: Event) -> None: ...

    bus = CeleryEventBus(app=app)
    bus.subscribe("happened", hear, name="hear")
    async with bus:
        for n in range(8):
            await asyncio.to_thread(plain.apply_async, (n,), countdown=0.3)
        for n in range(30):
            await asyncio.to_thread(plain.delay, 10 + n % 10)
        while len(ran) < 54:
            await bus.publish(Event("happened"))
            await asyncio.sleep(0.01)
        consumer = bus.serving.consumer
        assert consumer is not None, "the worker ended"
        assert consumer.restart_count == 0
    bus.close()
