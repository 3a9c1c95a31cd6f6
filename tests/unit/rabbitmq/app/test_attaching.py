"""A bus that is attached to somebody's Celery app leaves the app as it was."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import celery
import pytest

from qt_events import CeleryEventBus, Event

URL = "amqp://guest:guest@localhost:5672//"
#: docs/adr/030: what a worker needs to know that it serves a bus.
OURS = {"worker_consumer": "qt_events.rabbitmq.worker.consumer:EventConsumer"}


def handle(_: Event) -> None: ...


def settings(app: celery.Celery) -> dict[str, Any]:
    return {name: app.conf[name] for name in app.conf}


def theirs() -> celery.Celery:
    return celery.Celery("theirs", broker=URL, backend="rpc://", set_as_current=False)


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
def test_an_apps_settings_are_the_same_before_and_after(queue_type: str) -> None:
    """Pool, concurrency, results, prefetch, control, events and connections stay the author's."""
    app, untouched = theirs(), theirs()
    bus = CeleryEventBus(app=app, prefix="desk", queue_type=queue_type, max_workers=3)
    bus.subscribe("happened", handle, name="desk.on_happened")
    app.finalize()
    assert settings(app) == settings(untouched) | OURS


def test_a_setting_that_the_author_chose_stays() -> None:
    """Where a bus would like another one, too."""
    app, chosen = (
        theirs(),
        {
            "worker_cancel_long_running_tasks_on_connection_loss": True,
            "worker_enable_prefetch_count_reduction": True,
            "worker_detect_quorum_queues": False,
            "worker_prefetch_multiplier": 1,
            "broker_connection_max_retries": 3,
        },
    )
    app.conf.update(chosen)
    CeleryEventBus(app=app, queue_type="classic")
    assert {name: app.conf[name] for name in chosen} == chosen


def test_names_of_control_and_events_are_celerys() -> None:
    """An operator's `celery inspect` and Flower find the workers that they found before."""
    app = theirs()
    CeleryEventBus(app=app, prefix="desk")
    assert app.control.mailbox.namespace == theirs().control.mailbox.namespace
    assert app.events.dispatcher_cls == theirs().events.dispatcher_cls


def test_tasks_keep_their_results() -> None:
    """`delay().get()` would return None."""
    app = theirs()
    CeleryEventBus(app=app).subscribe("happened", handle, name="desk.on_happened")

    @app.task(shared=False)
    def add() -> None: ...

    assert add.ignore_result is False
    assert app.tasks["desk.on_happened"].ignore_result is True


def test_what_an_app_sets_for_its_tasks_neither_stores_nor_loses_events() -> None:
    """No result of an event is kept, and none is sent again as a task or acknowledged unhandled."""
    app = theirs()
    app.conf.update(
        task_ignore_result=False,
        task_track_started=True,
        task_store_errors_even_if_ignored=True,
        task_retry_on_worker_lost=True,
        task_reject_on_worker_lost=False,
        task_acks_late=False,
        task_acks_on_timeout=True,
        task_acks_on_failure=False,
    )
    CeleryEventBus(app=app).subscribe("happened", handle, name="desk.on_happened")
    task = app.tasks["desk.on_happened"]
    assert (task.ignore_result, task.track_started, task.store_errors_even_if_ignored) == (
        True,
        False,
        False,
    )
    assert (task.retry_on_worker_lost, task.reject_on_worker_lost) == (False, True)
    assert (task.acks_late, task.acks_on_timeout, task.acks_on_failure) == (True, False, True)


def configure_by_object(app: celery.Celery) -> None:
    app.config_from_object(SimpleNamespace(task_acks_late=True, task_default_queue="jobs"))


def configure_by_conf(app: celery.Celery) -> None:
    app.conf.update(task_acks_late=True, task_default_queue="jobs")


@pytest.mark.parametrize("configure", [configure_by_object, configure_by_conf])
def test_an_app_may_be_configured_after_its_bus(configure: Callable[[celery.Celery], None]) -> None:
    """Nothing is read, bound or lost before its time, in whatever order a module is written."""
    app = theirs()
    bus = CeleryEventBus(app=app)

    @app.task(shared=False)
    def add() -> None: ...

    bus.subscribe("happened", handle, name="desk.on_happened")
    configure(app)
    assert add.acks_late is True
    assert "jobs" in app.amqp.queues
    assert app.conf.worker_consumer == OURS["worker_consumer"]
    assert {"desk.on_happened", add.name} <= set(app.tasks)
    assert "qt.sub.desk.on_happened" in app.amqp.queues


def test_a_subscription_is_a_task_as_soon_as_there_are_tasks() -> None:
    """Before and after the app is finalized, until it is unsubscribed."""
    app = theirs()
    bus = CeleryEventBus(app=app)
    for pattern, name in (("one", "early"), ("two", "gone")):
        bus.subscribe(pattern, lambda _: None, name=name)
    bus.unsubscribe("two", next(each.handler for each in bus.subscriptions if each.name == "gone"))
    assert not app.finalized
    app.finalize()
    bus.subscribe("three", handle, name="late")
    bus.subscribe("four", handle, name="late")
    assert {"early", "late", "gone"} & set(app.tasks) == {"early", "late"}
    bus.unsubscribe("three", handle)
    bus.unsubscribe("four", handle)
    assert "late" not in app.tasks


def test_an_app_that_a_bus_makes_has_a_queue_of_its_own() -> None:
    """Buses of one broker would share the queue `celery` otherwise."""
    app = CeleryEventBus(URL, prefix="desk").app
    assert app.conf.task_default_queue == "desk.tasks"
    assert app.conf.task_default_routing_key == app.conf.task_default_exchange == "desk.tasks"
