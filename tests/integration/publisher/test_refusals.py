"""Refusals: unroutable, nacked, forbidden or unsendable, an event fails alone and by name."""

import asyncio
from urllib.parse import unquote, urlsplit

import pytest

from qt_events import Published
from qt_events.errors import PublishRefusedError, UnroutableError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.publishing.requests import PublishRequest
from qt_events.testing.broker import PrivateBroker
from tests.integration.publisher.numbered_events import SHORT, connected, event, keeping, taken
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until


async def test_an_unroutable_event_is_counted_and_an_error_only_if_asked(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """An event without subscriptions is no mistake."""
    bus = make_bus(amqp_url)
    await bus.publish(event())
    assert bus.get_stats()["unroutable"] == 1
    with pytest.raises(UnroutableError, match=r"number\.drawn"):
        await bus.publish(event(), mandatory=True)
    keeping(bus)
    await bus.publish(event(), mandatory=True)
    assert bus.get_stats()["unroutable"] == 2
    assert bus.get_stats()["published"] == 3


async def test_routed_and_unroutable_events_in_flight_together_are_told_apart(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """A return is matched with its publish, whatever is in flight beside it."""
    bus = keeping(make_bus(amqp_url), "even")
    publishes = (bus.publish(event(n, ("even", "odd")[n % 2]), mandatory=True) for n in range(200))
    results = await asyncio.gather(*publishes, return_exceptions=True)
    assert [isinstance(result, UnroutableError) for result in results] == [
        n % 2 == 1 for n in range(200)
    ]


async def test_a_full_queue_that_rejects_is_a_named_error(make_bus: MakeBus, amqp_url: str) -> None:
    """The broker could not store it everywhere, however often it was tried. Others go on."""
    bus = await connected(keeping(make_bus(amqp_url, publish_timeout=SHORT)))
    await bus.publish(event(1))
    declare_full(amqp_url)
    await bus.publish(event(2, "full.a"))
    refused = asyncio.create_task(bus.publish(event(3, "full.b")))
    while not refused.done():
        await bus.publish(event(4))
    with pytest.raises(PublishRefusedError, match=r"full\.b"):
        await refused
    await bus.publish(event(5))


async def test_what_was_nacked_is_tried_again_until_there_is_room(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """No caller hears of it within `publish_timeout`."""
    await bus.publish(event(1))
    declare_full(amqp_url)
    await bus.publish(event(2, "full.a"))
    waiting = [asyncio.create_task(bus.publish(event(n, "full.b"))) for n in (3, 4)]
    session = bus.publisher.state.channels
    await until(lambda: bus.publisher.state.channels > session, what="another try")
    for n in range(5, 10):
        await bus.publish(event(n))
    assert not any(task.done() for task in waiting)
    with channel_to(amqp_url) as channel:
        channel.queue_delete("full")
    await asyncio.gather(*waiting)
    assert set(await asyncio.to_thread(taken, amqp_url)) == set(range(1, 10))


def declare_full(url: str) -> None:
    """Declare a queue for one event."""
    with channel_to(url) as channel:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare("full", durable=True, auto_delete=False, arguments=arguments)
        channel.queue_bind("full", "qt.events", "full.#")


# Writes to the exchange of events alone, and there to topics of one kind alone
_PRODUCER = """\
User = <<"{user}">>, Vhost = <<"{vhost}">>, By = <<"test">>, None = <<"">>,
ok = rabbit_auth_backend_internal:add_user(User, <<"s3cret">>, By),
ok = rabbit_auth_backend_internal:set_permissions(
    User, Vhost, None, <<"^qt[.]events$">>, None, By),
ok = rabbit_auth_backend_internal:set_topic_permissions(
    User, Vhost, <<"qt.events">>, <<"^allowed[.]">>, None, By)."""


async def test_a_forbidden_publish_fails_alone(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str
) -> None:
    """The broker closes the channel.

    The others go over the next one. No right to configure is needed.
    """
    allowing = keeping(make_bus(node_url))
    await allowing.publish(event(-1))
    parts = urlsplit(node_url)
    name, user = unquote(parts.path[1:]), "producer"
    harmed.evaluate(_PRODUCER.format(user=user, vhost=name))
    bus = make_bus(f"amqp://{user}:s3cret@{parts.hostname}:{parts.port}{parts.path}")
    forbidden = {20, 41, 42}
    publishes = (
        bus.publish(event(n, "forbidden.x" if n in forbidden else "allowed.x")) for n in range(60)
    )
    results = await asyncio.gather(*publishes, return_exceptions=True)
    assert {n for n, result in enumerate(results) if result is not Published.CONFIRMED} == forbidden
    assert all(isinstance(results[n], PublishRefusedError) for n in forbidden)
    assert all(
        "forbidden.x" in str(results[n]) and "ACCESS_REFUSED" in str(results[n]) for n in forbidden
    )
    await bus.publish(event(60, "allowed.x"))
    there = list(dict.fromkeys(await asyncio.to_thread(taken, node_url)))
    assert there == [n for n in range(-1, 61) if n not in forbidden]


@pytest.mark.parametrize(
    "message",
    [
        Content(b"", {"message_id": "x" * 300}),
        Content(b"", {"priority": "high"}),
        Content(b"", {"delivery_mode": 2}, {"qt-x": "x" * 140_000}),
        Content(b"", {"delivery_mode": 2}, {"qt-x": object()}),
    ],
    ids=["long property", "wrong property", "long headers", "wrong header"],
)
async def test_an_unsendable_message_fails_alone(
    bus: CeleryEventBus, amqp_url: str, message: Content
) -> None:
    """No byte of it is written, and delivery tags stay right."""
    unsendable = bus.publisher.ask(PublishRequest(bus.topology.events, "number.drawn", message))
    results = await asyncio.gather(
        bus.publish(event(1)),
        unsendable,
        *(bus.publish(event(n)) for n in range(2, 20)),
        return_exceptions=True,
    )
    assert isinstance(results.pop(1), PublishRefusedError)
    assert results == [Published.CONFIRMED] * 19
    assert bus.publisher.state.channels == 1
    assert await asyncio.to_thread(taken, amqp_url) == list(range(1, 20))


async def test_an_exchange_that_is_missing_is_declared_again(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """The exchange is gone with its bindings. One publish fails, later ones reach the queue."""
    await bus.publish(event(1))
    with channel_to(amqp_url) as channel:
        channel.exchange_delete("qt.events")
    with pytest.raises(PublishRefusedError, match="no exchange"):
        await bus.publish(event(2))
    await bus.publish(event(3))
    assert await asyncio.to_thread(taken, amqp_url) == [1, 3]
