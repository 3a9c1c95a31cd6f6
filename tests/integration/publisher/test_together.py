"""Publishes that are asked for together: all of them end before one error is raised."""

import asyncio
import gc
from typing import Any

import pytest

from qt_events.errors import TopologyError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.messages.properties import Content
from qt_events.rabbitmq.publishing.requests import PublishRequest
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.lasting import lasting

QUEUE = "qt.sub.desk"


async def ignore(_: Any) -> None:
    """Never called: nobody serves this subscription."""


@pytest.fixture
async def bus(make_bus: MakeBus) -> CeleryEventBus:
    made = make_bus()
    made.subscribe("order.placed", ignore, name="desk")
    await lasting(made)
    return made


def to(exchange: str, key: str) -> PublishRequest:
    return PublishRequest(exchange, key, Content(b"{}", {"delivery_mode": 2}))


async def test_the_first_error_is_raised_once_all_have_ended(
    bus: CeleryEventBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    names = bus.topology
    good = [to(names.redeliver, "desk") for _ in range(3)]
    bad = [to(names.dead_letters, name) for name in ("nobody", "no_other")]
    with pytest.raises(TopologyError, match="'nobody'"):
        await bus.publisher.ask_all([good[0], bad[0], good[1], bad[1], good[2]])
    assert all(each.ended for each in (*good, *bad))
    assert bus.publisher.in_flight == 0
    assert depth(amqp_url, QUEUE) == len(good)
    gc.collect()
    assert caplog.messages == []


async def test_nothing_is_said_of_those_that_a_cancelled_caller_has_left(
    bus: CeleryEventBus, caplog: pytest.LogCaptureFixture
) -> None:
    requests = [to(bus.topology.dead_letters, "nobody") for _ in range(50)]
    task = asyncio.create_task(bus.publisher.ask_all(requests))
    # A turn of the loop: they are asked for, and no answer can be heard yet.
    await asyncio.sleep(0)
    assert bus.publisher.in_flight == len(requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert bus.publisher.in_flight == 0
    # What the broker says of them now comes to nobody.
    await bus.publisher.ask(to(bus.topology.redeliver, "desk"))
    requests.clear()
    gc.collect()
    assert caplog.messages == []
