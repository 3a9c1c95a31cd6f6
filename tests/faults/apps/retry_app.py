"""Handlers that fail until an attempt of theirs, and note it: `celery -A retry_app worker`."""

import os
from collections.abc import Callable
from typing import Any

from celery import Celery

from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.logs.configure import bound_fields
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import record
from qt_events.testing.ledger import Ledger
from tests.support.fleet.readiness import note_ready

#: By subscription: seconds between its attempts, how many there are, and the first one that works.
PLAN = {"soon": (0.4, 3, 3), "never": (1.5, 3, 99), "later": (6.0, 2, 2), "steady": (0.4, 3, 1)}


def main() -> CeleryEventBus:
    app = Celery("retry_app", broker=os.environ["LOAD_URL"], set_as_current=False)
    bus = CeleryEventBus(app=app)
    ledger = Ledger.current()
    note_ready()
    for name, (delay, attempts, works) in PLAN.items():
        policy = RetryPolicy(max_attempts=attempts, initial=delay, factor=1, jitter=0)
        handler = ledger.keeping(name, failing_before(works, name))
        bus.subscribe("load.#", handler, name=name, concurrency=50, retry=policy)
    return bus


def failing_before(works: int, name: str) -> Callable[[Event[Any]], Any]:
    async def handler(event: Event[Any]) -> None:
        attempt = bound_fields()["attempt"]
        record(name, event, attempt=attempt)
        if attempt < works:
            raise OSError(f"attempt {attempt}")

    return handler


# A worker; the test reads the plan
if "LOAD_URL" in os.environ:
    app = main().app
