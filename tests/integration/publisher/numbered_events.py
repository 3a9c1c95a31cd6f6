"""Numbered events, a subscription that keeps them, and the time that a publish took."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from qt_events import Event
from qt_events.errors import BrokerUnreachableError, PublishTimeoutError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.properties import from_amqp
from tests.support.channels import channel_to
from tests.support.waiting import PATIENCE

KEPT = "qt.sub.kept"
SHORT = 1.0  # publish_timeout where it is to run out
SLACK = 3.0  # seconds that a busy machine may take on top of it


def keeping(bus: CeleryEventBus, pattern: str = "#") -> CeleryEventBus:
    bus.subscribe(pattern, print, name="kept")
    return bus


async def connected(bus: CeleryEventBus) -> CeleryEventBus:
    """Return it with a connection and its queues, which may take a busy broker more than SHORT."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(BrokerUnreachableError, PublishTimeoutError):
                await bus.declarations.made()
                return bus


def event(number: int = 0, type: str = "number.drawn") -> Event[Any]:
    return Event(type, None, {"number": number})


def taken(url: str, queue: str = KEPT) -> list[Any]:
    """Take the events out of a queue, and return their numbers."""
    numbers = []
    with channel_to(url) as channel:
        while (raw := channel.basic_get(queue, no_ack=True)) is not None:
            body = raw.body if isinstance(raw.body, bytes) else raw.body.encode()
            numbers.append(
                from_amqp(body, raw.properties, raw.delivery_info["routing_key"]).payload["number"]
            )
    return numbers


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds + SLACK
