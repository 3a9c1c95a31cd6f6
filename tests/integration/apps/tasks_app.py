"""Celery app with tasks of its own and a result backend, and a bus beside them."""

import os
from typing import Any

from celery import Celery

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import record
from tests.support.fleet.readiness import record_ready

app = Celery(
    os.environ.get("TASKS_APP", "tasks_app"),
    broker=os.environ["FLEET_URL"],
    backend=os.environ["TASKS_BACKEND"],
    set_as_current=False,
)
bus = CeleryEventBus(app=app, prefix=os.environ.get("TASKS_PREFIX", "qt"))

record_ready()


if "TASKS_NONE" not in os.environ:

    @app.task(name="add", shared=False)
    def add(one: int, other: int) -> int:
        return one + other

    @app.task(name="total", shared=False)
    def total(numbers: list[int]) -> int:
        return sum(numbers)


if os.environ.get("TASKS_MORE"):

    @app.task(name=os.environ["TASKS_MORE"], shared=False)
    def more() -> str:
        return "done by the one that knows it"


def heard(event: Event[Any]) -> None:
    record("heard", event)


bus.subscribe("happened", heard, name=f"{app.main}.heard")
app.conf.update(
    # Another app's tasks may lie in the queue, too.
    task_default_queue_type=os.environ.get("TASKS_QUEUE_TYPE", "classic"),
    task_default_exchange_type=os.environ.get("TASKS_EXCHANGE_TYPE", "direct"),
)
