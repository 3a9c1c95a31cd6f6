"""Handlers that fail, and the dead letters that they make."""

from typing import Any

import amqp

from qt_events import Event, RetryPolicy
from qt_events.dead_letters.record import DeadLetterRecord
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.channels import channel_to

ONCE = RetryPolicy(max_attempts=1)


class Fallible:
    """Handler that fails as long as it is told to."""

    def __init__(self) -> None:
        self.fails = True
        self.heard: list[Any] = []

    async def handle(self, event: Event[Any]) -> None:
        self.heard.append(event.payload["number"])
        if self.fails:
            raise LookupError(f"number {event.payload['number']}")


def event(number: int) -> Event[Any]:
    return Event("number.drawn", None, {"number": number})


async def handled(bus: CeleryEventBus, *numbers: int) -> None:
    """Publish these, and serve the bus until all events have an outcome, earlier ones too."""
    async with bus:
        for number in numbers:
            await bus.publish(event(number))
        await bus.join(30)


async def listed(bus: CeleryEventBus, subscription: str = "fallible") -> list[DeadLetterRecord]:
    return list(await bus.dead_letters.list(subscription))


def publish_raw(url: str, body: bytes, key: str = "number.drawn", **properties: Any) -> None:
    with channel_to(url) as channel:
        channel.confirm_select()
        channel.basic_publish_confirm(amqp.Message(body, **properties), "qt.events", key)


def publish_dead(
    url: str, bodies: list[bytes], subscription: str = "fallible", **properties: Any
) -> None:
    """Publish straight into the queue of dead letters, as anybody may who may write there."""
    with channel_to(url) as channel:
        for body in bodies:
            channel.basic_publish(amqp.Message(body, **properties), "", f"qt.dead.{subscription}")
        while channel.queue_declare(f"qt.dead.{subscription}", passive=True).message_count < len(
            bodies
        ):
            pass
