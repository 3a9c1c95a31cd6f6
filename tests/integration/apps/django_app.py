"""Program whose handlers use Django's ORM: a Celery app, or a bus that the process runs itself."""

import asyncio
import os
import sys
from typing import Any
from urllib.parse import urlsplit

import django
from asgiref.sync import sync_to_async
from celery import Celery
from django.conf import settings
from django.db import connection

from qt_events import CeleryEventBus, InMemoryEventBus
from qt_events.bus import EventBus
from qt_events.delivery.retry import RetryPolicy
from qt_events.events.event import Event
from qt_events.testing.contract.recorder import Call, Recorder, record
from tests.support.fleet.readiness import record_ready

_URL = urlsplit(os.environ["DJANGO_DATABASE"])
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _URL.hostname,
            "PORT": _URL.port,
            "USER": _URL.username,
            "PASSWORD": _URL.password,
            "NAME": _URL.path.removeprefix("/"),
            # Kept between requests, as most sites do.
            "CONN_MAX_AGE": None,
        }
    }
)
django.setup()

TWICE = RetryPolicy(max_attempts=2, initial=0.1, jitter=0)


def ask() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        Recorder.current().write(Call("backend", str(cursor.fetchone()[0])))


def plain(event: Event[Any]) -> None:
    ask()
    record("plain", event)


async def waiting(event: Event[Any]) -> None:
    await sync_to_async(ask)()
    record("waiting", event)


class Through:
    """Middleware, by which a plain handler is called another way."""

    async def around_handle(
        self, _event: Event[Any], _subscription: object, _attempt: int, call_next: Any
    ) -> None:
        await call_next()


def subscribe(bus: EventBus) -> None:
    bus.subscribe("plain", plain, name="plain", retry=TWICE)
    bus.subscribe("waiting", waiting, name="waiting", retry=TWICE)
    if "DJANGO_MIDDLEWARE" in os.environ:
        bus.use(Through())


if __name__ != "__main__":
    app = Celery("django_app", broker=os.environ["FLEET_URL"], set_as_current=False)
    subscribe(CeleryEventBus(app=app, max_workers=1))
    record_ready()


async def main(bus: EventBus) -> None:
    """Publish what is asked for on stdin, a type a line."""
    subscribe(bus)
    async with bus:
        Recorder.current().write(Call("ready", "main"))
        while wanted := await asyncio.to_thread(sys.stdin.readline):
            await bus.publish(Event(wanted.strip()))
            await bus.join()


if __name__ == "__main__":
    asyncio.run(
        main(
            InMemoryEventBus(max_workers=1)
            if sys.argv[1] == "memory"
            else CeleryEventBus(os.environ["FLEET_URL"], max_workers=1)
        )
    )
