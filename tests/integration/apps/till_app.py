"""A till and a recorder of events, each with rights of its own: `-A till_app`."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_ready

from qt_events import CeleryEventBus, Component
from qt_events.history import History
from qt_events.testing.contract.recorder import Call, Recorder

app = Celery("till", broker=os.environ["FLEET_URL"], set_as_current=False)
bus = CeleryEventBus(app=app, prefix=os.environ["GUARDED_PREFIX"])
History().attach(bus)
recorded = tuple(each for each in bus.subscriptions if each.name.startswith("history"))


@worker_ready.connect(weak=False)
def tell_ready(sender: Any, **_: Any) -> None:
    Recorder.current().write(Call("ready", sender.hostname))


def components() -> list[Component]:
    return [Component("till", ("sale.made",)), Component("recorder", (), recorded)]
