"""A service of its own name, as a module of the same name as every other service's.

`python -m celery -A service worker` with SERVICE, and FLEET_URL; the class and method are the same
in all of them.
"""

import os
from typing import Any

from celery import Celery

from qt_events import CeleryEventBus, Event
from qt_events.testing.contract.recorder import record
from tests.support.fleet.readiness import record_ready

SERVICE = os.environ["SERVICE"]
app = Celery(SERVICE, broker=os.environ["FLEET_URL"], set_as_current=False)
bus = CeleryEventBus(app=app)

record_ready()


class OrderHandler:
    async def on_order(self, event: Event[Any]) -> None:
        record(SERVICE, event)


handler = OrderHandler()
for pattern in os.environ.get("PATTERNS", "order.made").split():
    bus.subscribe(pattern, handler.on_order, name=os.environ.get("SUBSCRIPTION"))
