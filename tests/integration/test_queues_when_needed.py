"""Dead letters and quarantine: their queues are made when first needed, and not before."""

import asyncio
import signal
import threading
from typing import Any

import amqp
import pytest

from qt_events import Event, RetryPolicy
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.handling.copies import isolate
from qt_events.rabbitmq.handling.quarantine import SUSPECT_AFTER
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.properties import to_amqp
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.worker import quarantines
from qt_events.testing.broker import PrivateBroker
from qt_events.testing.broker.management import Management
from tests.integration.run_forever.hosting import Handler, buried, publish, running
from tests.integration.run_forever.unstored import Failing, delete
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth
from tests.support.fleet.fleet import Fleet
from tests.support.fleet.remote_control import publish as published
from tests.support.waiting import until, until_told

AT_ONCE = RetryPolicy(max_attempts=1)
SHARED = {"qt.lost", "qt.register"}
#: Seconds for another worker to look at the register, and to serve what it finds there.
FOUND = 3 * quarantines.LOOK


def queues(management: Management, vhost: str) -> set[str]:
    names = {each["name"] for each in management.queues(vhost)}
    # There for a moment.
    return {each for each in names if not each.endswith(".lock")}


def figure(management: Management, vhost: str, name: str) -> int:
    """Return a number of messages in the subscription's queue."""
    rows = {each["name"]: each for each in management.queues(vhost)}
    return int(rows["qt.sub.guard"].get(name, 0))


def consumers(url: str, queue: str) -> int:
    with channel_to(url) as channel:
        return int(channel.queue_declare(queue, passive=True).consumer_count)


def suspect(bus: CeleryEventBus) -> tuple[Event[Any], Envelope]:
    """Return an event, and the message of it that has come back too often."""
    event = Event("happened")
    content = to_amqp(event)
    return event, Envelope(
        subscription="guard",
        key="guard",
        body=content.body,
        properties=dict(content.properties),
        headers={"x-delivery-count": SUSPECT_AFTER},
        routing_key=event.type,
    )


def publish_expiring(url: str, event: Event[Any], milliseconds: int) -> None:
    content = to_amqp(event)
    with channel_to(url) as channel:
        raw = amqp.Message(content.body, expiration=str(milliseconds), **content.properties)
        channel.basic_publish(raw, "qt.events", event.type)


async def test_an_idle_subscription_has_one_queue(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """It is served, it has handled an event, and was never in need of another one."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="guard")
    async with running(bus):
        await publish(bus)
        await until(lambda: handler.done)
        assert queues(management, vhost) == {"qt.sub.guard"} | SHARED
        assert await bus.dead_letters.list("guard") == []
        assert await bus.dead_letters.discard_all("guard") == 0


async def test_the_first_dead_letter_has_its_queue_before_the_event_is_acknowledged(
    make_bus: MakeBus,
    management: Management,
    vhost: str,
    amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the queue is made, its worker holds the event; a broken connection would return it."""
    bus, handler = make_bus(), Failing()
    bus.subscribe("happened", handler, name="guard", retry=AT_ONCE)
    begun, may_end = threading.Event(), threading.Event()
    declare = Topology.declare_dead_letters

    def declare_late(*args: Any) -> None:
        begun.set()
        may_end.wait(30)
        declare(*args)

    monkeypatch.setattr(Topology, "declare_dead_letters", declare_late)
    async with running(bus):
        await publish(make_bus())
        await until(begun.is_set)
        await until_told(lambda: figure(management, vhost, "messages_unacknowledged") == 1)
        assert "qt.dead.guard" not in queues(management, vhost)
        may_end.set()
        await buried(bus, 1)
    assert queues(management, vhost) == {"qt.sub.guard", "qt.dead.guard"} | SHARED
    assert (handler.calls, depth(amqp_url, "qt.sub.guard")) == (1, 0)


async def test_what_one_process_moves_to_quarantine_another_one_finds(
    make_bus: MakeBus, amqp_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has made it serves it at once, if it serves at all. This one does not."""
    monkeypatch.setattr(quarantines, "LOOK", 0.5)
    serving, maker, handler = make_bus(), make_bus(), Handler()
    for bus in (serving, maker):
        bus.subscribe("happened", handler if bus is serving else Failing(), name="guard")
    async with running(serving):
        event, envelope = suspect(maker)
        await isolate(envelope, maker.runtime, 0)
        await until(lambda: event.id in handler.ids)
        await until_told(lambda: consumers(amqp_url, "qt.quarantine.guard") == 1)


async def test_who_moves_an_event_to_quarantine_serves_it_at_once(make_bus: MakeBus) -> None:
    """It does not wait until it looks at the register."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="guard")
    async with running(bus):
        event, envelope = suspect(bus)
        await isolate(envelope, bus.runtime, 0)
        await until(lambda: event.id in handler.ids, quarantines.LOOK / 3)


async def test_two_processes_need_a_quarantine_at_the_same_time(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """Each declares what it needs. Both copies are there, and one of them consumes them."""
    buses, handler = [make_bus(), make_bus()], Handler()
    for bus in buses:
        bus.subscribe("happened", handler, name="guard")
    async with running(*buses):
        moved = [suspect(bus) for bus in buses for _ in range(5)]
        await asyncio.gather(
            *(
                isolate(envelope, buses[number % 2].runtime, 0)
                for number, (_, envelope) in enumerate(moved)
            )
        )
        await until(lambda: {event.id for event, _ in moved} <= set(handler.ids))
        await until_told(lambda: depth(amqp_url, "qt.quarantine.guard") == 0)


@pytest.mark.serves("gated")
async def test_a_quarantine_outlives_the_process_that_made_it(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """Its maker is killed with the event in hand. One that ran beside it before takes it up."""
    workers = {worker.pid: worker for worker in [await fleet.start(), await fleet.start()]}
    event = await published(client, "gated")
    for returns in range(SUSPECT_AFTER + 1):
        begun = await fleet.until_called("gated.begun", returns + 1, event)
        if returns < SUSPECT_AFTER:
            spare = await fleet.start()
            workers[spare.pid] = spare
        killed = workers.pop(begun[-1].process)
        killed.send(signal.SIGKILL)
        await killed.ended()
    # The last one that was killed had made the quarantine.
    await until(lambda: len(fleet.calls("gated.begun", event)) > len(begun), FOUND)
    fleet.open()
    await fleet.until_called("gated", 1, event)
    assert await client.dead_letters.list("gated") == []


async def test_a_quarantine_that_was_deleted_is_made_again(
    make_bus: MakeBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its consumer was cancelled with it, and there is another one."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="guard")
    async with running(bus):
        for _ in range(2):
            event, envelope = suspect(bus)
            await isolate(envelope, bus.runtime, 0)
            await until(lambda: event.id in handler.ids)  # noqa: B023
            caplog.clear()
            delete(amqp_url, "qt.quarantine.guard")
            # RabbitMQ 3.10.8 tells no consumer if the queue is back within milliseconds.
            await until(lambda: "has cancelled its consumer" in caplog.text)


async def test_what_an_older_release_has_left_in_quarantine_is_handled(
    make_bus: MakeBus, management: Management, vhost: str, amqp_url: str
) -> None:
    """It knew no register, and made one with each subscription."""
    bus, handler = make_bus(), Handler()
    guard = bus.subscribe("happened", handler, name="guard")
    event, envelope = suspect(bus)
    with channel_to(amqp_url) as channel:
        bus.topology.declare_subscription(channel, guard, "guard")
        headers = envelope.quarantine_headers()
        raw = amqp.Message(envelope.body, application_headers=headers, **envelope.properties)
        channel.basic_publish(raw, "qt.quarantine", "guard")
    bus.subscribe("other.happened", Handler(), name="new")
    async with running(bus):
        await until(lambda: event.id in handler.ids)
    assert queues(management, vhost) == SHARED | {
        "qt.sub.guard", "qt.dead.guard", "qt.quarantine.guard", "qt.sub.new",
    }  # fmt: skip


async def test_an_expired_event_is_a_dead_letter_once_a_worker_sees_that_some_expire(
    make_bus: MakeBus, management: Management, vhost: str, amqp_url: str
) -> None:
    """Until then the broker keeps it: its queue is held at least once."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="guard")
    await bus.declarations.made()
    late, served = Event("happened"), Event("happened")
    publish_expiring(amqp_url, late, 1)
    await until_told(lambda: figure(management, vhost, "messages_dlx") == 1)
    async with running(bus):
        publish_expiring(amqp_url, served, 60_000)
        (letter,) = await buried(bus, 1)
    assert (letter.event_id, letter.reason) == (late.id, "expired")
    assert handler.ids == [served.id]


@pytest.mark.parametrize("broadcast", [True, False], ids=["broadcast", "classic"])
async def test_what_would_not_wait_has_its_dead_letters_from_the_start(
    make_bus: MakeBus, management: Management, vhost: str, broadcast: bool
) -> None:
    """A classic queue drops what expires, and that of a broadcast ends with its process."""
    bus = make_bus(queue_type="quorum" if broadcast else "classic")
    bus.subscribe("happened", Handler(), name="guard", broadcast=broadcast)
    async with running(bus):
        assert "qt.dead.guard" in queues(management, vhost)
        assert "qt.quarantine.guard" not in queues(management, vhost)


@pytest.mark.parametrize("kind", ["dead_letters", "quarantine"])
async def test_a_broker_killed_between_the_declaration_and_the_copy_loses_nothing(
    harmed: PrivateBroker,
    node_url: str,
    make_bus: MakeBus,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """The event is not acknowledged, and what stands is declared again by the next connection."""
    declare = getattr(Topology, f"declare_{kind}")
    declared, is_back = threading.Event(), threading.Event()

    def declare_and_wait(*args: Any) -> None:
        declare(*args)
        declared.set()
        is_back.wait(60)

    monkeypatch.setattr(Topology, f"declare_{kind}", declare_and_wait)
    bus = make_bus(node_url, publish_timeout=90)
    handler = Failing() if kind == "dead_letters" else Handler()
    bus.subscribe("happened", handler, name="guard", retry=AT_ONCE)
    async with running(bus):
        event, envelope = suspect(bus)
        copying = asyncio.create_task(
            bus.publish(event)
            if isinstance(handler, Failing)
            else isolate(envelope, bus.runtime, 0)
        )
        await until(declared.is_set)
        await asyncio.to_thread(harmed.settle)
        await asyncio.to_thread(harmed.kill)
        await asyncio.to_thread(harmed.restart)
        is_back.set()
        await copying
        if isinstance(handler, Handler):
            await until(lambda: event.id in handler.ids, 90)
        else:
            (letter,) = await buried(bus, 1)
            assert letter.event_id == event.id
            await until_told(lambda: not bus.serving.held and not depth(node_url, "qt.sub.guard"))


async def test_a_quarantine_that_is_consumed_here_outlives_its_removal(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """Somebody deletes everything. Who consumes it declares it again, with its entry."""
    bus, handler = make_bus(), Handler()
    bus.subscribe("happened", handler, name="guard")
    for _ in range(2):
        async with running(bus):
            event, envelope = suspect(bus)
            await isolate(envelope, bus.runtime, 0)
            await until(lambda: event.id in handler.ids)  # noqa: B023
        await make_bus().delete_topology()
        for kind in ("sub", "dead", "quarantine"):
            delete(amqp_url, f"qt.{kind}.guard")
