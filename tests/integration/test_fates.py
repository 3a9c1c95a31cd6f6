"""Fates over RabbitMQ: who listens is noticed, and telling never holds up an event."""

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import amqp
import pytest

from qt_events import CeleryEventBus, Event, Fate, FateOutcome, RawEvent, RetryPolicy
from qt_events.delivery.telling.fates import columns_of
from qt_events.events.cloudevents import CONTENT_TYPE
from qt_events.rabbitmq.connection.connections import for_errands, visiting
from qt_events.rabbitmq.fates import FateChannel
from qt_events.rabbitmq.operating.management import ManagementApi
from qt_events.testing.broker import Broker
from qt_events.testing.broker.management import Management
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.waiting import until, until_told

NOW = datetime.now(UTC)
SOON = 0.2  # seconds between two looks of a bus


class Heard(list[Fate]):
    """Fates that a listener got."""

    async def __call__(self, fates: list[Fate]) -> None:
        self += fates

    def by(self, subscription: str) -> Callable[[], list[str]]:
        """Return what tells the outcomes of a subscription so far, by their times."""
        return lambda: [
            fate.outcome
            for fate in sorted(self, key=lambda fate: fate.at)
            if fate.subscription == subscription
        ]

    def of(self, event: Event) -> list[str]:
        return [fate.outcome for fate in self if fate.event_id == event.id]


async def handle(_: Event) -> None:
    """Do nothing."""


def serving(bus: CeleryEventBus) -> CeleryEventBus:
    """Serve one subscription, and look often whether anybody listens."""
    bus.subscribe("order.placed", handle, name="desk.book")
    bus.runtime.fates.interval = SOON
    return bus


def makes_fates(bus: CeleryEventBus) -> bool:
    """Tell whether a fate would be made of an attempt."""
    return bool(bus.middleware.concluded)


async def published(bus: CeleryEventBus) -> Event:
    """Publish an event, and return it once it is handled."""
    event: Event = Event("order.placed")
    await bus.publish(event)
    await bus.join()
    return event


async def test_a_listener_that_comes_later_is_noticed(make_bus: MakeBus) -> None:
    """No fate is made before. Once it is gone with its queue, none is made any more."""
    bus, listening, heard = serving(make_bus()), make_bus(), Heard()
    async with bus:
        await until(lambda: not makes_fates(bus))
        before = await published(bus)
        listening.listen_to_fates(heard, name="history")
        async with listening:
            await until(lambda: makes_fates(bus))
            event = await published(bus)
            await until(lambda: heard.of(event) == ["done"])
        assert heard.of(before) == []
        with channel_to(str(listening.app.conf.broker_url)) as channel:
            channel.queue_delete(listening.topology.queue("history"))
        await published(bus)
        await until(lambda: not makes_fates(bus))


async def test_all_that_ended_is_told_when_the_worker_stops(make_bus: MakeBus) -> None:
    """Also what was gathered last."""
    bus, heard = serving(make_bus()), Heard()
    bus.listen_to_fates(heard, name="history")
    async with bus:
        await until(lambda: makes_fates(bus))
        event = await published(bus)
    async with bus:
        await until(lambda: heard.of(event) == ["done"])


TOLD = [("desk", columns_of([Fate("1", "/here", "order.placed", 1, NOW, FateOutcome.DONE)]))] * 20


async def test_fates_that_the_broker_cannot_store_are_said_to_be_lost(
    make_bus: MakeBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A queue that is full and rejects; it is said once for a connection."""
    bus = make_bus()
    bus.listen_to_fates(Heard(), name="history")
    await bus.declarations.made()
    with channel_to(amqp_url) as channel:
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare("full", durable=True, auto_delete=False, arguments=full)
        channel.queue_bind("full", bus.topology.fates, "#")
    with visiting(for_errands(bus.app)) as connection:
        telling = FateChannel(connection, bus.topology.fates)
        assert telling.tell(TOLD)
        telling.close()
    assert [each for each in caplog.messages if "fates are lost" in each] == [
        "fates are lost: the broker could not store them in every queue"
    ]


async def test_what_was_told_is_confirmed_before_the_connection_ends(
    make_bus: MakeBus,
) -> None:
    """RabbitMQ may lose what is not, even if the connection ends in an orderly way."""
    bus = make_bus()
    bus.listen_to_fates(Heard(), name="history")
    await bus.declarations.made()
    confirmed = set[int]()
    with visiting(for_errands(bus.app)) as connection:
        channel = FateChannel(connection, bus.topology.fates)
        raw = connection.channels[max(connection.channels)]

        def note(tag: int, multiple: bool) -> None:
            confirmed.update(range(1, tag + 1) if multiple else [tag])

        raw.events["basic_ack"].add(note)
        assert channel.tell(TOLD)
        channel.close()
        assert len(confirmed) == len(TOLD)


async def test_a_replay_needs_nobody_to_serve_the_subscription_here(make_bus: MakeBus) -> None:
    """Another process serves it, and it alone gets the event."""
    bus, other, got = make_bus(), make_bus(), list[Event]()
    bus.subscribe("order.placed", got.append, name="desk.book")
    async with bus:
        event: Event = Event("order.placed")
        await other.redeliver(event, "desk.book", replay_id="monday")
        await until(lambda: got == [event])
    assert (got[0].replayed, got[0].replay_id) == (True, "monday")


CLOUD_EVENT = b'{"specversion": "1.0", "id": "1", "source": "/far", "type": "order.placed", %s}'


@pytest.mark.parametrize(("body", "properties"), [
    (CLOUD_EVENT % b'"data": {}', {"content_type": CONTENT_TYPE}),
    # Read by a raw subscription alone.
    (CLOUD_EVENT % b'"traceparent": 1', {"content_type": CONTENT_TYPE}),
    (b'{"size": 1}', {}),
])  # fmt: skip
async def test_all_that_becomes_of_a_foreign_event_is_told_of_one_event(
    make_bus: MakeBus, amqp_url: str, body: bytes, properties: dict[str, str]
) -> None:
    """Its message may have no id and no app_id; a recorder knows it by what its body says."""
    bus, heard, recorded = make_bus(), Heard(), list[RawEvent]()

    async def fail(_: Event) -> None:
        raise ValueError

    bus.subscribe("order.placed", fail, name="desk.book", retry=RetryPolicy(max_attempts=1))
    bus.subscribe("order.placed", recorded.append, name="recorder", raw=True)
    bus.listen_to_fates(heard, name="history")
    async with bus:
        await until(lambda: makes_fates(bus))
        with channel_to(amqp_url) as channel:
            channel.basic_publish(amqp.Message(body, **properties), "qt.events", "order.placed")
        desk = heard.by("desk.book")
        await until(lambda: desk() == ["dead"])
        assert await bus.dead_letters.retry_all("desk.book") == 1
        await until(lambda: desk() == ["dead", "sent_back", "dead"])
        assert await bus.dead_letters.discard_all("desk.book") == 1
        await until(lambda: desk()[3:] == ["discarded"])
    told = {(each.event_id, each.event_source) for each in heard}
    assert told == {(each.id, each.source) for each in recorded}


@pytest.fixture
def unprivileged(broker: Broker, amqp_url: str) -> str:
    """Return the URL of a user who may do everything but write to qt.fates."""
    api = ManagementApi(broker.management_url, amqp_url.rpartition("/")[2])
    user = f"qt-test-{uuid.uuid4().hex}"
    api.create_user(user, "secret")
    api.permit(user, ".*", r"^(?!qt\.fates$).*", ".*")
    parts = urlsplit(amqp_url)
    return parts._replace(netloc=f"{user}:secret@{parts.hostname}:{parts.port}").geturl()


async def test_a_worker_without_the_right_says_so_once_and_works_on(
    make_bus: MakeBus, unprivileged: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The refusal closes no channel of a publish, and there is no fate."""
    caplog.set_level(logging.INFO, "qt_events")
    listening, heard = make_bus(), Heard()
    listening.listen_to_fates(heard, name="history")
    bus = serving(make_bus(unprivileged))
    async with listening, bus:
        await until(lambda: not makes_fates(bus))
        looked = bus.runtime.fates.looked
        event = await published(bus)
        await until(lambda: bus.runtime.fates.looked > looked + 2)
        assert bus.publisher.state.channels == 1
        assert heard.of(event) == []
    said = [each for each in caplog.messages if "fates are not told" in each]
    assert len(said) == 1
    assert "ACCESS_REFUSED" in said[0]


async def test_a_lost_connection_loses_no_fates(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """What could not be told is told over the next connection."""
    bus, heard = serving(make_bus()), Heard()
    bus.listen_to_fates(heard, name="history")
    async with bus:
        event = await published(bus)
        await until(lambda: heard.of(event) == ["done"])
        # That of the worker, of its publisher, and of its fates.
        await until_told(lambda: len(management.connections(vhost)) >= 3)
        await asyncio.to_thread(management.close_connections, vhost)
        event = await published(bus)
        await until(lambda: "done" in heard.of(event))
