"""Celery app with tasks of its own beside a subscription: `celery -A plain_app worker`."""

import os
import sys
from typing import Any

from celery import Celery

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import Call, Recorder, passed, passed_in_thread, record
from tests.support.fleet.readiness import record_ready

QUEUE = "plain_tasks"

app = Celery("plain_app", broker=os.environ["FLEET_URL"], set_as_current=False)
app.conf.update(task_default_queue=QUEUE, task_ignore_result=True, worker_prefetch_multiplier=10)
# With tasks of its own, its pool would be Celery's.
app.conf.worker_pool = "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool"
bus = CeleryEventBus(app=app, grace=float(os.environ.get("FLEET_GRACE", "20")))

record_ready()


async def gated(event: Event[Any]) -> None:
    record("gated.begun", event)
    await passed("events")
    record("gated", event)


bus.subscribe("gated", gated, name="gated")


def _gated_task(name: str) -> None:
    Recorder.current().write(Call("call", f"{name}.begun"))
    passed_in_thread("tasks")
    Recorder.current().write(Call("call", name))


@app.task(name="early", shared=False)
def early() -> None:
    """Be acknowledged before it runs, as Celery does unless told otherwise."""
    _gated_task("early")


@app.task(name="late", acks_late=True, shared=False)
def late() -> None:
    """Be acknowledged when it has run."""
    _gated_task("late")


@app.task(name="exits", acks_late=True, shared=False)
def exits() -> None:
    """Try to end the process, as a task that calls a command-line tool may."""
    Recorder.current().write(Call("call", "exits"))
    sys.exit(3)


@app.task(name="limited", rate_limit="1/h", acks_late=True, shared=False)
def limited() -> None:
    """Run once an hour; the others wait in the worker."""
    Recorder.current().write(Call("call", "limited"))
