"""Forged messages: a producer's headers are not believed."""

import asyncio

import amqp

from qt_events import NO_RETRY, CeleryEventBus, Event
from tests.support.channels import channel_to


async def test_a_producers_headers_neither_name_a_type_nor_count_attempts(amqp_url: str) -> None:
    """A producer that may publish one type cannot forge another in a header.

    The broker's permissions go by routing key, so the routing key is the type.
    """
    heard: list[Event] = []
    came = asyncio.Event()

    async def hear(event: Event) -> None:
        heard.append(event)
        if len(heard) == 1:
            message = "once"
            # If qt-attempt were believed, this would be the last attempt.
            raise OSError(message)
        came.set()

    bus = CeleryEventBus(amqp_url)
    bus.subscribe("#", hear, name="hear")
    async with bus:
        with channel_to(amqp_url) as channel:
            headers = {"qt-type": "forged.type", "qt-attempt": 99}
            message = amqp.Message(
                b"{}", content_type="application/json", application_headers=headers
            )
            channel.basic_publish(message, "qt.events", "allowed.key")
        await came.wait()
    bus.close()
    assert [event.type for event in heard] == ["allowed.key"] * 2


async def test_a_broadcasts_dead_letter_goes_to_who_serves_it_now(amqp_url: str) -> None:
    """A process that subscribes now gets it, because the failed process may be gone for good."""
    working = asyncio.Event()
    heard: list[str] = []

    async def hear(event: Event) -> None:
        if not working.is_set():
            message = "not yet"
            raise OSError(message)
        heard.append(event.id)

    event: Event = Event("happened")
    for _ in range(2):
        bus = CeleryEventBus(amqp_url)
        bus.subscribe("happened", hear, name="everywhere", broadcast=True, retry=NO_RETRY)
        async with bus:
            if working.is_set():
                assert await bus.dead_letters.retry_all("everywhere") == 1
            else:
                await bus.publish(event)
            await bus.join(20)
            left = await bus.dead_letters.list("everywhere")
        bus.close()
        working.set()
    assert heard == [event.id]
    assert left == []
