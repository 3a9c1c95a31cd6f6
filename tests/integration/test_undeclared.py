"""Subscriptions whose queues do not stand, found by a look at the broker."""

from typing import Any

import pytest

from qt_events import BrokerUnreachableError, Event
from qt_events.rabbitmq.operating.undeclared import undeclared
from tests.support.buses import MakeBus


async def hear(event: Event[Any]) -> None:
    pass


async def hear_too(event: Event[Any]) -> None:
    pass


async def test_what_some_process_has_declared_is_not_undeclared(make_bus: MakeBus) -> None:
    """Those that are come in the order in which they were asked for; a prefix is a world of its
    own."""
    worker, looks = make_bus(), make_bus()
    worker.subscribe("order.placed", hear, name="b")
    worker.subscribe("order.placed", hear_too, name="d")
    assert undeclared(looks, ["d", "c", "b", "a"]) == ["d", "c", "b", "a"]
    await worker.publish(Event("order.placed", payload={}))
    assert undeclared(looks, ["d", "c", "b", "a"]) == ["c", "a"]
    assert undeclared(make_bus(prefix="other"), ["b"]) == ["b"]


async def test_a_look_declares_nothing(make_bus: MakeBus) -> None:
    looks = make_bus()
    for _ in range(2):
        assert undeclared(looks, ["a"]) == ["a"]


def test_without_a_broker_its_address_is_named(make_bus: MakeBus) -> None:
    bus = make_bus("amqp://guest:secret@127.0.0.1:1//")
    with pytest.raises(BrokerUnreachableError, match=r"guest:\*\*@127\.0\.0\.1:1"):
        undeclared(bus, ["a"])
