"""Handlers that publish, on any pool: `celery -A odd_app worker`. They keep a ledger."""

import os
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from celery import Celery

from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.ledger import Ledger
from tests.support.fleet.readiness import note_ready

app = Celery("odd_app", broker=os.environ["LOAD_URL"], set_as_current=False)
app.conf.broker_heartbeat = 2
bus = CeleryEventBus(app=app, retry=RetryPolicy(max_attempts=20, initial=0.1, max_delay=1))
ledger = Ledger.current()

note_ready()


def following(event: Event[Any], subscription: str) -> Event[Any]:
    """Return the event that follows, the same one each time."""
    return Event(
        "odd.followed", payload={}, id=str(uuid5(NAMESPACE_OID, f"{event.id} {subscription}"))
    )


async def on_loop(event: Event[Any]) -> None:
    if not await ledger.publish(bus, following(event, "on_loop")):
        raise OSError("it could not be published")


def in_thread(event: Event[Any]) -> None:
    if not ledger.publish_sync(bus, following(event, "in_thread")):
        raise OSError("it could not be published")


async def tail(_: Event[Any]) -> None:
    """Handle an event that followed."""


bus.subscribe("odd.begun", ledger.keeping("on_loop", on_loop), name="on_loop", concurrency=10)
bus.subscribe("odd.begun", ledger.keeping("in_thread", in_thread), name="in_thread", concurrency=4)
bus.subscribe("odd.followed", ledger.keeping("tail", tail), name="tail", concurrency=10)
