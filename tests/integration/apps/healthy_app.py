"""Celery app whose workers keep a health file: `celery -A healthy_app worker`."""

import os
import time
from pathlib import Path
from typing import Any

from celery import Celery

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import record
from tests.support.fleet.readiness import record_ready
from workers.fleet.health import HealthFile

app = Celery("healthy_app", broker=os.environ["FLEET_URL"], set_as_current=False)
bus = CeleryEventBus(app=app)
FILE = Path(os.environ["QT_HEALTH_FILE"])
GO_ON = FILE.with_name(f"{FILE.name}.go-on")
HealthFile(FILE).keep()

record_ready()


async def blocks(event: Event[Any]) -> None:
    """Hold the loop, as no async handler should."""
    record("blocks", event)
    while not GO_ON.exists():
        time.sleep(0.05)  # noqa: ASYNC251


bus.subscribe("blocks", blocks, name="blocks")
