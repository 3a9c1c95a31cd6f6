"""A worker takes about a second of work from a queue, and leaves the rest to others."""

import asyncio
from typing import Any

import pytest

from qt_events.events.event import Event
from tests.integration.run_forever.hosting import Handler, publish, running
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.waiting import until, until_told


async def test_a_slow_handler_leaves_events_to_other_workers(make_bus: MakeBus) -> None:
    """One that has not ended holds one event more; another worker gets the other 38 of 40."""
    slow, quick = Handler(wait=True), Handler()
    first, second = make_bus(), make_bus()
    first.subscribe("happened", slow, name="shared")
    second.subscribe("happened", quick, name="shared")
    async with running(first):
        for n in range(40):
            await publish(first, n=n)
        await until(lambda: first.serving.held == 2)
        async with running(second):
            await until(lambda: len(quick.done) == 38)
            slow.open.set()
            await until(lambda: len(slow.done) == 2)
    assert {each.id for each in slow.done}.isdisjoint(quick.ids)


@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
async def test_a_fast_handler_gets_more_at_a_time_in_the_same_order(
    make_bus: MakeBus, queue_type: str, amqp_url: str
) -> None:
    """Its queue is consumed anew, with more. What becomes slow is lowered again."""
    bus, handled, gate = make_bus(queue_type=queue_type), [], asyncio.Event()

    async def handle(event: Event[Any]) -> None:
        if event.payload["n"] == 300:
            await gate.wait()
        handled.append(event.payload["n"])

    subscription = bus.subscribe("happened", handle, name="handle")
    for n in range(600):
        await publish(bus, n=n)
    async with running(bus):
        prefetch: Any = bus.serving.adapting(subscription)
        # A hundred, unless the machine is busy.
        await until(lambda: bus.serving.held == prefetch.count > 20)
        await until(lambda: prefetch.count == 2)
        gate.set()
        await until(lambda: len(handled) == 600)
        await until_told(lambda: depth(amqp_url, "qt.sub.handle") == 0 and not bus.serving.held)
    assert handled == list(range(600))


@pytest.mark.parametrize(("of_bus", "of_subscription", "held"), [(7, None, 7), (7, 5, 5)])
async def test_it_can_be_chosen(
    make_bus: MakeBus, of_bus: int, of_subscription: int | None, held: int, amqp_url: str
) -> None:
    """For the bus, and for one subscription. It does not adapt then."""
    bus, quick, slow = make_bus(prefetch=of_bus), Handler(), Handler(wait=True)
    bus.subscribe("quick", quick, name="quick")
    bus.subscribe("slow", slow, name="slow", prefetch=of_subscription)
    bus.subscribe("slow", slow.__call__, name="wide", concurrency=10)
    async with running(bus):
        for n in range(30):
            await publish(bus, "quick", n=n)
            await publish(bus, "slow", n=n)
        await until(lambda: len(quick.done) == 30 and bus.serving.held == held + 10)
        assert await asyncio.to_thread(depth, amqp_url, "qt.sub.slow") == 30 - held
        slow.open.set()
        await until(lambda: not bus.serving.held)
        await until_told(lambda: depth(amqp_url, "qt.sub.slow") == 0)


async def test_large_events_are_few(make_bus: MakeBus) -> None:
    """Their bytes are bounded, however fast the handler is."""
    bus, gate, handled = make_bus(), asyncio.Event(), []

    async def handle(event: Event[Any]) -> None:
        if event.payload["n"] >= 30:
            await gate.wait()
        handled.append(event.payload["n"])

    bus.subscribe("happened", handle, name="handle")
    for n in range(60):
        await publish(bus, n=n, text="x" * 1024 * 1024)
    async with running(bus):
        await until(lambda: len(handled) == 30)
        # Sixteen MiB.
        assert 2 <= bus.serving.held <= 17
        gate.set()
        await until(lambda: len(handled) == 60)
