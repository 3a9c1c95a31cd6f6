"""App of the workers that fault tests load: `celery -A load_app worker`.

Its handlers keep a ledger.
"""

import asyncio
import os
import time
from typing import Any

from celery import Celery

from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger
from tests.support.fleet.readiness import note_ready

app = Celery("load_app", broker=os.environ["LOAD_URL"], set_as_current=False)
app.conf.broker_heartbeat = float(os.environ.get("LOAD_HEARTBEAT", "10"))
bus = CeleryEventBus(
    app=app,
    grace=float(os.environ.get("LOAD_GRACE", "20")),
    publish_timeout=float(os.environ.get("LOAD_PUBLISH_TIMEOUT", "30")),
)
ledger = Ledger.current()
# That a handler takes
seconds = float(os.environ.get("LOAD_SECONDS", "0.002"))

note_ready()


async def on_loop(_: Event[Any]) -> None:
    await asyncio.sleep(seconds)


def in_thread(_: Event[Any]) -> None:
    time.sleep(seconds)


# In this process
tried: set[str] = set()


async def failing(event: Event[Any]) -> None:
    """Fail at first with one event of ten, and always with one of fifty."""
    number = event.payload["n"]
    if number % 50 == 0 or (number % 10 == 0 and event.id not in tried):
        tried.add(event.id)
        raise OSError(f"number {number}")


THREE = RetryPolicy(max_attempts=3, initial=0.1, factor=2, jitter=0)
bus.subscribe("load.#", ledger.keeping("on_loop", on_loop), name="on_loop", concurrency=10)
bus.subscribe("load.#", ledger.keeping("in_thread", in_thread), name="in_thread", concurrency=4)
bus.subscribe(
    "load.#", ledger.keeping("failing", failing), name="failing", concurrency=10, retry=THREE
)
