"""Three components with their own rights: `qt-events topology -A guarded_app` makes their users."""

import os
from typing import Any

from celery import Celery

from qt_events import CeleryEventBus, Component, Event, Reject, RetryPolicy
from qt_events.testing.contract.recorder import nth_call, record
from tests.support.fleet.readiness import record_ready

app = Celery("guarded", broker=os.environ["FLEET_URL"], set_as_current=False)
bus = CeleryEventBus(
    app=app, prefix=os.environ["GUARDED_PREFIX"], retry=RetryPolicy(initial=0.1, jitter=0)
)

record_ready()


async def on_order(event: Event[Any]) -> None:
    record("desk.on_order", event)
    match event.payload.get("order"):
        case "later" if nth_call("desk.on_order", event) == 1:
            message = "the market is closed"
            raise OSError(message)
        case "bad":
            message = "no such symbol"
            raise Reject(message)
    await bus.publish(Event("ticket.filled", None, {"order": event.id}))


async def on_limits(event: Event[Any]) -> None:
    record("desk.on_limits", event)


async def on_close(event: Event[Any]) -> None:
    record("ranker.on_close", event)
    await bus.publish(Event("ranking.updated"))


async def on_fill(event: Event[Any]) -> None:
    record("ledger.on_fill", event)


desk = (
    bus.subscribe("ticket.placed", on_order, name="desk.on_order"),
    bus.subscribe("limits.*", on_limits, name="desk.on_limits", broadcast=True),
)
ranker = (bus.subscribe("bell.rung", on_close, name="ranker.on_close"),)
ledger = (bus.subscribe("ticket.filled", on_fill, name="ledger.on_fill"),)


def components() -> list[Component]:
    return [
        Component("desk", ("ticket.filled",), desk),
        Component("ranker", ("ranking.updated", "ticket.placed"), ranker),
        Component("ledger", (), ledger),
    ]
