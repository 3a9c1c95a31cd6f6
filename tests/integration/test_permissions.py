"""Permissions on a real broker: a component can do its own work and nothing in another's name."""

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import amqp
import pytest
from amqp.exceptions import AccessRefused

from qt_events import CeleryEventBus, Event, Published, PublishRefusedError, TopologyError
from qt_events.rabbitmq.connection.broker_version import BrokerVersion
from qt_events.rabbitmq.messages.properties import to_amqp
from qt_events.rabbitmq.operating.management import ManagementApi
from qt_events.testing.broker import Broker
from tests.integration.guarded import Guarded
from tests.support.channels import channel_to
from tests.support.waiting import until, until_told

# Includes RabbitMQ's start, two commands and some thirty queues.
pytestmark = pytest.mark.timeout(300)

Act = Callable[[amqp.Channel, Callable[[str], str]], object]


@pytest.fixture(scope="module")
def guarded(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Set up users in a vhost that all tests share; each test leaves every queue empty."""
    name = f"qt-test-{uuid.uuid4().hex}"
    url = broker.management.create_vhost(name)
    opened = Guarded(
        url, broker.management_url, f"q{uuid.uuid4().hex[:6]}", tmp_path_factory.mktemp("guarded")
    )
    try:
        opened.let_in()
        yield opened
    finally:
        opened.fleet.close()
        broker.management.delete_vhost(name)


async def test_a_producer_cannot_publish_anothers_type_and_its_other_publishes_go_on(
    guarded: Guarded,
) -> None:
    """A refused publish has a named error, however many others are in flight on the connection."""
    with guarded.bus("ranker") as bus:
        types = ["ranking.updated", "limits.changed", "ranking.updated", "ticket.filled"] * 5
        results = await asyncio.gather(
            *(bus.publish(Event(each)) for each in types), return_exceptions=True
        )
    for event_type, result in zip(types, results, strict=True):
        if event_type == "ranking.updated":
            assert result is Published.CONFIRMED
        else:
            assert isinstance(result, PublishRefusedError)
            assert event_type in str(result)
            assert "ACCESS_REFUSED" in str(result)
    assert guarded.depth("sub.ledger.on_fill") == 0


def published(exchange: str, key: str) -> Act:
    return lambda channel, name: channel.basic_publish(
        amqp.Message("{}"), name(exchange) if exchange else "", name(key)
    )


def keyed(exchange: str, key: str) -> Act:
    return lambda channel, name: channel.basic_publish(amqp.Message("{}"), name(exchange), key)


def bound(queue: str, exchange: str, key: str) -> Act:
    return lambda channel, name: channel.queue_bind(name(queue), name(exchange), key)


FORBIDDEN: dict[str, Act] = {
    "read another's queue": lambda channel, name: channel.basic_get(name("sub.desk.on_order")),
    "consume from another's queue": lambda channel, name: channel.basic_consume(
        name("sub.desk.on_order")
    ),
    "read another's dead letters": lambda channel, name: channel.basic_get(
        name("dead.desk.on_order")
    ),
    "read its own dead letters": lambda channel, name: channel.basic_get(
        name("dead.ranker.on_close")
    ),
    "read another's quarantine": lambda channel, name: channel.basic_get(
        name("quarantine.desk.on_order")
    ),
    "read what is lost": lambda channel, name: channel.basic_get(name("lost")),
    "read what waits in a delay level": lambda channel, name: channel.basic_get(name("retry.100")),
    "purge another's queue": lambda channel, name: channel.queue_purge(name("sub.desk.on_order")),
    "delete another's queue": lambda channel, name: channel.queue_delete(name("sub.desk.on_order")),
    "delete its own queue": lambda channel, name: channel.queue_delete(name("sub.ranker.on_close")),
    "delete an exchange": lambda channel, name: channel.exchange_delete(name("events")),
    "make a queue": lambda channel, name: channel.queue_declare(name("sub.ranker.other")),
    "make an exchange": lambda channel, name: channel.exchange_declare(
        name("sub.ranker.other"), "fanout"
    ),
    "publish another's type": keyed("events", "limits.changed"),
    "put something into another's queue": published("", "sub.desk.on_order"),
    "put something into its own queue": published("", "sub.ranker.on_close"),
    "send something back to another": keyed("redeliver", "desk.on_order"),
    "send something back to itself": keyed("redeliver", "ranker.on_close"),
    "add to another's dead letters": keyed("dead", "desk.on_order"),
    "add to another's quarantine": keyed("quarantine", "desk.on_order"),
    "add to another's retries": keyed("retry.100", "desk.on_order"),
    "add to another's retries of a week": keyed("retry.838860800", "desk.on_order"),
    "add to what is lost": keyed("lost", ""),
    "order workers about": lambda channel, name: channel.basic_publish(
        amqp.Message("{}"), "celery.pidbox", ""
    ),
    "have its queue hear another type": bound("sub.ranker.on_close", "events", "ticket.placed"),
    "have its queue hear everything": bound("sub.ranker.on_close", "events", "#"),
    "have another's queue hear a type": bound("sub.desk.on_order", "events", "bell.rung"),
    "have its queue hear another's retries": bound(
        "sub.ranker.on_close", "redeliver", "desk.on_order"
    ),
    "have its queue hear all retries": bound("sub.ranker.on_close", "redeliver", "#"),
    "have its queue hear dead letters": bound("sub.ranker.on_close", "dead", "ranker.on_close"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_a_component_may_not(guarded: Guarded, what: str) -> None:
    """The broker answers 403, whatever program asks."""
    with guarded.channel("ranker") as channel, pytest.raises(AccessRefused, match="ACCESS_REFUSED"):
        FORBIDDEN[what](channel, guarded.name)


def forged(event_type: str, **headers: Any) -> amqp.Message:
    content = to_amqp(Event(event_type, None, {"forged": True}))
    return amqp.Message(content.body, application_headers=headers, **content.properties)


# Tricks that RabbitMQ permits to a component that may make its own queues. Each one tries to reach
# another component's handler.


def by_more_keys(channel: amqp.Channel, name: Callable[[str], str]) -> None:
    """Add routing keys with a CC header, which the broker does not check."""
    channel.basic_publish(forged("bell.rung", CC=["bell.rung"]), name("events"), "ticket.filled")


def by_more_keys_of_a_level(channel: amqp.Channel, name: Callable[[str], str]) -> None:
    headers = {"CC": ["ranker.on_close"], "qt-type": "bell.rung"}
    channel.basic_publish(forged("bell.rung", **headers), name("retry.100"), "desk.on_order")


def by_more_keys_of_the_dead(channel: amqp.Channel, name: Callable[[str], str]) -> None:
    headers = {"CC": ["ranker.on_close"], "qt-type": "bell.rung", "qt-reason": "exhausted"}
    channel.basic_publish(forged("bell.rung", **headers), name("dead"), "desk.on_order")


def by_dead_lettering(exchange: str, key: str) -> Act:
    def act(channel: amqp.Channel, name: Callable[[str], str]) -> None:
        queue = name(f"sub.desk.on_limits.{uuid.uuid4().hex[:12]}")
        arguments = {
            "x-message-ttl": 0,
            "x-dead-letter-exchange": name(exchange),
            "x-dead-letter-routing-key": key,
        }
        channel.queue_declare(
            queue, durable=True, auto_delete=False, arguments={**arguments, "x-expires": 60_000}
        )
        own = queue.removeprefix(name("sub."))
        channel.queue_bind(queue, name("redeliver"), own)
        message = forged("bell.rung", **{"qt-type": "bell.rung"})
        channel.basic_publish(message, name("retry.100"), own)

    return act


def by_alternate_exchange(channel: amqp.Channel, name: Callable[[str], str]) -> None:
    own = name(f"sub.desk.on_limits.{uuid.uuid4().hex[:12]}")
    arguments = {"alternate-exchange": name("events")}
    channel.exchange_declare(own, "topic", durable=True, auto_delete=False, arguments=arguments)
    channel.basic_publish(forged("bell.rung"), own, "bell.rung")


def by_bound_exchange(channel: amqp.Channel, name: Callable[[str], str]) -> None:
    own = name(f"sub.desk.on_limits.{uuid.uuid4().hex[:12]}")
    channel.exchange_declare(own, "topic", durable=True, auto_delete=False)
    channel.exchange_bind(name("retry.100"), own, "#")
    channel.basic_publish(forged("bell.rung", **{"qt-type": "bell.rung"}), own, "ranker.on_close")


# RabbitMQ 4.0 asks for the keys of CC, too.
CC_CHECKED = (4, 0)
BY_CC: dict[Act, str] = {
    by_more_keys: "mistyped",
    by_more_keys_of_a_level: "undecodable",
    by_more_keys_of_the_dead: "forged",
}
TRICKS: list[Act] = [
    by_dead_lettering("events", "bell.rung"),
    by_dead_lettering("retry.200", "ranker.on_close"),
    by_dead_lettering("quarantine", "ranker.on_close"),
    by_alternate_exchange,
    by_bound_exchange,
]


async def test_what_the_broker_lets_through_is_recognized_at_the_end(guarded: Guarded) -> None:
    """Forged messages that get past the permissions become dead letters and reach no handler.

    Those with a CC header get no further than RabbitMQ 4.0.
    """
    heard: list[Event[Any]] = []

    async def hear(event: Event[Any]) -> None:
        heard.append(event)

    expected = dict.fromkeys(TRICKS, "undecodable")
    with guarded.channel("desk") as channel:
        is_checked = BrokerVersion.of(channel.connection) >= CC_CHECKED
        expected |= {} if is_checked else BY_CC
        for trick in expected:
            trick(channel, guarded.name)
    for trick in BY_CC if is_checked else ():
        with guarded.channel("desk") as channel, pytest.raises(AccessRefused):
            trick(channel, guarded.name)
    with guarded.bus("ranker") as bus:
        bus.subscribe("bell.rung", hear, name="ranker.on_close")
        async with bus:
            dead = lambda: guarded.depth("dead.ranker.on_close") == len(expected)  # noqa: E731
            await until_told(dead, what="a dead letter of each")
    reasons = sorted(letter.reason for letter in await guarded.dead_letters("ranker.on_close"))
    guarded.purge(
        "dead.ranker.on_close", "dead.desk.on_order", "sub.desk.on_order", "sub.ledger.on_fill"
    )
    assert reasons == sorted(expected.values())
    assert heard == []


async def test_a_worker_with_its_own_rights_serves_retries_buries_and_quarantines(
    guarded: Guarded,
) -> None:
    """A worker needs no more than the rights of its component.

    Of other components' queues it only sees that they exist. Remote control and events work.
    """
    with guarded.bus("ranker") as producer:
        suspect = Event("ticket.placed", None, {"order": "suspect"})
        await producer.publish(suspect)
        await asyncio.to_thread(guarded.return_thrice, "desk.on_order")
        desk = await guarded.work("desk", "-E")
        ledger = await guarded.work("ledger", "-E")
        plain, later, bad = (
            Event("ticket.placed", None, {"order": each}) for each in ("plain", "later", "bad")
        )
        for event in (plain, later, bad):
            await producer.publish(event)
    fleet = guarded.fleet
    await fleet.until_called("desk.on_order", 1, plain)
    await fleet.until_called("desk.on_order", 2, later)
    await fleet.until_called("desk.on_order", 1, bad)
    await fleet.until_called("desk.on_order", 1, suspect)
    await fleet.until_called("ledger.on_fill", 3)
    await until(lambda: f"{suspect.id} came back" in desk.output, what="it was in quarantine")
    await until_told(lambda: guarded.depth("dead.desk.on_order") == 1)
    (letter,) = await guarded.dead_letters("desk.on_order")
    assert (letter.event_id, letter.reason) == (bad.id, "rejected")
    admin = CeleryEventBus(guarded.url, prefix=guarded.prefix)
    await admin.publish(Event("limits.changed"))
    await fleet.until_called("desk.on_limits")
    control = admin.app.control
    answers = await until_told(
        lambda: len(found := control.ping(timeout=1)) == 2 and found, what="two answers"
    )
    assert {name.partition("@")[0] for answer in answers for name in answer} == {
        name.partition("@")[0] for name in fleet.ready
    }
    admin.close()
    assert "REFUSED" not in desk.output + ledger.output
    with channel_to(guarded.url) as channel:
        takes_turns = BrokerVersion.of(channel.connection).answers_duplicates_early
    # It may not lock, and lets others finish instead.
    for worker in (desk, ledger):
        assert ("so 1 s go by after a queue was bound" in worker.output) is takes_turns
    guarded.purge("dead.desk.on_order")


async def test_a_missing_exchange_is_a_named_error_for_who_may_not_declare_it(
    guarded: Guarded, broker: Broker
) -> None:
    """The error names the command that helps, for a producer and for a subscriber."""
    name = f"qt-test-{uuid.uuid4().hex}"
    url = broker.management.create_vhost(name)
    try:
        user = f"{guarded.prefix}-ranker"
        ManagementApi(broker.management_url, name).permit(user, "^$", ".*", ".*")
        bus = CeleryEventBus(
            guarded.url_of("ranker").rpartition("/")[0] + "/" + url.rpartition("/")[2],
            prefix="other",
        )
        with pytest.raises(
            TopologyError, match=r"'other\.events' is missing.*qt-events topology declare"
        ):
            await bus.publish(Event("ranking.updated"))
        bus.subscribe("bell.rung", print, name="ranker.on_close")
        with pytest.raises(TopologyError, match=r"is missing.*qt-events topology declare"):
            await bus.run_forever()
        bus.close()
    finally:
        broker.management.delete_vhost(name)


async def test_a_pattern_that_was_not_permitted_is_a_named_error(guarded: Guarded) -> None:
    """An error is raised instead of a subscription that never hears the pattern."""
    with guarded.bus("ranker") as bus:
        bus.subscribe("market.*", print, name="ranker.on_close")
        with pytest.raises(
            TopologyError, match=r"may not bind.*market\.\*.*qt-events topology permissions --apply"
        ):
            await bus.publish(Event("ranking.updated"))


async def test_a_missing_right_to_bind_is_an_error_until_it_is_permitted(
    guarded: Guarded,
) -> None:
    """A missing permission is an error, because the subscription would silently hear nothing.

    Once permitted, the same bus serves without a restart.
    """
    with guarded.bus("ranker") as bus:
        bus.subscribe("bell.rung", print, name="ranker.on_close")
        refused = pytest.raises(
            TopologyError, match=r"may not bind.*ranker\.on_close.*permissions --apply"
        )
        with guarded.without("ranker", "write", "sub.ranker.on_close"), refused:
            await asyncio.wait_for(bus.run_forever(), 60)
        async with bus:
            await bus.publish(Event("ranking.updated"))


async def test_a_missing_right_to_read_is_an_error(guarded: Guarded) -> None:
    """The bus raises instead of reconnecting for ever: the broker refuses only the consumer."""
    with guarded.bus("ranker") as bus, guarded.without("ranker", "read", "sub.ranker.on_close"):
        bus.subscribe("bell.rung", print, name="ranker.on_close")
        with pytest.raises(
            TopologyError, match=r"no right to read.*ranker\.on_close.*topology permissions"
        ):
            await asyncio.wait_for(bus.run_forever(), 60)


async def test_what_was_refused_is_asked_for_again_over_a_new_connection(
    guarded: Guarded, broker: Broker
) -> None:
    """A process goes on once an administrator permits it and its connection is new.

    Over the same connection nothing is asked for twice.
    """
    user, name = f"{guarded.prefix}-ranker", f"qt-test-{uuid.uuid4().hex}"
    url = broker.management.create_vhost(name)
    api = ManagementApi(broker.management_url, name)
    api.permit(user, "^$", ".*", ".*")
    bus = CeleryEventBus(
        guarded.url_of("ranker").rpartition("/")[0] + "/" + url.rpartition("/")[2], prefix="other"
    )
    try:
        for _ in range(2):
            with pytest.raises(TopologyError, match="is missing"):
                await bus.publish(Event("ranking.updated"))
        api.permit(user, ".*", ".*", ".*")
        with pytest.raises(TopologyError, match="is missing"):
            await bus.publish(Event("ranking.updated"))
        await until_told(
            lambda: broker.management.close_connections(name), what="the publisher's connection"
        )
        await until(lambda: bus.publisher.state.channels > 1, what="another connection")
        await bus.publish(Event("ranking.updated"))
    finally:
        bus.close()
        broker.management.delete_vhost(name)
