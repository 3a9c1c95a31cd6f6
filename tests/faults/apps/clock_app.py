"""Handlers in a process whose wall clock jumps. They note each attempt's begin by both clocks."""

import asyncio
import json
import os
import time
from typing import Any

from celery import Celery

from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger
from tests.support.fleet.readiness import note_ready

app = Celery("clock_app", broker=os.environ["LOAD_URL"], set_as_current=False)
app.conf.broker_heartbeat = 2
bus = CeleryEventBus(app=app, grace=20)
ledger = Ledger.current()
attempts = (ledger.folder / "attempts.jsonl").open("a", buffering=1)
seen: set[str] = set()

note_ready()


async def retried(event: Event[Any]) -> None:
    """Fail at first."""
    attempts.write(json.dumps([event.id, time.monotonic(), time.time()]) + "\n")
    if event.id not in seen:
        seen.add(event.id)
        raise OSError("at first")


async def long(_: Event[Any]) -> None:
    """Take half a second, less than what is reported as slow."""
    await asyncio.sleep(0.5)


def long_in_thread(_: Event[Any]) -> None:
    time.sleep(0.05)


once_more = RetryPolicy(max_attempts=2, initial=float(os.environ["CLOCK_DELAY"]), jitter=0)
bus.subscribe(
    "load.#", ledger.keeping("retried", retried), name="retried", concurrency=100, retry=once_more
)
bus.subscribe("load.#", ledger.keeping("long", long), name="long", concurrency=100)
bus.subscribe(
    "load.#", ledger.keeping("long_in_thread", long_in_thread), name="long_in_thread", concurrency=4
)
