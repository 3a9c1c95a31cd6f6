"""Topology on a real broker: the broker holds what docs/wire.md says, and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from qt_events import Event, RetryPolicy
from qt_events.errors import TopologyError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.testing.broker.management import Management
from tests.support.buses import MakeBus
from tests.support.channels import channel_to
from tests.support.lasting import lasting

RETRY = RetryPolicy(max_attempts=3, initial=0.1, factor=2, jitter=0)
QUORUM: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000}
CLASSIC: dict[str, Any] = {"x-queue-type": "classic"}
SAFE: dict[str, Any] = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}
NOTHING: dict[str, Any] = {}
TYPES = {"quorum": (QUORUM, SAFE), "classic": (CLASSIC, NOTHING)}


def event(type: str = "policy.updated_too") -> Event[Any]:
    return Event(type, None, {"number": 1})


async def failing(event: Event[Any]) -> None:
    message = "always"
    raise LookupError(message)


async def hearing(event: Event[Any]) -> None:
    pass


async def used(bus: CeleryEventBus) -> None:
    """Use every kind of subscription, with a retry through two delay levels and a dead letter."""
    bus.subscribe("policy.*", failing, name="guard", retry=RETRY)
    bus.subscribe("trade.#", failing, name="guard")
    bus.subscribe("#", hearing, name="state", broadcast=True)
    async with bus:
        await bus.publish(event())
        await bus.join(30)
        assert [record.attempts for record in await bus.dead_letters.list("guard")] == [3]
        await lasting(bus)


def exchanges(management: Management, vhost: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return type and arguments of all but the built-in exchanges; assert that they are durable."""
    ours = [
        each
        for each in management.exchanges(vhost)
        if not each["name"].startswith("amq.") and each["name"]
    ]
    assert all(
        (each["durable"], each["auto_delete"], each["internal"]) == (True, False, False)
        for each in ours
    )
    return {each["name"]: (each["type"], each["arguments"]) for each in ours}


def queues(management: Management, vhost: str) -> dict[str, dict[str, Any]]:
    """Return the arguments of all queues; assert that they are durable."""
    found = management.queues(vhost)
    assert all(
        (each["durable"], each["auto_delete"], each["exclusive"]) == (True, False, False)
        for each in found
    )
    assert all(each["type"] == each["arguments"]["x-queue-type"] for each in found)
    return {each["name"]: each["arguments"] for each in found}


def bindings(management: Management, vhost: str) -> set[tuple[str, str, str]]:
    """Return (exchange, key, queue) of all bindings but the default exchange's own."""
    found = [each for each in management.bindings(vhost) if each["source"]]
    assert all((each["destination_type"], each["arguments"]) == ("queue", {}) for each in found)
    return {(each["source"], each["routing_key"], each["destination"]) for each in found}


def dead_lettering(exchange: str, subscription: str) -> dict[str, Any]:
    return {"x-dead-letter-exchange": exchange, "x-dead-letter-routing-key": subscription}


@pytest.mark.parametrize("prefix", ["qt", "quant.test-1"])
@pytest.mark.parametrize("queue_type", ["quorum", "classic"])
async def test_the_broker_holds_what_is_written_and_nothing_else(
    make_bus: MakeBus, management: Management, vhost: str, queue_type: str, prefix: str
) -> None:
    """A worker that has served, retried and buried events leaves nothing of Celery's own."""
    bus = make_bus(queue_type=queue_type, prefix=prefix)
    await used(bus)
    queue, safe = TYPES[queue_type]
    (state,) = (each for each in bus.subscriptions if each.broadcast)
    key = bus.declarations.key(state)
    assert key.startswith("state.")

    assert exchanges(management, vhost) == {
        f"{prefix}.events": ("topic", {}),
        f"{prefix}.redeliver": ("topic", {"alternate-exchange": f"{prefix}.lost"}),
        f"{prefix}.dead": ("topic", {}),
        f"{prefix}.quarantine": ("topic", {}),
        f"{prefix}.lost": ("fanout", {}),
        f"{prefix}.retry.100": ("topic", {}),
        f"{prefix}.retry.200": ("topic", {}),
    }
    level = {"x-dead-letter-exchange": f"{prefix}.redeliver", **queue, **safe}
    expires = {"x-expires": 30 * 60 * 1000}
    alone = {
        **queue,
        **safe,
        **dead_lettering(f"{prefix}.dead", "guard"),
        "x-single-active-consumer": True,
    }
    quarantine = {f"{prefix}.quarantine.guard": alone} if queue_type == "quorum" else {}
    assert queues(management, vhost) == {
        f"{prefix}.sub.guard": {**queue, **safe, **dead_lettering(f"{prefix}.dead", "guard")},
        **quarantine,
        f"{prefix}.dead.guard": queue,
        f"{prefix}.sub.{key}": {
            **queue,
            **safe,
            **dead_lettering(f"{prefix}.dead", "state"),
            **expires,
        },
        f"{prefix}.dead.state": queue,
        f"{prefix}.lost": queue,
        f"{prefix}.register": queue,
        f"{prefix}.retry.100": {**level, "x-message-ttl": 100},
        f"{prefix}.retry.200": {**level, "x-message-ttl": 200},
    }
    quarantined = {(f"{prefix}.quarantine", "guard", queue) for queue in quarantine}
    assert bindings(management, vhost) == quarantined | {
        (f"{prefix}.dead", "guard", f"{prefix}.dead.guard"),
        (f"{prefix}.dead", "state", f"{prefix}.dead.state"),
        (f"{prefix}.events", "policy.*", f"{prefix}.sub.guard"),
        (f"{prefix}.events", "trade.#", f"{prefix}.sub.guard"),
        (f"{prefix}.events", "#", f"{prefix}.sub.{key}"),
        (f"{prefix}.redeliver", "guard", f"{prefix}.sub.guard"),
        (f"{prefix}.redeliver", key, f"{prefix}.sub.{key}"),
        (f"{prefix}.lost", "", f"{prefix}.lost"),
        (f"{prefix}.retry.100", "#", f"{prefix}.retry.100"),
        (f"{prefix}.retry.200", "#", f"{prefix}.retry.200"),
    }


async def test_deleting_the_topology_leaves_nothing(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """Exchanges and queues go, those of another prefix stay, and the bus can be used again."""
    other = make_bus(prefix="other")
    other.subscribe("#", hearing, name="kept")
    await other.publish(event())
    before = (exchanges(management, vhost), queues(management, vhost), bindings(management, vhost))
    bus = make_bus()
    await used(bus)
    everything = (
        exchanges(management, vhost),
        queues(management, vhost),
        bindings(management, vhost),
    )
    await bus.delete_topology()
    assert (
        exchanges(management, vhost),
        queues(management, vhost),
        bindings(management, vhost),
    ) == before
    async with bus:
        await bus.publish(event())
        await bus.join(30)
        await lasting(bus)
    assert (
        exchanges(management, vhost),
        queues(management, vhost),
        bindings(management, vhost),
    ) == everything


async def test_a_publisher_alone_makes_one_exchange(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """A publisher knows no subscriptions, so it declares no queues."""
    await make_bus().publish(event())
    assert exchanges(management, vhost) == {"qt.events": ("topic", {})}
    assert queues(management, vhost) == {}


async def published(bus: CeleryEventBus) -> None:
    await bus.publish(event())


async def served(bus: CeleryEventBus) -> None:
    await bus.run_forever()


@pytest.mark.parametrize("act", [published, served])
async def test_a_queue_that_stands_with_other_arguments_is_a_named_error(
    make_bus: MakeBus, amqp_url: str, act: Callable[[CeleryEventBus], Awaitable[None]]
) -> None:
    """The error names the subscription, the queue and the difference, every time and at once."""
    with channel_to(amqp_url) as channel:
        channel.queue_declare("qt.sub.guard", durable=True, auto_delete=False)
    bus = make_bus()
    bus.subscribe("policy.*", hearing, name="guard")
    for _ in range(2):
        with pytest.raises(TopologyError, match=r"'guard'.*qt\.sub\.guard") as caught:
            async with asyncio.timeout(15):
                await act(bus)
        assert "x-" in str(caught.value) or "type" in str(caught.value)
    # The connection stayed open.
    assert bus.publisher.state.channels <= 1
    assert bus.publisher.in_flight == 0


async def test_what_could_not_be_declared_is_declared_when_the_way_is_free(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """A publish never bypasses a subscription that failed, so nothing is lost until the repair."""
    with channel_to(amqp_url) as channel:
        channel.queue_declare("qt.sub.guard", durable=True, auto_delete=False)
        bus = make_bus()
        bus.subscribe("policy.*", hearing, name="guard")
        bus.subscribe("policy.*", failing, name="beside")
        results = await asyncio.gather(
            *(bus.publish(event()) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(result, TopologyError) for result in results)
        channel.queue_delete("qt.sub.guard")
        await bus.publish(event())
        assert channel.queue_declare("qt.sub.guard", passive=True).message_count == 1


async def test_an_exchange_of_another_type_is_a_named_error(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """Messages published into such an exchange would be lost."""
    with channel_to(amqp_url) as channel:
        channel.exchange_declare("qt.events", "fanout", durable=True, auto_delete=False)
    bus = make_bus()
    for _ in range(2):
        with pytest.raises(TopologyError, match=r"'qt\.events'.*type.*fanout"):
            await bus.publish(event())
    assert bus.publisher.state.channels == 1
