"""Failover: a URL that answers is used, and after a lost connection the next one."""

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from qt_events.errors import BrokerUnreachableError
from qt_events.events.event import Event
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker.management import Management
from qt_events.testing.ports import free_ports
from qt_events.testing.proxy import Proxy
from tests.integration.test_private_broker import opened
from tests.support.buses import MakeBus
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until, until_told


@pytest.fixture
def dead(amqp_url: str) -> str:
    """Return a URL of the same broker at a port where nobody listens."""
    (port,) = free_ports(1)
    return amqp_url.replace(f":{urlsplit(amqp_url).port}/", f":{port}/")


@pytest.mark.parametrize("order", ["{dead};{alive}", "{alive};{dead}", "{dead};{dead};{alive}"])
async def test_whichever_url_answers_is_taken(
    order: str, dead: str, amqp_url: str, make_bus: MakeBus
) -> None:
    """Publisher, worker and dead-letter operations find the URL that answers, in any order."""
    bus, heard = make_bus(order.format(dead=dead, alive=amqp_url)), asyncio.Event()
    bus.subscribe("order.placed", lambda _: heard.set(), name="desk")
    async with bus:
        await bus.publish(Event("order.placed"))
        await heard.wait()
        assert await bus.dead_letters.list("desk") == []


async def test_a_worker_process_takes_whichever_url_answers(
    dead: str, amqp_url: str, tmp_path: Path
) -> None:
    """A plain app takes a list of URLs, as Celery does; its log names those that do not answer."""
    fleet, client = Fleet(f"{dead};{amqp_url}", tmp_path), CeleryEventBus(amqp_url)
    try:
        worker = await fleet.start()
        await client.publish(event := Event("order.placed"))
        await fleet.until_called("on_loop", event=event)
        assert f"no connection to amqp://guest:**@127.0.0.1:{urlsplit(dead).port}" in worker.output
    finally:
        fleet.close()
        client.close()


async def test_when_a_connection_is_lost_the_other_url_takes_over(
    proxy: Proxy, amqp_url: str, make_bus: MakeBus, tmp_path: Path
) -> None:
    """Events are neither refused nor lost under load, in this process and in a worker process."""
    urls = f"{proxy.url_for(amqp_url)};{amqp_url}"
    bus, heard, fleet = make_bus(urls), set(), Fleet(urls, tmp_path)
    bus.subscribe("order.placed", lambda event: heard.add(event.id), name="desk")
    try:
        async with bus:
            await fleet.start()
            await bus.publish(Event("order.placed"))
            assert proxy.traffic.open >= 3
            published = [Event("order.placed") for _ in range(600)]
            publishing = [asyncio.create_task(bus.publish(event)) for event in published[:300]]
            await until(lambda: any(each.done() for each in publishing))
            await asyncio.to_thread(proxy.close)
            await asyncio.gather(*publishing, *map(bus.publish, published[300:]))
            ids = {event.id for event in published}
            await until(lambda: ids <= heard, what="all heard in this process")
            await until(
                lambda: ids <= {call.event_id for call in fleet.calls("on_loop")},
                what="and in the other",
            )
    finally:
        fleet.close()


async def test_when_nobody_answers_the_error_names_every_place_without_a_password(
    dead: str, make_bus: MakeBus
) -> None:
    """The error lists every URL and what each attempt met."""
    (port,) = free_ports(1)
    urls = f"{dead};{dead}".replace("guest:guest", "me:geheim", 1).replace("localhost", "127.0.0.1")
    bus = make_bus(f"{urls};amqp://you:secret@127.0.0.1:{port}//", publish_timeout=0.5)
    for refused in (
        bus.publish(Event("order.placed")),
        bus.run_forever(),
        bus.dead_letters.list("desk"),
    ):
        with pytest.raises(
            BrokerUnreachableError, match=rf"me:\*\*@.* or amqp://you:\*\*@127.0.0.1:{port}"
        ) as raised:
            await refused
        assert "geheim" not in str(raised.value)
        assert "secret" not in str(raised.value)


async def test_a_worker_whose_name_the_broker_still_holds_leaves_no_connection_behind(
    proxy: Proxy, amqp_url: str, vhost: str, management: Management, tmp_path: Path
) -> None:
    """RabbitMQ 4.3 keeps the control queue of a lost connection for many seconds, if its node was
    killed. The worker tries again, and serves when it has its name."""
    fleet, client = Fleet(proxy.url_for(amqp_url), tmp_path), CeleryEventBus(amqp_url)

    def is_there(name: str) -> bool:
        return name in {each["name"] for each in management.queues(vhost)}

    try:
        worker = await fleet.start()
        (node,) = fleet.ready
        proxy.refuse()
        proxy.reset()
        await until_told(lambda: not is_there(f"{node}.celery.pidbox"), what="a free name")
        with opened(amqp_url) as channel:
            channel.queue_declare(f"{node}.celery.pidbox", exclusive=True)
            proxy.heal()
            await until(lambda: worker.output.count("RESOURCE_LOCKED") >= 2, what="two refusals")
            assert "connected again" not in worker.output
        await client.publish(event := Event("order.placed"))
        await fleet.until_called("on_loop", event=event)
        # The consumer's and the publisher's.
        await until(lambda: proxy.traffic.open <= 2, what="no others")
        assert "connected again" in worker.output
        assert "Cannot connect to" not in worker.output
    finally:
        fleet.close()
        client.close()
