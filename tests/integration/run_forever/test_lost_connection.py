"""run_forever() when its connection is lost: it reconnects, and no event is lost or doubled."""

import asyncio
from collections import Counter
from typing import Any

from qt_events.events.event import Event
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.broker.management import Management
from tests.integration.run_forever.hosting import QUICK, Handler, is_ready, publish, running
from tests.support.buses import MakeBus
from tests.support.channels import depth
from tests.support.waiting import until, until_told


async def test_it_reconnects_when_the_broker_was_killed(
    harmed: PrivateBroker, node_url: str, make_bus: MakeBus
) -> None:
    """Subscriptions made before and meanwhile hear later events."""
    bus, handler, late = make_bus(node_url, prefix="killed"), Handler(), Handler()
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        first = await publish(bus)
        await until(lambda: handler.done)
        await asyncio.to_thread(harmed.settle)
        await asyncio.to_thread(harmed.kill)
        bus.subscribe("happened", late, name="late")
        publishing = asyncio.create_task(publish(bus))
        await asyncio.to_thread(harmed.restart)
        second = await publishing
        await until(lambda: second.id in handler.ids and late.ids == [second.id])
    assert handler.ids[0] == first.id


async def test_it_reconnects_when_the_broker_closes_its_connections(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """Again and again; every event is handled."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        events: list[Event[Any]] = []
        for _ in range(3):
            events += [await publish(bus) for _ in range(10)]
            await until_told(lambda: len(management.connections(vhost)) == 2)
            await asyncio.to_thread(management.close_connections, vhost)
            events += [await publish(bus) for _ in range(10)]
        await until(lambda: {event.id for event in events} <= set(handler.ids))


async def test_delivery_tags_of_a_lost_channel_are_never_used(
    make_bus: MakeBus, management: Management, vhost: str, amqp_url: str
) -> None:
    """A handler that outlives its connection acks what comes again, and is not called twice."""
    bus, handler = make_bus(prefetch=100), Handler(wait=True)
    bus.subscribe("happened", handler, name="handler", concurrency=3)
    async with running(bus):
        events = [await publish(bus, n=n) for n in range(9)]
        await until(lambda: len(handler.begun) == 3)
        await until_told(lambda: len(management.connections(vhost)) == 2)
        consumer: Any = bus.serving.consumer
        assert consumer is not None
        lost = consumer.connection
        await asyncio.to_thread(management.close_connections, vhost)
        await until(
            lambda: consumer.connection not in {None, lost} and consumer.task_consumer is not None
        )
        # The three that run on, and the others again.
        await until(lambda: bus.serving.held == 9)
        handler.open.set()
        await until(lambda: len(handler.done) >= 9 and not bus.serving.held)
    assert Counter(handler.ids) == Counter(event.id for event in events)
    assert await asyncio.to_thread(depth, amqp_url, "qt.sub.handler") == 0


async def test_a_failure_after_the_connection_was_lost_is_retried_once(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """The broker delivers the event again: what is lost and what comes again have one outcome."""
    bus, gate, begun = make_bus(), asyncio.Event(), []

    async def failing(event: Event[Any]) -> None:
        begun.append(event)
        await gate.wait()
        raise OSError("no")

    bus.subscribe("happened", failing, name="failing", retry=QUICK)
    async with running(bus):
        await publish(bus)
        await until(lambda: begun)
        await until_told(lambda: len(management.connections(vhost)) == 2)
        await asyncio.to_thread(management.close_connections, vhost)
        consumer: Any = bus.serving.consumer
        await until(lambda: consumer.restart_count == 1 and consumer.pool.serving)
        gate.set()
        await bus.join(20)
        await until(lambda: bus.get_stats()["dead_letters"] >= 1)
    # The first one, and its retry.
    assert len(begun) == 2
    assert len(list(await bus.dead_letters.list("failing"))) == 1


async def test_a_bus_that_is_not_let_in_any_more_can_be_stopped(
    management: Management, make_bus: MakeBus, amqp_url: str, vhost: str
) -> None:
    """The vhost is gone, so every login is refused. stop() ends run_forever() all the same."""
    bus = make_bus(amqp_url, grace=1.0)
    bus.subscribe("order.placed", print, name="heard")
    running = asyncio.create_task(bus.run_forever())
    await until(lambda: is_ready(bus))
    management.delete_vhost(vhost)
    await until(
        lambda: bus.serving.consumer is not None and bus.serving.consumer.restart_count,
        what="reconnecting",
    )
    bus.stop()
    await asyncio.wait_for(running, 30)
    # The fixture deletes it.
    management.create_vhost(vhost)
