"""A trading desk for Flower to watch: `celery -A flower_app worker -E`.

Its handlers record what they really did.
"""

import asyncio
import os
import time
from typing import Any

from celery import Celery

from qt_events.delivery.retry import Reject, RetryPolicy
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.contract.recorder import nth_call, passed, record
from tests.support.fleet.readiness import record_ready

# So long that nobody overtakes whoever tells of a retry, on the pools that tell of it after it is
# published.
THRICE = RetryPolicy(max_attempts=3, initial=1.0, factor=1, jitter=0)
# Seconds that a handler takes at least
WORK = 0.05

app: Any = Celery("flower_app", broker=os.environ["FLEET_URL"], set_as_current=False)
app.conf.update(worker_hijack_root_logger=False, timezone="UTC")
bus = CeleryEventBus(app=app)

record_ready()


async def on_order(event: Event[Any]) -> None:
    begun, start = time.time(), time.monotonic()
    await asyncio.sleep(WORK)
    record("executor", event, seconds=time.monotonic() - start, begun=begun, ended=time.time())


def guard(event: Event[Any]) -> None:
    begun, start = time.time(), time.monotonic()
    time.sleep(WORK)
    record("risk_guard", event, seconds=time.monotonic() - start, begun=begun, ended=time.time())


async def notify(event: Event[Any]) -> None:
    if nth_call("discord_notifier", event) < THRICE.max_attempts:
        message = "the webhook hung up"
        raise ConnectionError(message)


def load_model(event: Event[Any]) -> None:
    record("model_loader", event)
    message = f"no weights for {event.payload['model']}"
    raise FileNotFoundError(message)


async def refuse(event: Event[Any]) -> None:
    record("auditor", event)
    message = "no such trade"
    raise Reject(message)


async def analyse(event: Event[Any]) -> None:
    record("analytics.begun", event)
    await passed("analytics")
    record("analytics", event)


async def keep(event: Event[Any]) -> None:
    record("position_cache", event)


bus.subscribe("order.requested", on_order, name="executor")
bus.subscribe("order.requested", guard, name="risk_guard")
bus.subscribe("alert.raised", notify, name="discord_notifier", retry=THRICE)
bus.subscribe("model.wanted", load_model, name="model_loader", retry=THRICE)
bus.subscribe("trade.disputed", refuse, name="auditor")
bus.subscribe("trade.settled", analyse, name="analytics")
# Prefork serves no broadcasts
if "FLEET_BROADCAST" in os.environ:
    bus.subscribe("order.requested", keep, name="position_cache", broadcast=True)
