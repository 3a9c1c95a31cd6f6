"""Program watched by Sentry's own SDK: a Celery app, or a bus that the process runs itself."""

import asyncio
import json
import os
import sys
from typing import Any

import sentry_sdk
from celery import Celery
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.celery import CeleryIntegration
from sentry_sdk.integrations.logging import LoggingIntegration
from sentry_sdk.transport import Transport

from qt_events import CeleryEventBus, InMemoryEventBus, Reject
from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import Call, Recorder
from tests.support.fleet.readiness import record_ready


class Recording(Transport):
    """Transport that writes down what Sentry would be told, in place of sending it."""

    def capture_envelope(self, envelope: Envelope) -> None:
        told = envelope.get_event()
        if told is not None:
            # They hold the lines that were logged before, about other events.
            told.pop("breadcrumbs", None)
            Recorder.current().write(Call("sentry", json.dumps(told, default=str)))


sentry_sdk.init(
    dsn="http://key@localhost/1",
    transport=Recording,
    integrations=[CeleryIntegration(), LoggingIntegration()],
    # They would import every framework that is installed, and write every variable down.
    auto_enabling_integrations=False,
    include_local_variables=False,
)

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)


def plain(event: Event[Any]) -> None:
    message = f"broken by {event.id}"
    raise OSError(message)


async def waiting(event: Event[Any]) -> None:
    await asyncio.sleep(0)
    plain(event)


async def rejecting(event: Event[Any]) -> None:
    message = f"refused is {event.id}"
    raise Reject(message)


def subscribe(bus: EventBus) -> None:
    for handler in (plain, waiting, rejecting):
        bus.subscribe(handler.__name__, handler, name=handler.__name__, retry=TWICE)


if __name__ != "__main__":
    app = Celery("sentry_app", broker=os.environ["FLEET_URL"], set_as_current=False)
    subscribe(CeleryEventBus(app=app))
    record_ready()


async def main(bus: EventBus) -> None:
    """Have one event of each type fail, and tell their ids."""
    subscribe(bus)
    async with bus:
        for name in ("plain", "waiting", "rejecting"):
            await bus.publish(event := Event(name))
            sys.stdout.write(f"{event.id}\n")
        await bus.join()


if __name__ == "__main__":
    asyncio.run(
        main(
            InMemoryEventBus()
            if sys.argv[1] == "memory"
            else CeleryEventBus(os.environ["FLEET_URL"])
        )
    )
