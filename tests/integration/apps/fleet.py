"""The Celery app of the worker processes in these tests: `celery -A fleet worker`."""

import asyncio
import logging
import os
import signal
from typing import Any

from celery import Celery

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import EventHandler
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import (
    Call,
    RecordedLog,
    Recorder,
    nth_call,
    passed,
    passed_in_thread,
    record,
)
from tests.support.fleet.readiness import record_ready
from tests.support.fleet.serving import serves

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)

app = Celery("fleet", broker=os.environ["FLEET_URL"], set_as_current=False)
if "FLEET_PLAIN" in os.environ:
    # With a task of its own, its pool would be Celery's.
    app.conf.worker_pool = "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool"
if "FLEET_POOL" in os.environ:
    app.conf.worker_pool = os.environ["FLEET_POOL"]
bus = CeleryEventBus(
    app=app,
    grace=float(os.environ.get("FLEET_GRACE", "20")),
    prefetch=int(os.environ.get("FLEET_PREFETCH", "0")) or None,
)
logging.getLogger("qt_events").addHandler(RecordedLog())

record_ready()


async def on_loop(event: Event[Any]) -> None:
    record("on_loop", event)


def in_thread(event: Event[Any]) -> None:
    record("in_thread", event)


def passing_on(_: Event[Any]) -> None:
    bus.publish_sync(Event("order.placed"))


async def gated(event: Event[Any]) -> None:
    record("gated.begun", event)
    await passed(event.payload.get("gate", "go"))
    record("gated", event)


def gated_in_thread(event: Event[Any]) -> None:
    record("gated_in_thread.begun", event)
    passed_in_thread("go")
    record("gated_in_thread", event)


async def failing(event: Event[Any]) -> None:
    record("failing", event)
    message = "it never works"
    raise OSError(message)


def beside_failing(event: Event[Any]) -> None:
    record("beside_failing", event)


def killing(event: Event[Any]) -> None:
    """End the process as often as the event says."""
    times = event.payload.get("kills", 0)
    if nth_call("killing", event) <= times:
        os.kill(os.getpid(), signal.SIGKILL)


async def killing_in_batches(events: list[Event[Any]]) -> None:
    """End the process as often as one of the events says."""
    for event in events:
        if nth_call("batch.killing", event) <= event.payload.get("kills", 0):
            os.kill(os.getpid(), signal.SIGKILL)
    for event in events:
        record("batch.done", event, size=len(events))


async def unhurried(event: Event[Any]) -> None:
    """Take as many seconds as the event says."""
    record("unhurried.begun", event)
    await asyncio.sleep(event.payload["seconds"])
    record("unhurried", event)


async def bystander(event: Event[Any]) -> None:
    record("bystander", event)


def subscribe(pattern: str, handler: EventHandler, *, name: str, **options: Any) -> None:
    if serves(name):
        bus.subscribe(pattern, handler, name=name, **options)


subscribe("order.placed", on_loop, name="on_loop")
subscribe("order.placed", in_thread, name="in_thread")
subscribe("order.passed_on", passing_on, name="passing_on")
subscribe("gated", gated, name="gated", concurrency=2)
subscribe("gated.thread", gated_in_thread, name="gated_in_thread")
subscribe("failing", failing, name="failing", retry=TWICE)
subscribe("failing", beside_failing, name="beside_failing")
subscribe("killing", killing, name="killing")
subscribe("killing", bystander, name="bystander")
subscribe("unhurried", unhurried, name="unhurried")
if "FLEET_BROADCAST" in os.environ:
    bus.subscribe("#", bystander, name="everywhere", broadcast=True)
if "FLEET_BATCH" in os.environ:
    about: dict[str, Any] = {"name": "batch", "batch": int(os.environ["FLEET_BATCH"])}
    bus.subscribe("batch", killing_in_batches, within=0.5, retry=TWICE, **about)
if "FLEET_PLAIN" in os.environ:

    @app.task(name="plain", acks_late=True, ignore_result=True, shared=False)
    def plain() -> None:
        """Run as a task of the app's own, until the test opens the gate."""
        Recorder.current().write(Call("call", "plain.begun"))
        passed_in_thread("go")
        Recorder.current().write(Call("call", "plain"))
