"""Celery app of the worker processes whose pools are tested: `celery -A pools_app worker`."""

import asyncio
import logging
import os
import signal
import time
from typing import Any

from billiard.exceptions import SoftTimeLimitExceeded
from celery import Celery

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import EventHandler
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import (
    RecordedLog,
    Recorder,
    nth_call,
    passed_in_thread,
    record,
)
from tests.support.fleet.readiness import record_ready
from tests.support.fleet.serving import serves

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)
FOR_EVER = 3600.0  # seconds, for whoever is to be interrupted

app = Celery("pools_app", broker=os.environ["FLEET_URL"], set_as_current=False)
app.conf.worker_pool_restarts = "POOL_RESTARTS" in os.environ
bus = CeleryEventBus(app=app, grace=20)
logging.getLogger("qt_events").addHandler(RecordedLog())

record_ready()


def crunch(event: Event[Any]) -> None:
    """Compute until another process does the same, or for twenty seconds."""
    record("crunch.begun", event)
    deadline, number = time.monotonic() + 20, 1
    while len({call.process for call in Recorder.current().read("call", "crunch.begun")}) < 2:
        if time.monotonic() > deadline:
            break
        for _ in range(10_000):
            number = number * 6364136223846793005 % 2**61
    record("crunch.ended", event)


def quick(event: Event[Any]) -> None:
    record("quick", event)


async def quick_async(event: Event[Any]) -> None:
    record("quick_async", event)


def gated(event: Event[Any]) -> None:
    record("gated.begun", event)
    passed_in_thread("go")
    record("gated", event)


def killing(event: Event[Any]) -> None:
    """End the process as often as the event says, as the kernel does when memory is short."""
    if nth_call("killing", event) <= event.payload.get("kills", 0):
        os.kill(os.getpid(), signal.SIGKILL)


def blocking(event: Event[Any]) -> None:
    """Block its thread until the broker has closed the worker's connection, if it does."""
    record("blocking", event)
    frames = bus.serving.consumer.frames()[0]  # type: ignore[union-attr]
    deadline = time.monotonic() + event.payload["seconds"]
    while time.monotonic() < deadline and not frames.is_hung_up():
        time.sleep(0.05)
    record("blocked", event)


def failing(event: Event[Any]) -> None:
    record("failing", event)
    message = "it never works"
    raise OSError(message)


# Handlers that take longer than any time limit


def overdue_blocked(event: Event[Any]) -> None:
    record("overdue.blocked", event)
    time.sleep(FOR_EVER)


def overdue_computing(event: Event[Any]) -> None:
    record("overdue.computing", event)
    while True:
        pass


async def overdue_waiting(event: Event[Any]) -> None:
    record("overdue.waiting", event)
    await asyncio.sleep(FOR_EVER)


async def _catch(event: Event[Any]) -> None:
    try:
        await asyncio.sleep(FOR_EVER)
    except asyncio.CancelledError:
        await asyncio.sleep(0)
        record("overdue.tidy_async", event)


def overdue_tidy(event: Event[Any]) -> None:
    try:
        time.sleep(FOR_EVER)
    except SoftTimeLimitExceeded:
        record("overdue.tidy", event)


def subscribe(pattern: str, handler: EventHandler, *, name: str, **options: Any) -> None:
    if serves(name):
        bus.subscribe(pattern, handler, name=name, **options)


for handler in (crunch, quick, quick_async, gated, killing, blocking):
    subscribe(handler.__name__, handler, name=handler.__name__)
subscribe("killing", lambda event: record("bystander", event), name="bystander")
subscribe("gated.two", gated, name="gated_two", concurrency=2)
subscribe("failing", failing, name="failing", retry=TWICE)
for name, overdue in {
    "blocked": overdue_blocked,
    "computing": overdue_computing,
    "waiting": overdue_waiting,
    "tidy": overdue_tidy,
    "tidy_async": _catch,
}.items():
    subscribe(f"overdue.{name}", overdue, name=f"overdue.{name}", retry=TWICE)
subscribe("poison", overdue_blocked, name="poison", retry=TWICE)
