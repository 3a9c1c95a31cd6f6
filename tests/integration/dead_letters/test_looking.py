"""Dead letters on the broker: reading them changes nothing."""

import asyncio
from contextlib import aclosing
from threading import Timer
from typing import Any
from urllib.parse import urlsplit

import pytest

from qt_events.errors import BrokerUnreachableError, UnknownSubscriptionError
from qt_events.events.cloudevents import CONTENT_TYPE, encode
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.envelope import body_of
from qt_events.testing.broker.management import Management
from qt_events.testing.ports import free_ports
from qt_events.testing.proxy import Proxy
from tests.integration.dead_letters.fallible import (
    ONCE,
    Fallible,
    event,
    handled,
    listed,
    publish_dead,
)
from tests.support.channels import channel_to, depth
from tests.support.lasting import lasting
from tests.support.waiting import until, until_told


async def test_a_dead_letter_tells_every_detail(bus: CeleryEventBus, handler: Fallible) -> None:
    """A dead letter has its subscription, reason, attempts, times, host and the event as it was."""
    published = event(7)
    async with bus:
        await bus.publish(published)
        await bus.join(30)
    (record,) = await listed(bus)
    assert (record.subscription, record.event_id, record.event_type) == (
        "fallible",
        published.id,
        "number.drawn",
    )
    assert (record.reason, record.attempts) == ("exhausted", 1)
    assert (record.exception_type, record.message) == ("LookupError", "number 7")
    assert "raise LookupError(" in record.traceback
    assert record.first_failed <= record.last_failed
    assert record.host
    assert record.body == encode(published)
    assert record.properties["content_type"] == CONTENT_TYPE
    assert record.properties["message_id"] == published.id


async def test_thirty_looks_change_nothing(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """The dead letters and their order stay, whether all, some or one of them is read."""
    await handled(bus, *range(10))
    first = await listed(bus)
    assert [record.message for record in first] == [f"number {n}" for n in range(10)]
    for look in range(10):
        assert list(await bus.dead_letters.list("fallible", limit=3)) == first[:3]
        assert await bus.dead_letters.show(first[look].id) == first[look]
        assert list(await bus.dead_letters.list()) == first
    assert depth(amqp_url, "qt.dead.fallible") == 10


@pytest.mark.parametrize("act", ["list", "retry_all"])
async def test_an_unknown_subscription_is_a_named_error(bus: CeleryEventBus, act: str) -> None:
    """A name that was never declared under this prefix has no queue of dead letters."""
    with pytest.raises(UnknownSubscriptionError, match="'nonesuch'"):
        await getattr(bus.dead_letters, act)("nonesuch")


async def test_without_a_broker_looking_is_a_named_error() -> None:
    """The error names host and port, and no password."""
    (port,) = free_ports(1)
    bus = CeleryEventBus(f"amqp://somebody:s3cret@127.0.0.1:{port}//")
    with pytest.raises(BrokerUnreachableError, match=f"{port}") as caught:
        await bus.dead_letters.list("fallible")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
async def test_looking_leaves_the_order_as_it_was(amqp_url: str, queue_type: str) -> None:
    """Many and large dead letters are read in order, and sent back in order after that."""
    bus, handler = CeleryEventBus(amqp_url, queue_type=queue_type, publish_timeout=20), Fallible()
    bus.subscribe("#", handler.handle, name="fallible", retry=ONCE)
    await lasting(bus)
    bodies = [
        b'{"number": %d, "padding": "%s"}' % (number, b"x" * 200 * (number % 40))
        for number in range(550)
    ]
    await asyncio.to_thread(publish_dead, amqp_url, bodies)
    box = bus.dead_letters
    for _ in range(2):
        assert [letter.body async for letter in box.stream("fallible")] == bodies
    assert await box.retry_all("fallible", dry_run=True) == 550
    assert await box.retry_all("fallible") == 550
    with channel_to(amqp_url) as channel:
        waiting = [body_of(channel.basic_get("qt.sub.fallible", no_ack=True)) for _ in range(550)]
    assert waiting == bodies
    assert await listed(bus) == []
    await asyncio.to_thread(bus.close)


async def test_two_who_look_at_once_take_nothing_from_each_other_for_good(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """Readers do not wait for what the other holds; afterwards all are there."""
    await lasting(bus)
    await asyncio.to_thread(publish_dead, amqp_url, [b"%d" % number for number in range(300)])
    other = CeleryEventBus(amqp_url)
    looks = await asyncio.gather(
        *(each.dead_letters.list("fallible") for each in (bus, other, bus, other))
    )
    assert all(len(look) <= 300 for look in looks)
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible") == 300)
    assert len(await listed(bus)) == 300
    await asyncio.to_thread(other.close)


async def test_a_look_that_is_left_early_gives_everything_back(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """The next reader sees them at once."""
    await lasting(bus)
    await asyncio.to_thread(publish_dead, amqp_url, [b"%d" % number for number in range(100)])
    async with aclosing(bus.dead_letters.stream("fallible")) as letters:
        async for _ in letters:
            break
    assert depth(amqp_url, "qt.dead.fallible") == 100
    assert len(await listed(bus)) == 100


STRANGE: dict[str, dict[str, Any]] = {
    "nothing": {},
    "numbers for texts": {
        "qt-id": 5,
        "qt-reason": 7,
        "qt-type": 1.5,
        "qt-subscription": None,
        "qt-key": 9,
    },
    "texts for numbers": {"qt-attempt": "x", "qt-body-size": "y"},
    "attempts": {"qt-attempt": -1, "qt-id": "attempts"},
    "times": {
        "qt-last-failed": "0001-01-01T00:00:00+23:59",
        "qt-first-failed": "9999-12-31T23:59:59-23:59",
    },
    "no times": {"qt-last-failed": "yesterday", "qt-first-failed": [1, {"a": None}]},
    "deaths": {"x-death": [{"reason": [], "routing-keys": [5], "time": "then"}]},
    "no deaths": {"x-death": "none"},
    "long": {"qt-type": "t" * 5_000, "qt-reason": "r" * 5_000, "qt-id": "i" * 5_000},
    "evil": {
        "qt-reason": "\x1b[2J",
        "qt-exception-type": "\ud800".encode(errors="surrogatepass"),
        "qt-id": "evil",
    },
}


async def test_strange_dead_letters_never_break_the_reading(
    bus: CeleryEventBus, handler: Fallible, amqp_url: str
) -> None:
    """Each is shown, those that mean something go back, and none is in the way of the others."""
    await lasting(bus)
    for name, headers in STRANGE.items():
        given: dict[str, Any] = {
            "application_headers": headers,
            "expiration": "600000",
            "user_id": "guest",
        }
        await asyncio.to_thread(publish_dead, amqp_url, [name.encode()], **given)
    await until_told(lambda: depth(amqp_url, "qt.dead.fallible") == len(STRANGE))
    letters = {letter.body.decode(): letter for letter in await listed(bus)}
    assert letters.keys() == STRANGE.keys()
    assert sum(group.count for group in await bus.dead_letters.groups()) == len(STRANGE)
    assert (await bus.dead_letters.show("evil")).reason == letters["evil"].reason == "\x1b[2J"
    skipped: list[str] = []
    sent = await bus.dead_letters.retry_all(
        "fallible", on_skipped=lambda record, _: skipped.append(record.body.decode())
    )
    assert (sent, skipped) == (len(STRANGE) - 1, ["texts for numbers"])
    assert depth(amqp_url, "qt.sub.fallible") == sent


async def test_a_look_that_is_cancelled_while_it_connects_closes_what_it_opens(
    amqp_url: str, management: Management, vhost: str
) -> None:
    """The thread that opens the connection closes it too, for no other may use it."""
    parts = urlsplit(amqp_url)
    with Proxy(str(parts.hostname), parts.port or 0) as proxy:
        bus = CeleryEventBus(proxy.url_for(amqp_url))
        try:
            proxy.black_hole()
            looking = asyncio.create_task(bus.dead_letters.list())
            await until(lambda: proxy.traffic.accepted)
            looking.cancel()
            healing = Timer(0.3, proxy.heal)
            healing.start()
            with pytest.raises(asyncio.CancelledError):
                await looking
            await asyncio.to_thread(healing.join)
            await until(lambda: not proxy.traffic.open)
            await until_told(lambda: management.connections(vhost) == [])
        finally:
            bus.close()
