"""Bindings that two processes make at the same time, on a broker that writes them slowly."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from qt_events import Event
from qt_events.testing.broker import PrivateBroker
from tests.support.buses import MakeBus
from tests.support.waiting import until_told

# RabbitMQ before 4.3: nobody writes topic exchanges' routing tables for so many milliseconds. From
# 3.12 on, a binding that is being made is known by then, and routes nothing. 4.3 has no such table.
_HOLD = """\
spawn(fun() -> mnesia:transaction(fun() ->
    mnesia:lock({{table, rabbit_topic_trie_binding}}, write), timer:sleep({milliseconds}) end) end),
ok."""
HELD = 3_000


@pytest.fixture
def make_bus(node_url: str) -> Iterator[MakeBus]:
    """Make buses on that node, and close them afterwards."""
    factory = MakeBus(node_url)
    yield factory
    factory.close()


async def handle(_: Event[Any]) -> None: ...


async def test_a_binding_that_another_process_is_making_is_not_trusted(
    harmed: PrivateBroker, node_url: str, make_bus: MakeBus
) -> None:
    """A publish after one's own subscribe reaches the queue, whoever bound it first."""
    vhost = node_url.rpartition("/")[2]
    first, second = make_bus(), make_bus()
    for bus in (first, second):
        bus.subscribe("known", handle, name="guard")
        await bus.declarations.made()
    await asyncio.to_thread(harmed.evaluate, _HOLD.format(milliseconds=HELD))
    first.subscribe("happened", handle, name="guard")
    making = asyncio.create_task(first.declarations.made())

    def is_begun() -> bool:
        keys = {each["routing_key"] for each in harmed.management.bindings(vhost)}
        return "happened" in keys or making.done()

    await until_told(is_begun, what="the first one's binding")
    second.subscribe("happened", handle, name="guard")
    # UnroutableError: confirmed, and in no queue.
    await second.publish(Event("happened"), mandatory=True)
    await making
