"""A handler that ends its process for one event, and another one of the same events.

Both keep a ledger.
"""

import os
import signal
from typing import Any

from celery import Celery

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger
from tests.support.fleet.readiness import note_ready

app = Celery("poison_app", broker=os.environ["LOAD_URL"], set_as_current=False)
bus = CeleryEventBus(app=app)
ledger = Ledger.current()

note_ready()


def killing(event: Event[Any]) -> None:
    """Leave a file, and end the process."""
    if event.payload["kills"]:
        (ledger.folder / f"died-{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)


async def bystander(_: Event[Any]) -> None:
    """Handle the same events."""


bus.subscribe("load.#", ledger.keeping("killing", killing), name="killing")
bus.subscribe("load.#", ledger.keeping("bystander", bystander), name="bystander")
