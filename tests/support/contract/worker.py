"""Celery app of `celery -A tests.support.contract.worker worker`: serves its Assignment."""

import logging
from typing import Any

from celery.signals import worker_ready

from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import Call, RecordedLog, Recorder
from qt_events.testing.contract.scenario import load, serve
from tests.support.contract.assignment import Assignment


@worker_ready.connect(weak=False)
def tell_ready(**_: Any) -> None:
    """Record that the worker consumes from its queues."""
    Recorder.current().write(Call("ready", Assignment.mine().name))


def _bus(assignment: Assignment) -> CeleryEventBus:
    logging.getLogger("qt_events").addHandler(RecordedLog())
    bus = CeleryEventBus(
        assignment.url, prefix=assignment.prefix, service="contract", **assignment.options
    )
    for path in assignment.scenarios:
        serve(load(path)(), bus)
    return bus


bus = _bus(Assignment.mine())
app = bus.app
