"""App of newcomers: `celery -A start_app worker`. It may kill itself at a step of a start, once."""

import os
import signal
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from celery import Celery
from celery.signals import worker_ready

from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.worker.old_events import OldEvents
from qt_events.testing.ledger import Ledger

app = Celery("start_app", broker=os.environ["LOAD_URL"], set_as_current=False)
app.conf.broker_heartbeat = 10
bus = CeleryEventBus(app=app, grace=20)
ledger = Ledger.current()
seconds = float(os.environ.get("LOAD_SECONDS", "0"))
order = (ledger.folder / f"order-{os.getpid()}").open("a", buffering=1)


@worker_ready.connect(weak=False)
def tell_ready(**_: Any) -> None:
    (ledger.folder / f"ready-{os.getpid()}").touch()


def handle(event: Event[Any]) -> None:
    time.sleep(seconds)
    order.write(f"{event.payload['n']}\n")


async def handle_async(event: Event[Any]) -> None:
    handle(event)


def killing(step: Callable[..., Any], *, after: bool) -> Callable[..., Any]:
    """Return the step such that the first process that comes there ends, before or after it."""

    @wraps(step)
    def killed(*args: Any) -> Any:
        result = step(*args) if after else None
        note = ledger.folder / "killed"
        if not note.exists():
            note.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return result if after else step(*args)

    return killed


#: Methods of OldEvents, and whether the worker is killed after them, by the test's name for it.
STEPS = {
    "at the end": ("_ask", False),
    "asked": ("_ask", True),
    "deleted": ("_delete", True),
    "going on": ("_go_on", False),
}
if (chosen_step := os.environ.get("START_KILLED")) is not None:
    name, after_it = STEPS[chosen_step]
    setattr(OldEvents, name, killing(getattr(OldEvents, name), after=after_it))

chosen = handle_async if "START_ASYNC" in os.environ else handle
bus.subscribe("load.#", ledger.keeping("newcomer", chosen), name="newcomer", start="first")
