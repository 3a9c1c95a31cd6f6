"""Celery app of the worker that gets hostile messages: `celery -A hostile_app worker`."""

import logging
import os
from typing import Any

from celery import Celery

from qt_events import PolicyUpdatedEvent
from qt_events.delivery.retry import NO_RETRY
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import Call, RecordedLog, Recorder, passed, record
from tests.support.fleet.readiness import record_ready

app: Any = Celery("hostile_app", broker=os.environ["FLEET_URL"], set_as_current=False)
# With tasks of its own, its pool would be Celery's.
app.conf.worker_pool = "qt_events.rabbitmq.pools.asyncio_pool:AsyncioPool"
# What another release could handle is given back once.
bus = CeleryEventBus(app=app, rollout=0.3)
logging.getLogger("qt_events").addHandler(RecordedLog())

record_ready()


@app.task(name="canary")
def canary(*args: Any, **kwargs: Any) -> None:
    """Record a call: no message may cause one."""
    Recorder.current().write(Call("call", "canary"))


async def hostile(event: Event[Any]) -> None:
    size = len(event.payload.get("long", ""))
    shown = {} if size else dict(event.payload)
    call = Call(
        "call",
        "hostile",
        event_id=event.id,
        event_type=event.type,
        payload=shown,
        details={"long": size},
    )
    Recorder.current().write(call)
    if event.payload.get("fail"):
        message = "told to"
        raise OSError(message)


async def other(event: Event[Any]) -> None:
    record("other", event)


async def held(event: Event[Any]) -> None:
    record("held.begun", event)
    await passed("go")


bus.subscribe("hostile.#", hostile, name="hostile", retry=NO_RETRY)
# By its class: some messages do not fit a schema, and a class registers when it is imported.
bus.subscribe(PolicyUpdatedEvent, hostile, name="hostile", retry=NO_RETRY)
bus.subscribe("other", other, name="other")
bus.subscribe("held", held, name="held", retry=NO_RETRY, prefetch=20)
