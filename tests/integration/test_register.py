"""The register on a real broker: whose a subscription is, and how its queue is bound."""

import asyncio
import json
import logging
from typing import Any
from urllib.parse import urlsplit

import amqp
import pytest

from qt_events import Event, SubscriptionTakenError
from qt_events.rabbitmq.bus import CeleryEventBus
from qt_events.rabbitmq.operating.management import ManagementApi
from qt_events.rabbitmq.topology import register_queue
from qt_events.rabbitmq.topology.register import Register
from qt_events.testing.broker import Broker, PrivateBroker
from qt_events.testing.broker.management import Management
from tests.integration.run_forever.hosting import Handler, running
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth
from tests.support.fleet.fleet import Fleet
from tests.support.waiting import until, until_told

SERVICE = ("-m", "celery", "-A", "service", "worker")
REGISTER = "qt.register"


async def hear(event: Event[Any]) -> None:
    pass


async def hear_too(event: Event[Any]) -> None:
    pass


def register(url: str) -> Register:
    """Read it, as it stands on the broker, and put it back."""
    with channel_to(url) as channel:
        raw = channel.basic_get(REGISTER)
        channel.basic_reject(raw.delivery_tag, requeue=True)
        return Register.decode(raw.body.encode() if isinstance(raw.body, str) else raw.body)


def bindings(management: Management, vhost: str, name: str) -> set[str]:
    """Return the patterns that a subscription's queue is bound by."""
    return {
        each["routing_key"]
        for each in management.bindings(vhost)
        if (each["source"], each["destination"]) == ("qt.events", f"qt.sub.{name}")
    }


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return those of the library: py-amqp warns of answers that come to a channel as it closes."""
    return [
        each
        for each in caplog.records
        if each.name == "qt_events" and each.levelno == logging.WARNING
    ]


async def declared(make_bus: MakeBus, *patterns: str, name: str = "desk") -> CeleryEventBus:
    """Make a release: a bus with these patterns of one subscription, declared."""
    bus = make_bus(service="desk")
    for pattern in patterns:
        bus.subscribe(pattern, hear, name=name)
    await bus.declarations.made()
    return bus


def has_unbound(bus: CeleryEventBus, event_type: str, name: str = "desk") -> bool:
    subscription = bus.subscriptions.get(name)
    assert subscription is not None
    assert not bus.runtime.subscriptions.hears(subscription, event_type)
    return bus.declarations.has_unbound(subscription, event_type)


# Old bindings


async def test_what_a_newer_release_has_bound_is_not_unwanted(
    make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """Whichever starts first: the older one cannot say that nobody wants the new pattern."""
    old = await declared(make_bus, "order.*")
    assert warnings_in(caplog) == []
    await declared(make_bus, "order.*", "trade.#")
    assert not has_unbound(old, "trade.done")
    later = await declared(make_bus, "order.*")
    assert not has_unbound(later, "trade.done")
    (warning,) = warnings_in(caplog)
    assert "desk: its queue is also bound by 'trade.#'" in warning.getMessage()
    assert "qt-events topology unbind desk 'trade.#'" in warning.getMessage()


async def test_a_worker_says_at_its_start_what_it_does_not_have(fleet: Fleet) -> None:
    """Of the older release, beside one of the newer; the newer one has nothing to say."""
    newer = await fleet.start(program=SERVICE, SERVICE="shop", PATTERNS="order.made trade.#")
    older = await fleet.start(program=SERVICE, SERVICE="shop")
    name = "shop.service.order_handler.on_order"
    assert f"{name}: its queue is also bound by 'trade.#'" in older.output
    assert "also bound" not in newer.output


async def test_what_a_release_drops_by_unsubscribing_is_unbound_for_all(
    make_bus: MakeBus, management: Management, vhost: str, amqp_url: str
) -> None:
    """The binding goes; another process hears of it, and one that starts later knows at once."""
    old = await declared(make_bus, "order.*", "trade.#")
    new = make_bus(service="desk")
    new.subscribe("order.*", hear, name="desk")
    new.subscribe("trade.#", hear, name="desk")
    new.unsubscribe("trade.#", hear)
    assert bindings(management, vhost, "desk") == {"order.*", "trade.#"}
    await new.declarations.made()
    assert bindings(management, vhost, "desk") == {"order.*"}
    assert has_unbound(new, "trade.done")
    assert not has_unbound(new, "bell.rung")
    assert register(amqp_url).of("desk").unbound == ["trade.#"]
    older = old.subscriptions.get("desk")
    assert older is not None
    await until(lambda: old.declarations.has_unbound(older, "trade.done"))
    later = await declared(make_bus, "order.*")
    assert has_unbound(later, "trade.done")


async def test_unsubscribing_while_it_runs_unbinds_at_once(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """No publish is needed for it; the last pattern leaves the queue as it is bound."""
    bus = make_bus()
    bus.subscribe("order.*", hear, name="desk")
    bus.subscribe("trade.#", hear, name="desk")
    async with running(bus):
        bus.unsubscribe("trade.#", hear)
        await until_told(lambda: bindings(management, vhost, "desk") == {"order.*"})
        bus.unsubscribe("order.*", hear)
    assert bindings(management, vhost, "desk") == {"order.*"}


async def test_what_is_subscribed_again_is_bound_and_nobody_takes_it_for_old(
    make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """Whoever has read that it is unbound has forgotten it before the first new event can come."""
    first = await declared(make_bus, "order.*", "trade.#")
    first.unsubscribe("trade.#", hear)
    await first.declarations.made()
    assert has_unbound(first, "trade.done")
    again = make_bus(service="desk")
    again.subscribe("order.*", hear, name="desk")
    again.subscribe("trade.#", hear, name="desk")
    declaring = asyncio.create_task(again.declarations.made())
    answers = []
    while "trade.#" not in bindings(management, vhost, "desk"):
        answers.append(has_unbound(first, "trade.done"))
        await asyncio.sleep(0.01)
    assert not has_unbound(first, "trade.done")
    await declaring
    assert not has_unbound(first, "trade.done")
    assert True in answers


async def test_a_broadcast_knows_what_its_own_process_has_unbound(make_bus: MakeBus) -> None:
    """Its queue is its process's, so nobody else has bound it, and nothing is warned of."""
    bus = make_bus()
    for pattern in ("order.*", "trade.#"):
        bus.subscribe(pattern, hear, name="state", broadcast=True)
    await bus.declarations.made()
    bus.unsubscribe("trade.#", hear)
    await bus.declarations.made()
    assert has_unbound(bus, "trade.done", "state")
    other = make_bus()
    other.subscribe("order.*", hear, name="state", broadcast=True)
    await other.declarations.made()
    assert not has_unbound(other, "trade.done", "state")


# Owners


async def test_two_services_with_one_class_and_method_both_get_all_events(
    fleet: Fleet, client: CeleryEventBus
) -> None:
    """The same module, class and method: default names have the service in them."""
    for service in ("shop", "bank"):
        await fleet.start(program=SERVICE, SERVICE=service)
    events = [Event("order.made", None, {"n": n}) for n in range(20)]
    for event in events:
        await client.publish(event)
    for service in ("shop", "bank"):
        await fleet.until_called(service, len(events))
        heard = sorted(call.event_id for call in fleet.calls(service))
        assert heard == sorted(event.id for event in events)


async def test_a_second_service_with_the_same_name_does_not_start(
    fleet: Fleet, amqp_url: str
) -> None:
    """Half of the events would be the other's. The error names both, and the way out."""
    await fleet.start(program=SERVICE, SERVICE="shop", SUBSCRIPTION="orders")
    bus = CeleryEventBus(amqp_url, service="bank")
    bus.subscribe("order.made", hear, name="orders")
    with pytest.raises(SubscriptionTakenError) as caught:
        await bus.publish(Event("order.made"))
    bus.close()
    text = str(caught.value)
    assert "'orders' belongs to service:OrderHandler.on_order of service 'shop'" in text
    assert f"{__name__}:hear of service 'bank'" in text
    assert "qt-events topology take-over orders" in text


async def test_a_worker_ends_with_the_error_too(
    fleet: Fleet, make_bus: MakeBus, management: Management, vhost: str
) -> None:
    """Exit code 1 and one line, and nothing was bound for it."""
    bus = make_bus(service="bank")
    bus.subscribe("bell.rung", hear, name="orders")
    await bus.declarations.made()
    worker = await fleet.start(ready=False, program=SERVICE, SERVICE="shop", SUBSCRIPTION="orders")
    assert await asyncio.to_thread(worker.process.wait, 60) == 1
    assert "SubscriptionTakenError: the subscription 'orders' belongs to" in worker.output
    assert bindings(management, vhost, "orders") == {"bell.rung"}


async def test_a_rename_is_a_warning_that_names_both_once(
    make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """The same service may have moved its handler. Its processes know each other from then on."""
    for handler in (hear, hear_too, hear, hear_too):
        bus = make_bus(service="desk")
        bus.subscribe("order.*", handler, name="desk")
        await bus.declarations.made()
    (warning,) = warnings_in(caplog)
    text = warning.getMessage()
    assert f"{__name__}:hear of service 'desk'" in text
    assert f"{__name__}:hear_too of service 'desk'" in text


# Trouble


async def test_twenty_that_start_at_the_same_time_are_all_written_down(
    make_bus: MakeBus, amqp_url: str
) -> None:
    """One at a time changes it, each on a connection and in a thread of its own."""
    buses = [make_bus(service="desk") for _ in range(20)]
    for number, bus in enumerate(buses):
        bus.subscribe("order.*", hear, name=f"desk{number}")
        bus.subscribe(f"trade.{number}", hear, name="together")
    await asyncio.gather(*(bus.declarations.made() for bus in buses))
    found = register(amqp_url)
    assert found.entries.keys() == {f"desk{number}" for number in range(20)} | {"together"}
    assert set(found.of("together").bound) == {f"trade.{number}" for number in range(20)}
    assert depth(amqp_url, REGISTER) == 1


async def test_who_holds_it_for_too_long_holds_up_nobody(
    make_bus: MakeBus,
    amqp_url: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that hangs with it: the others go on, say so, and take nothing for unwanted."""
    monkeypatch.setattr(register_queue, "PATIENCE", 0.3)
    with channel_to(amqp_url) as channel:
        channel.queue_declare("qt.register.lock", exclusive=True)
        bus = await declared(make_bus, "order.*")
        await bus.publish(Event("order.made"))
    assert "another process has had it for more than 0.3 s" in caplog.text
    assert not has_unbound(bus, "trade.done")
    bus.subscribe("trade.#", hear, name="desk")
    await bus.declarations.made()
    assert register(amqp_url).of("desk").bound == ["order.*", "trade.#"]


async def test_a_worker_starts_while_the_broker_has_an_alarm(
    make_bus: MakeBus, harmed: PrivateBroker, node_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be stored then. A worker empties its queue all the same, and acknowledges."""
    bus, heard = make_bus(node_url), Handler()
    bus.subscribe("order.*", heard, name="desk")
    await bus.publish(Event("order.made"))
    later = make_bus(node_url)
    later.subscribe("order.*", heard, name="desk")
    later.subscribe("trade.#", heard, name="desk")
    harmed.block()
    async with running(later):
        await until(lambda: heard.done)
        await until(lambda: later.serving.held == 0)
    assert "the register of subscriptions cannot be had" in caplog.text
    harmed.unblock()
    assert await asyncio.to_thread(depth, node_url, "qt.sub.desk") == 0


async def test_a_register_of_others_bytes_is_written_anew(
    make_bus: MakeBus, amqp_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is never believed, and told; what is right beside it is kept."""
    await declared(make_bus, "order.*", name="kept")
    with channel_to(amqp_url) as channel:
        for body in ("\x00", "[]", json.dumps({"subscriptions": {"desk": "all of it"}})):
            channel.basic_publish(amqp.Message(body), "", REGISTER)
    await declared(make_bus, "order.*")
    assert caplog.text.count("held something that this library has not written") == 3
    assert register(amqp_url).entries.keys() == {"kept", "desk"}
    assert depth(amqp_url, REGISTER) == 1


async def test_a_process_that_dies_with_it_loses_nothing(make_bus: MakeBus, amqp_url: str) -> None:
    """Between taking it and storing it, and between storing it and the acknowledgement."""
    await declared(make_bus, "order.*", name="kept")
    with channel_to(amqp_url) as channel:
        channel.queue_declare("qt.register.lock", exclusive=True)
        taken = channel.basic_get(REGISTER)
        stored = Register.decode(taken.body)
        stored.of("stored").mark("x", bound=True)
        channel.basic_publish(amqp.Message(stored.encode()), "", REGISTER)
        declaring = asyncio.create_task(declared(make_bus, "order.*"))
        await asyncio.sleep(0)
    await declaring
    await declared(make_bus, "order.*", name="later")
    await until_told(lambda: depth(amqp_url, REGISTER) == 1)
    assert register(amqp_url).entries.keys() == {"kept", "stored", "desk", "later"}


@pytest.fixture
def restricted(broker: Broker, vhost: str, amqp_url: str) -> str:
    """Return the URL of a user who may do everything, but not with the register."""
    user, api = f"user-{vhost}", ManagementApi(broker.management_url, vhost)
    api.create_user(user, "secret")
    api.permit(user, r"^(?!qt\.register)", ".*", ".*")
    parts = urlsplit(amqp_url)
    return parts._replace(netloc=f"{user}:secret@{parts.hostname}:{parts.port}").geturl()


async def test_who_may_not_have_it_goes_on_without(
    make_bus: MakeBus,
    restricted: str,
    caplog: pytest.LogCaptureFixture,
    management: Management,
    vhost: str,
) -> None:
    """It is told once, and what this process unsubscribes itself is all that it knows."""
    caplog.set_level(logging.INFO, "qt_events")
    bus = make_bus(restricted, service="desk")
    for pattern in ("order.*", "trade.#"):
        bus.subscribe(pattern, hear, name="desk")
    await bus.declarations.made()
    bus.unsubscribe("trade.#", hear)
    bus.subscribe("bell.rung", hear, name="other")
    await bus.declarations.made()
    assert bindings(management, vhost, "desk") == {"order.*"}
    assert has_unbound(bus, "trade.done")
    assert caplog.text.count("the register of subscriptions is not for this user") == 1
    assert bus.publisher.state.channels == 1
