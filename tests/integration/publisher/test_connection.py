"""Connections without an answer, lost or idle: `publish` goes on, or ends by name in time."""

import asyncio
import select
import socket
from urllib.parse import urlsplit

import amqp
import celery
import pytest

from qt_events.errors import BrokerUnreachableError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.connection.connections import for_errands
from qt_events.testing.broker.management import Management
from qt_events.testing.ports import free_ports
from tests.integration.publisher.numbered_events import KEPT, SHORT, event, keeping, taken, within
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import PATIENCE, until, until_told


async def test_nobody_listening_is_a_named_error_in_time(make_bus: MakeBus) -> None:
    """The text says where, why and what to do, and never the password."""
    (port,) = free_ports(1)
    bus = make_bus(f"amqp://somebody:s3cret@127.0.0.1:{port}//", publish_timeout=SHORT)
    with within(SHORT), pytest.raises(BrokerUnreachableError, match=rf":{port}.*refused") as caught:
        await bus.publish(event())
    assert "s3cret" not in str(caught.value)
    assert bus.publisher.in_flight == 0
    with within(SHORT), pytest.raises(BrokerUnreachableError):
        await asyncio.to_thread(bus.publish_sync, event())


async def test_a_listener_that_never_answers_is_a_named_error_in_time(make_bus: MakeBus) -> None:
    """The connection stands, and nobody speaks AMQP on it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        bus = make_bus(
            f"amqp://somebody:s3cret@127.0.0.1:{server.getsockname()[1]}//", publish_timeout=SHORT
        )
        with within(SHORT), pytest.raises(BrokerUnreachableError) as caught:
            await bus.publish(event())
    assert "s3cret" not in str(caught.value)


async def test_a_refused_login_is_a_named_error(make_bus: MakeBus, amqp_url: str) -> None:
    """The publish waits all the same: a starting broker may refuse at first.

    Its text is in the error.
    """
    parts = urlsplit(amqp_url)
    bus = make_bus(
        f"amqp://guest:s3cret@{parts.hostname}:{parts.port}{parts.path}", publish_timeout=SHORT
    )
    with within(SHORT), pytest.raises(BrokerUnreachableError, match="ACCESS_REFUSED") as caught:
        await bus.publish(event())
    assert "s3cret" not in str(caught.value)


async def test_the_next_host_is_taken_where_the_first_ones_are_away(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """There is no pause between hosts, however many are away."""
    dead = [f"amqp://guest:guest@127.0.0.1:{port}//" for port in free_ports(3)]
    bus = keeping(make_bus(";".join([*dead, amqp_url])))
    with within(1):
        await bus.publish(event(1))
    assert await asyncio.to_thread(taken, amqp_url) == [1]


async def test_a_connection_closed_by_the_broker_fails_no_publish(
    bus: CeleryEventBus, amqp_url: str, management: Management, vhost: str
) -> None:
    """An operator closes it again and again. The order of first deliveries stays."""
    running, sent = True, iter(range(10_000_000))

    async def load() -> None:
        while running:
            await asyncio.gather(*(bus.publish(event(next(sent))) for _ in range(20)))
            await asyncio.sleep(0.05)

    loading = asyncio.create_task(load())
    for _ in range(2):
        session = bus.publisher.state.channels
        await until_told(lambda: management.close_connections(vhost))
        await until(lambda session=session: bus.publisher.state.channels > session)  # type: ignore[misc]
    running = False
    await loading
    there = await asyncio.to_thread(taken, amqp_url)
    first_seen = list(dict.fromkeys(there))
    assert first_seen == list(range(next(sent)))


@pytest.mark.parametrize("gone", ["binding", "queue"])
async def test_what_a_broker_has_lost_stands_again_before_the_next_publish(
    bus: CeleryEventBus, amqp_url: str, management: Management, vhost: str, gone: str
) -> None:
    """RabbitMQ, killed, may come back without a binding that it had confirmed a second before."""
    await bus.publish(event(1))
    with channel_to(amqp_url) as channel:
        if gone == "binding":
            channel.queue_unbind(KEPT, "qt.events", "#")
        else:
            channel.queue_delete(KEPT)
    await until_told(lambda: management.close_connections(vhost))
    await until(lambda: bus.publisher.state.channels > 1)
    await bus.publish(event(2), mandatory=True)
    assert (await asyncio.to_thread(taken, amqp_url))[-1] == 2


async def test_what_cannot_be_declared_again_is_told_and_publishing_goes_on(
    bus: CeleryEventBus,
    amqp_url: str,
    management: Management,
    vhost: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The queue of one subscription was made anew, with other arguments.

    The others are served.
    """
    bus.subscribe("bell.rung", print, name="bell")
    await bus.publish(event(1))
    with channel_to(amqp_url) as channel:
        channel.queue_delete(KEPT)
        channel.queue_declare(KEPT, durable=True, auto_delete=False)
    await until_told(lambda: management.close_connections(vhost))
    await until(lambda: bus.publisher.state.channels > 1)
    await bus.publish(event(2, "bell.rung"), mandatory=True)
    assert await asyncio.to_thread(taken, amqp_url, "qt.sub.bell") == [2]
    assert caplog.text.count("kept could not be declared again") == 1
    assert "exists on the broker with other arguments" in caplog.text


async def test_an_idle_publisher_stays_connected(
    make_bus: MakeBus, amqp_url: str, management: Management, vhost: str
) -> None:
    """The connection stays for more than two heartbeats of the app's own."""
    app = celery.Celery("idle", broker=amqp_url, set_as_current=False)
    app.conf.broker_heartbeat = 1
    bus = keeping(make_bus(app=app))
    await bus.publish(event(1))
    await until_told(lambda: [each.get("timeout") for each in management.connections(vhost)] == [1])
    await asyncio.sleep(3.5)  # being idle is what is tested
    await bus.publish(event(2))
    assert bus.publisher.state.channels == 1
    assert await asyncio.to_thread(taken, amqp_url) == [1, 2]


async def test_nothing_piles_up_while_the_broker_is_away(make_bus: MakeBus) -> None:
    """A publish that ended in an error is not kept for later."""
    (port,) = free_ports(1)
    bus = make_bus(f"amqp://guest:guest@127.0.0.1:{port}//", publish_timeout=0.2)
    for _ in range(3):
        await asyncio.gather(*(bus.publish(event()) for _ in range(50)), return_exceptions=True)
    assert (bus.publisher.in_flight, bus.publisher.in_line) == (0, 0)


def test_a_goodbye_is_said_though_a_closed_channel_gets_something_more(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """RabbitMQ 3.10 tells an event held too long again and again, until the first is answered."""
    connection = for_errands(make_bus().app)
    raw = connection.connect()
    channel = raw.channel()
    with channel_to(amqp_url) as other:
        other.queue_declare("late", auto_delete=False)
        channel.basic_consume("late", no_ack=True)
        # py-amqp forgets a channel that the broker has closed.
        del raw.channels[channel.channel_id]
        other.basic_publish(amqp.Message("late"), routing_key="late")
        assert select.select([raw.sock], [], [], PATIENCE)[0]
    connection.release()
    assert not raw.connected
