"""Many subscriptions: round trips do not grow with their number."""

import asyncio
from time import monotonic

import pytest

from qt_events.errors import PublishTimeoutError, TopologyError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.connection.broker_version import BrokerVersion
from qt_events.testing.broker.management import Management
from qt_events.testing.proxy import Proxy
from tests.integration.run_forever.hosting import Handler, is_ready, publish, running
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until

MANY = 120
ROUND_TRIP = 2.0  # seconds: long beside the work of a busy machine
MOST = 10  # round trips
FOR_A_TURN = 2  # the same, where publisher and worker take turns with other processes to bind


def subscribed(bus: CeleryEventBus) -> list[Handler]:
    handlers = [Handler() for _ in range(MANY)]
    for number, handler in enumerate(handlers):
        bus.subscribe(f"number_{number}.happened", handler, name=f"number_{number}")
    return handlers


async def heard_by_all(bus: CeleryEventBus, handlers: list[Handler]) -> None:
    events = await asyncio.gather(
        *(publish(bus, f"number_{number}.happened") for number in range(MANY))
    )
    await until(lambda: all(event.id in h.ids for event, h in zip(events, handlers, strict=True)))


async def seconds_to_come_back(bus: CeleryEventBus, handlers: list[Handler], proxy: Proxy) -> float:
    # Publisher and worker, and sometimes the connection that looks whether fates are heard.
    assert proxy.reset() in {2, 3}
    began = monotonic()
    await heard_by_all(bus, handlers)
    return monotonic() - began


async def test_a_lost_connection_is_back_after_ten_round_trips(
    make_bus: MakeBus, amqp_url: str, proxy: Proxy
) -> None:
    """Of publisher and worker, with the first events handled, however many subscriptions."""
    bus = make_bus(proxy.url_for(amqp_url), publish_timeout=90.0)
    handlers = subscribed(bus)
    with channel_to(amqp_url) as channel:
        takes_turns = BrokerVersion.of(channel.connection).answers_duplicates_early
    async with running(bus):
        await heard_by_all(bus, handlers)
        at_once = await seconds_to_come_back(bus, handlers, proxy)
        proxy.delay(ROUND_TRIP / 2)
        late = await seconds_to_come_back(bus, handlers, proxy)
    # The rest is work of a machine that may be busy.
    round_trips = (late - at_once) / ROUND_TRIP
    assert int(round_trips) <= MOST + takes_turns * FOR_A_TURN


async def test_what_still_stands_is_not_declared_again(
    make_bus: MakeBus, amqp_url: str, proxy: Proxy
) -> None:
    """One of two connections was lost: at most that one declares again what it had declared."""
    bus = make_bus(proxy.url_for(amqp_url))
    handlers = subscribed(bus)
    async with running(bus):
        await heard_by_all(bus, handlers)
        before = proxy.traffic.to_target
        await heard_by_all(bus, handlers)
        events = proxy.traffic.to_target - before
        before = proxy.traffic.to_target
        assert proxy.reset(1) == 1
        await heard_by_all(bus, handlers)
        # A declared subscription is less than a kilobyte on the wire.
        assert proxy.traffic.to_target - before - events < MANY * 1_250


async def test_who_waits_is_told_how_far_they_are_declared(
    make_bus: MakeBus, amqp_url: str, proxy: Proxy
) -> None:
    """RabbitMQ runs: nobody is asked whether it does, and run_forever() gives nothing up."""
    bus = make_bus(proxy.url_for(amqp_url), publish_timeout=6.0)
    handlers = subscribed(bus)
    proxy.throttle(10_000, "to_target")
    serving = asyncio.create_task(bus.run_forever())
    with pytest.raises(PublishTimeoutError, match=r"subscriptions \(declaring \d+ of 120\)"):
        await publish(bus)
    proxy.heal()
    await until(lambda: is_ready(bus) or serving.done())
    await heard_by_all(bus, handlers)
    bus.stop()
    await serving


async def test_a_queue_that_was_deleted_is_declared_again(
    make_bus: MakeBus, management: Management, vhost: str, amqp_url: str
) -> None:
    """The broker cancels its consumer. The publisher's connection stands, and its knowledge not."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="handler")
    async with running(bus):
        await publish(bus)
        await until(lambda: handler.done)
        with channel_to(amqp_url) as channel:
            channel.queue_delete("qt.sub.handler")
        async with asyncio.timeout(60):
            while len(handler.done) < 2:
                await publish(bus)
                await asyncio.sleep(0.1)
    assert any(each["name"] == "qt.sub.handler" for each in management.queues(vhost))


async def test_a_refusal_among_many_is_told_by_name(make_bus: MakeBus, amqp_url: str) -> None:
    """They are declared together, and the broker says only that it refused one of them."""
    bus = make_bus()
    with channel_to(amqp_url) as channel:
        channel.queue_declare(
            "qt.sub.number_70", durable=True, auto_delete=False, arguments={"x-max-length": 5}
        )
    subscribed(bus)
    with pytest.raises(TopologyError, match=r"'number_70'.*'qt\.sub\.number_70' exists"):
        await publish(bus)
