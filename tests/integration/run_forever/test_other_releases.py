"""Releases of one subscription that serve its queue together, as during a rolling update."""

import json
import logging
from enum import StrEnum
from typing import Any, Literal
from uuid import uuid4

import amqp
import pytest
from amqp.exceptions import NotFound

from qt_events.events.cloudevents import CONTENT_TYPE, encode
from qt_events.events.event import Event
from qt_events.events.payload import Payload
from qt_events.rabbitmq.bus import CeleryEventBus
from tests.integration.run_forever.hosting import Handler, buried, publish, running
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until, until_told

MANY = 40


class Side(StrEnum):
    BUY = "buy"


class Leg(Payload):
    kind: Literal["spot"] = "spot"


class OrderPayload(Payload):
    side: Side = Side.BUY
    leg: Leg = Leg()
    size: int = 1


class Order(Event[OrderPayload], type="releases.order"):
    """Order as the old release knows it."""


def release(make_bus: MakeBus, *patterns: str, **options: Any) -> tuple[CeleryEventBus, Handler]:
    """Return a release that hears these patterns in the same queue."""
    bus, handler = make_bus(**options), Handler()
    for pattern in patterns:
        bus.subscribe(pattern, handler, name="orders")
    return bus, handler


def send(url: str, changes: dict[str, Any]) -> None:
    """Publish an order as a release with these changes would."""
    document = json.loads(encode(Order.create())) | {"id": uuid4().hex} | changes
    body = json.dumps(document).encode()
    with channel_to(url) as channel:
        channel.confirm_select()
        message = amqp.Message(body, content_type=CONTENT_TYPE, message_id=document["id"])
        channel.basic_publish_confirm(message, "qt.events", "releases.order")


@pytest.mark.parametrize("newer_first", [False, True])
async def test_what_an_old_release_does_not_hear_reaches_the_new_one(
    make_bus: MakeBus, newer_first: bool
) -> None:
    """Whichever has declared last. It is no attempt and no return, and nothing is filtered."""
    old, at_old = release(make_bus, "placed")
    new, at_new = release(make_bus, "placed", "cancelled")
    async with running(*((new, old) if newer_first else (old, new))):
        events = [await publish(new, "cancelled", n=n) for n in range(MANY)]
        await until(lambda: len(at_new.done) == MANY)
        both = [await publish(new, "placed", n=n) for n in range(MANY)]
        await until(lambda: len(at_new.done) + len(at_old.done) == 2 * MANY)
    assert sorted(at_new.ids[:MANY]) == sorted(event.id for event in events)
    assert {event.id for event in both} == {*at_old.ids, *at_new.ids[MANY:]}
    counted = old.get_stats()
    assert counted["given_back"] > 0
    assert counted["filtered"] == counted["errors"] == counted["dead_letters"] == 0


@pytest.mark.parametrize("pool", [(), ("-P", "processes", "-c", "2")], ids=["asyncio", "prefork"])
async def test_a_worker_of_the_old_release_leaves_them_too(
    fleet: Fleet, make_bus: MakeBus, pool: tuple[str, ...]
) -> None:
    """On every pool, while a worker process of the new release starts a moment later."""
    program = ("-m", "celery", "-A", "release_app", "worker")
    await fleet.start(*pool, program=program, RELEASE_PATTERNS="placed")
    bus = release(make_bus, "placed", "cancelled")[0]
    events = [await publish(bus, "cancelled", n=n) for n in range(MANY)]
    await until_told(lambda: depth(fleet.url, "qt.sub.orders") == 0)
    await fleet.start(*pool, program=program, RELEASE_PATTERNS="placed,cancelled")
    calls = await fleet.until_called("handle", MANY)
    assert sorted(call.event_id for call in calls) == sorted(event.id for event in events)
    assert {call.details["attempt"] for call in calls} == {1}


async def test_without_a_newer_release_it_is_a_dead_letter_in_the_end(
    make_bus: MakeBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It was returned more often than quarantine allows, and a warning has told of it at once."""
    caplog.set_level(logging.INFO, "qt_events")
    new, _ = release(make_bus, "placed", "cancelled")
    await new.declarations.made()
    old, handler = release(make_bus, "placed", rollout=4.0)
    async with running(old):
        event = await publish(new, "cancelled")
        (record,) = await buried(old, 1)
        with pytest.raises(NotFound):
            depth(amqp_url, "qt.quarantine.orders")
    assert (record.reason, record.event_id) == ("unknown_here", event.id)
    assert record.attempts == 1
    assert "'placed'" in record.message
    assert handler.done == []
    assert old.get_stats()["given_back"] > 3
    warned = [each for each in caplog.records if "left to another release" in each.getMessage()]
    assert [each.levelname for each in warned][:2] == ["WARNING", "INFO"]


async def test_what_this_process_unsubscribed_is_skipped(make_bus: MakeBus) -> None:
    """Its own declarations removed the binding, so nobody is to handle what came before."""
    bus, handler = release(make_bus, "placed", "cancelled")
    await bus.declarations.made()
    await publish(bus, "cancelled")
    bus.unsubscribe("cancelled", handler)
    async with running(bus):
        event = await publish(bus, "placed")
        await until(lambda: handler.ids == [event.id])
        await until(lambda: bus.get_stats()["filtered"] == 1)
    assert bus.get_stats()["given_back"] == 0


#: Events of a newer release, as they are on the wire.
NEWER = {
    "a version": {"dataversion": 2},
    "an enum member": {"data": {"side": "short"}},
    "a literal inside": {"data": {"leg": {"kind": "swap"}}},
}


@pytest.mark.parametrize("changes", NEWER.values(), ids=NEWER)
async def test_what_an_old_release_cannot_read_is_given_back_first(
    make_bus: MakeBus, amqp_url: str, changes: dict[str, Any]
) -> None:
    """What no release could read, by the old one's own version, is a dead letter at once."""
    bus, handler = release(make_bus, "releases.order", rollout=1.0)
    async with running(bus):
        send(amqp_url, {"data": {"size": "many"}})
        (record,) = await buried(bus, 1)
        assert "payload.size" in record.message
        assert bus.get_stats()["given_back"] == 0
        send(amqp_url, changes)
        await until(lambda: bus.get_stats()["given_back"] > 0)
        records = await buried(bus, 2)
    assert {each.reason for each in records} == {"undecodable"}
    assert handler.done == []
