"""App of one release of a subscription: `celery -A release_app worker`."""

import os
from typing import Any

from celery import Celery

from qt_events.events.current import current_attempt
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import record
from tests.support.fleet.readiness import record_ready

app: Any = Celery("release_app", broker=os.environ["FLEET_URL"], set_as_current=False)
bus = CeleryEventBus(app=app)

record_ready()


def handle(event: Event[Any]) -> None:
    _, _, attempt = current_attempt() or (None, None, 0)
    record("handle", event, attempt=attempt)


for pattern in os.environ["RELEASE_PATTERNS"].split(","):
    bus.subscribe(pattern, handle, name="orders")
