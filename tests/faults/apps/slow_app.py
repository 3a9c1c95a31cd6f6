"""A quick subscription beside a slow one, with a ledger: `celery -A slow_app worker`."""

import asyncio
import os
from typing import Any

from celery import Celery

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger
from tests.support.fleet.readiness import note_ready

app = Celery("slow_app", broker=os.environ["LOAD_URL"], set_as_current=False)
bus = CeleryEventBus(app=app)
ledger = Ledger.current()
# Once it is there, the slow one is not slow any more
hurry = ledger.folder / "hurry"

note_ready()


async def quick(_: Event[Any]) -> None:
    """Do nothing."""


async def slow(_: Event[Any]) -> None:
    # Of ten seconds
    for _tenth in range(100):
        if hurry.exists():
            return
        await asyncio.sleep(0.1)


bus.subscribe("load.#", ledger.keeping("quick", quick), name="quick", concurrency=10)
kept = ledger.keeping("slow", slow)
for pattern in ("load.#", "backlog.#"):
    bus.subscribe(pattern, kept, name="slow", concurrency=10)
