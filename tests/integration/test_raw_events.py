"""A raw subscription on RabbitMQ gets what no class would take, exactly as it was on the wire."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import amqp
import pytest

from qt_events import Payload, RawEvent
from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.support.channels import channel_to

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Weighed(Payload):
    grams: int


class WeighedEvent(Event[Weighed], type="raw_test.weighed"): ...


def cloud(type: str, data: Any, **attributes: Any) -> bytes:
    document = {"specversion": "1.0", "id": "i", "source": "s", "type": type, "data": data}
    return json.dumps({**document, "time": "2026-11-30T13:00:00+01:00", **attributes}).encode()


# What is sent, and the id, source, correlation and cause that it comes with.
SENT = [
    pytest.param(cloud("raw_test.weighed", {"grams": "many"}), ("i", "s", "i", None), id="refused"),
    pytest.param(cloud("raw_test.weighed", {}, dataversion=99), ("i", "s", "i", None), id="newer"),
    pytest.param(cloud("raw_test.weighed", [1, None]), ("i", "s", "i", None), id="no object"),
    pytest.param(
        b' {"grams" : 1e2, "more":\n"\\u00e4"}', ("m", "app", "c", None), id="plain JSON"
    ),
    pytest.param(
        cloud("raw_test.weighed", {}, id="x" * 4096, correlationid="'\0\"", causationid="\\"),
        ("x" * 4096, "s", "'\0\"", "\\"),
        id="hostile texts",
    ),
]  # fmt: skip


async def raw_events(url: str, messages: Sequence[amqp.Message], key: str) -> list[RawEvent]:
    """Return what a raw subscription gets of these messages, then of a last event."""
    heard: list[RawEvent] = []
    done = asyncio.Event()

    async def hear(event: RawEvent) -> None:
        done.set() if event.type == "raw_test.last" else heard.append(event)

    async with CeleryEventBus(url) as bus:
        bus.subscribe("#", hear, name="raw", raw=True)
        await bus.declarations.made()
        with channel_to(url) as channel:
            for message in messages:
                channel.basic_publish(message, "qt.events", key)
        await bus.publish(Event("raw_test.last"))
        async with asyncio.timeout(30):
            await done.wait()
    return heard


@pytest.mark.parametrize(("body", "expected"), SENT)
async def test_a_raw_event_is_as_it_was_on_the_wire(
    amqp_url: str, body: bytes, expected: tuple[object, ...]
) -> None:
    """Its class may refuse the payload, or know no such version, or there is no CloudEvent."""
    is_plain = b"specversion" not in body
    content_type = "application/json" if is_plain else CONTENT_TYPE
    properties = {
        "message_id": "m",
        "app_id": "app",
        "correlation_id": "c",
        "timestamp": int(NOON.timestamp()),
    }
    message = amqp.Message(body, content_type=content_type, **(properties if is_plain else {}))
    [event] = await raw_events(amqp_url, [message], "raw_test.weighed")
    assert (event.body, event.type, event.time) == (body, "raw_test.weighed", NOON)
    assert (event.id, event.source, event.correlation_id, event.causation_id) == expected
    assert (event.content_type, event.replayed) == (content_type, False)


async def test_a_type_without_a_class_comes_raw(amqp_url: str) -> None:
    body = cloud("raw_test.unknown", {"a": 1})
    message = amqp.Message(body, content_type=CONTENT_TYPE)
    [event] = await raw_events(amqp_url, [message], "raw_test.unknown")
    assert event.body == body


@pytest.mark.parametrize("body", [b"not JSON", cloud("raw_test.other", {}), cloud("x", {}, id=5)])
async def test_what_is_no_event_is_a_dead_letter_of_a_raw_subscription_too(
    amqp_url: str, body: bytes
) -> None:
    """No JSON, another type than its routing key's, no id."""
    message = amqp.Message(body, content_type=CONTENT_TYPE)
    assert await raw_events(amqp_url, [message], "raw_test.weighed") == []
    bus = CeleryEventBus(amqp_url)
    [letter] = await bus.dead_letters.list("raw")
    assert letter.body == body
    bus.close()
