"""Dead letters of messages that expire, are dropped or cannot be read: none goes in silence."""

import asyncio
from typing import Any

import pytest

from qt_events import Event
from qt_events.events.cloudevents import CONTENT_TYPE, encode
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.properties import Content, to_amqp
from qt_events.rabbitmq.publishing.requests import PublishRequest
from tests.integration.dead_letters.fallible import (
    ONCE,
    Fallible,
    event,
    handled,
    listed,
    publish_raw,
)
from tests.support.channels import channel_to, depth
from tests.support.lasting import lasting
from tests.support.waiting import until, until_told

CLOUD, PLAIN = {"content_type": CONTENT_TYPE}, {"content_type": "application/json"}
FORGED = encode(Event("policy.forged", None, {"number": 1}))
CLAIMS: dict[str, Any] = {
    "qt-type": "policy.forged",
    "qt-attempt": 3,
    "qt-reason": "exhausted",
    "qt-key": "other",
}
RETRIED: dict[str, Any] = {"qt-type": "number.drawn", "qt-attempt": 2}


async def test_an_event_that_expires_in_its_queue_is_a_dead_letter(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """A producer's own TTL is kept, and the expired event can be sent back."""
    await lasting(bus)
    content = to_amqp(event(3))
    await asyncio.to_thread(
        publish_raw, amqp_url, content.body, **content.properties, expiration="1"
    )
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible"))
    (record,) = await listed(bus)
    assert (record.reason, record.event_type, record.attempts) == ("expired", "number.drawn", 0)
    assert record.body == content.body
    assert await bus.dead_letters.show(record.id) == record
    handler.fails = False
    await bus.dead_letters.retry(record.id)
    await handled(bus)
    assert handler.heard == [3]


async def test_an_expired_event_is_not_what_its_producer_says_in_our_headers(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """The key that the broker noted counts: its producer may not publish the claimed type."""
    heard: list[str] = []
    bus.subscribe("#", lambda event: heard.append(event.type), name="fallible", retry=ONCE)
    await lasting(bus)
    forged: dict[str, Any] = {"application_headers": CLAIMS, "expiration": "1", **CLOUD}
    await asyncio.to_thread(publish_raw, amqp_url, FORGED, **forged)
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible"))
    (record,) = await listed(bus)
    assert (record.reason, record.event_type, record.attempts) == ("expired", "number.drawn", 0)
    await bus.dead_letters.retry_all("fallible")
    await handled(bus)
    (record,) = await listed(bus)
    assert (record.reason, heard) == ("mistyped", [])


async def test_a_retry_that_expires_in_its_queue_stays_what_it_is(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """An operator's message-ttl may end it. It was in a delay level, so its headers are ours."""
    await lasting(bus)
    delayed = PublishRequest(
        "qt.retry.100", "fallible", Content(encode(event(3)), {"expiration": "1"}, RETRIED)
    )
    delayed.first = bus.declarations.ways.level(0.1)
    await bus.publisher.ask(delayed)
    with channel_to(amqp_url) as channel:
        raw = await until_told(lambda: channel.basic_get("qt.sub.fallible"))
        channel.basic_reject(raw.delivery_tag, requeue=False)
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible"))
    (record,) = await listed(bus)
    assert (record.reason, record.event_type, record.attempts) == ("rejected", "number.drawn", 2)


async def test_what_the_broker_drops_from_quarantine_is_a_dead_letter(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """A limit of an operator's policy may drop it, for example."""
    await lasting(bus)
    expiring = Content(encode(event(3)), {"expiration": "1"}, RETRIED)
    await bus.publisher.ask(PublishRequest("qt.quarantine", "fallible", expiring))
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible"))
    (record,) = await listed(bus)
    assert (record.reason, record.event_type, record.attempts) == ("expired", "number.drawn", 2)


BROKEN = {
    "no JSON": (b"not json", CLOUD, "undecodable"),
    "truncated": (encode(event(1))[:-9], CLOUD, "undecodable"),
    "no CloudEvent": (b'{"number": 1}', CLOUD, "undecodable"),
    "no object": (b"[1]", PLAIN, "undecodable"),
    "pickle": (b"\x80\x04N.", {"content_type": "application/x-python-serialize"}, "undecodable"),
    "empty": (b"", {}, "undecodable"),
    "encoding": (
        b'{"number": 1}',
        {"content_encoding": "gzip", "content_type": "text/x"},
        "undecodable",
    ),
    "another type than its key": (FORGED, CLOUD, "mistyped"),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_message_that_cannot_be_handled_is_a_dead_letter(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str, broken: str
) -> None:
    """The dead letter has its raw body and its own properties; the next message is handled."""
    body, properties, reason = BROKEN[broken]
    given: dict[str, Any] = {
        **properties,
        "message_id": "m-1",
        "app_id": "elsewhere",
        "reply_to": "nobody",
    }
    handler.fails = False
    await lasting(bus)
    headers = {"task": "os.system"}
    await asyncio.to_thread(publish_raw, amqp_url, body, **given, application_headers=headers)
    await handled(bus, 2)
    (record,) = await listed(bus)
    assert (record.reason, record.attempts, record.event_type, record.body) == (
        reason,
        1,
        "number.drawn",
        body,
    )
    assert record.properties.items() >= {**given, "delivery_mode": 2}.items()
    assert handler.heard == [2]


@pytest.mark.parametrize(
    "properties", [{}, {"content_type": "application/json", "message_id": "m-1"}]
)
async def test_plain_json_from_another_language_is_handled(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str, properties: dict[str, Any]
) -> None:
    """A payload and a routing key are enough."""
    handler.fails = False
    await lasting(bus)
    await asyncio.to_thread(publish_raw, amqp_url, b'{"number": 5}', **properties)
    async with bus:
        await until(lambda: handler.heard)
    assert handler.heard == [5]
    assert await listed(bus) == []
