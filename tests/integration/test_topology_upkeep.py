"""`qt-events topology` on a real broker: old bindings, owners, and subscriptions renamed."""

import asyncio
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import amqp
import pytest
from celery import Celery
from typer.testing import CliRunner, Result

from qt_events import NO_RETRY, CeleryEventBus, Event, SubscriptionTakenError
from qt_events.cli.progress import Bar
from qt_events.cli.topology import topology
from qt_events.errors import (
    BusStateError,
    InvalidOptionError,
    UnknownSubscriptionError,
)
from qt_events.rabbitmq.messages.properties import to_amqp
from qt_events.rabbitmq.topology import registration
from qt_events.testing.broker import Broker
from qt_events.testing.broker.management import Management
from tests.integration.run_forever.hosting import Handler, running
from tests.integration.test_register import bindings, has_unbound, register
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth, until_depths
from tests.support.lasting import lasting
from tests.support.waiting import until, until_told

Command = Callable[..., Result]


async def hear(event: Event[Any]) -> None:
    pass


async def fail(event: Event[Any]) -> None:
    message = "always"
    raise LookupError(message)


class OrderHandler:
    async def on_order(self, event: Event[Any]) -> None: ...


handler = OrderHandler()
FORMER, PRESENT = "order_handler.on_order", f"shop.{__name__}.order_handler.on_order"


@pytest.fixture
def app(amqp_url: str, make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch) -> CeleryEventBus:
    """The bus of an app `shop`, in a module of this name, without subscriptions."""
    module: Any = ModuleType("shop")
    module.app = Celery("shop", broker=amqp_url, set_as_current=False)
    monkeypatch.setitem(sys.modules, "shop", module)
    return make_bus(app=module.app)


@pytest.fixture
def command(app: CeleryEventBus, broker: Broker) -> Command:
    """`qt-events topology ...` in this process, for the app; it blocks."""

    def run(*arguments: str, **place: str) -> Result:
        where = place or {"QT_APP": "shop"}
        given = {"QT_MANAGEMENT_URL": broker.management_url, "COLUMNS": "200", **where}
        return CliRunner().invoke(topology, list(arguments), env=given)

    return run


async def ran(command: Command, *arguments: str, **place: str) -> str:
    done = await asyncio.to_thread(command, *arguments, **place)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.stdout


# Bindings


async def test_what_the_app_does_not_declare_is_shown_and_unbound_for_good(
    command: Command, app: CeleryEventBus, make_bus: MakeBus, management: Management, amqp_url: str,
) -> None:  # fmt: skip
    """A queue from before there was a register, too: the broker says how it is bound."""
    app.subscribe("order.*", hear, name="desk")
    await app.declarations.made()
    with channel_to(amqp_url) as channel:
        for pattern in ("trade.#", "bell.*"):
            channel.queue_bind("qt.sub.desk", "qt.events", pattern)
    await until_told(
        lambda: bindings(management, vhost_of(amqp_url), "desk") == {"order.*", "trade.#", "bell.*"}
    )
    (shown,) = json.loads(await ran(command, "show", "--json"))["subscriptions"]
    assert sorted(shown["undeclared"]) == ["bell.*", "trade.#"]
    assert "qt-events topology unbind desk " in await ran(command, "show")
    (elsewhere,) = json.loads(await ran(command, "show", "--json", QT_BROKER_URL=amqp_url))[
        "subscriptions"
    ]
    assert elsewhere["undeclared"] == []
    declared = await asyncio.to_thread(command, "unbind", "desk", "order.*")
    assert isinstance(declared.exception, InvalidOptionError)
    await ran(command, "unbind", "desk", "bell.*", QT_BROKER_URL=amqp_url)
    assert bindings(management, vhost_of(amqp_url), "desk") == {"order.*", "trade.#"}
    await ran(command, "unbind", "desk", "--undeclared")
    assert bindings(management, vhost_of(amqp_url), "desk") == {"order.*"}
    assert sorted(register(amqp_url).of("desk").unbound) == ["bell.*", "trade.#"]
    later = make_bus(service="shop")
    later.subscribe("order.*", hear, name="desk")
    await later.declarations.made()
    assert has_unbound(later, "trade.done")


async def test_a_broadcast_or_nothing_is_not_unbound(command: Command, app: CeleryEventBus) -> None:
    """The errors say what there is instead."""
    app.subscribe("order.*", hear, name="state", broadcast=True)
    async with app:
        for arguments, error in (
            (("unbind", "state", "order.*"), InvalidOptionError),
            (("unbind", "gone", "order.*"), UnknownSubscriptionError),
            (("unbind", "state"), InvalidOptionError),
            (("take-over", "gone"), UnknownSubscriptionError),
            (("move", "state"), InvalidOptionError),
            (("move",), InvalidOptionError),
            (("move", "gone", "state"), UnknownSubscriptionError),
        ):
            done = await asyncio.to_thread(command, *arguments)
            assert isinstance(done.exception, error), (arguments, done.exception)


# Owners


async def test_a_subscription_is_taken_over_on_purpose(
    command: Command, app: CeleryEventBus, make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From then on it is the other service that has the error."""
    monkeypatch.setattr(registration, "TAKEN", 0.0)
    before = make_bus(service="bank")
    before.subscribe("order.*", fail, name="desk")
    await before.declarations.made()
    app.subscribe("order.*", hear, name="desk")
    with pytest.raises(SubscriptionTakenError):
        await app.declarations.made()
    refused = await asyncio.to_thread(command, "declare")
    assert isinstance(refused.exception, SubscriptionTakenError)
    told = await ran(command, "take-over", "desk")
    assert told == f"desk belongs to {__name__}:hear of service 'shop'\n"
    await app.declarations.made()
    again = make_bus(service="bank")
    again.subscribe("order.*", fail, name="desk")
    with pytest.raises(SubscriptionTakenError):
        await again.declarations.made()


async def test_what_was_removed_belongs_to_nobody(
    command: Command, app: CeleryEventBus, make_bus: MakeBus, amqp_url: str
) -> None:
    """A name that is free again is free for everybody."""
    before = make_bus(service="bank")
    before.subscribe("order.*", fail, name="desk")
    await before.declarations.made()
    await ran(command, "remove", "desk", "--yes")
    assert register(amqp_url).entries == {}
    app.subscribe("order.*", hear, name="desk")
    await app.declarations.made()


# Renamed


async def left_behind(make_bus: MakeBus, amqp_url: str) -> list[Event[Any]]:
    """Leave what a former release may: events, retried ones, dead letters, one in quarantine."""
    former = make_bus()
    former.subscribe("order.*", fail, name=FORMER, retry=NO_RETRY)
    events = [Event(f"order.n{n}", None, {"n": n}) for n in range(6)]
    await lasting(former)
    async with running(former):
        await former.publish(events[0])
        await former.join(30)
    for event in events[1:]:
        await former.publish(event)
    with channel_to(amqp_url) as channel:
        channel.auto_decode = False
        # Came back to it with its counts, as from a delay level.
        returned = channel.basic_get(f"qt.sub.{FORMER}", no_ack=True)
        back = {"qt-type": "order.n1", "qt-attempt": 3}
        channel.basic_publish(
            amqp.Message(returned.body, application_headers=back, **plain(returned)),
            "qt.redeliver",
            FORMER,
        )
        alone = channel.basic_get(f"qt.sub.{FORMER}", no_ack=True)
        channel.basic_publish(
            amqp.Message(alone.body, application_headers={"qt-type": "order.n2"}, **plain(alone)),
            "qt.quarantine",
            FORMER,
        )
        # By a route that no bus uses.
        channel.exchange_declare("strange", "fanout", durable=True, auto_delete=False)
        channel.queue_bind(f"qt.sub.{FORMER}", "strange", "")
        channel.basic_publish(amqp.Message("{}"), "strange", "order.forged")
    queues = (f"qt.sub.{FORMER}", f"qt.quarantine.{FORMER}")
    await until_depths(amqp_url, dict(zip(queues, (5, 1), strict=True)))
    return events


def vhost_of(url: str) -> str:
    return url.rpartition("/")[2]


def plain(raw: amqp.Message) -> dict[str, Any]:
    return {name: value for name, value in raw.properties.items() if name != "application_headers"}


async def test_what_a_renamed_subscription_holds_is_moved_to_its_new_name(
    command: Command, app: CeleryEventBus, make_bus: MakeBus, management: Management, amqp_url: str,
) -> None:  # fmt: skip
    """Events with their attempts, quarantine, and dead letters that can be sent back."""
    events = await left_behind(make_bus, amqp_url)
    heard = Handler()
    app.subscribe("order.*", handler.on_order)
    shown = json.loads(await ran(command, "show", "--json"))["subscriptions"]
    assert {each["name"]: each["renamed_to"] for each in shown} == {FORMER: PRESENT}
    assert f"qt-events topology move {FORMER} {PRESENT}" in await ran(command, "show")

    (told,) = json.loads(await ran(command, "move", "--former", "--json"))["moved"]
    assert told == {
        "source": FORMER,
        "destination": PRESENT,
        "events": 4,
        "quarantined": 1,
        "dead_letters": 1,
        "skipped": 1,
    }
    assert bindings(management, vhost_of(amqp_url), FORMER) == set()
    assert bindings(management, vhost_of(amqp_url), PRESENT) == {"order.*"}

    serving = make_bus(service="shop")
    serving.subscribe("order.*", heard, name=PRESENT)
    assert await serving.dead_letters.retry_all(PRESENT) == 1
    async with running(serving):
        await until(lambda: len(heard.done) == 6, what="all are handled")
    assert {event.id for event in heard.done} == {event.id for event in events}
    assert {event.type for event in heard.done} == {event.type for event in events}

    refused = await asyncio.to_thread(command, "move", FORMER, PRESENT, "--remove")
    assert isinstance(refused.exception, BusStateError)
    with channel_to(amqp_url) as channel:
        channel.queue_purge(f"qt.sub.{FORMER}")
    await ran(command, "move", FORMER, PRESENT, "--remove")
    left = {each["name"] for each in management.queues(vhost_of(amqp_url))}
    assert not {name for name in left if name.endswith(f".{FORMER}") and PRESENT not in name}
    assert FORMER not in register(amqp_url).entries


async def test_what_another_service_wants_stays_where_it_is(
    command: Command, app: CeleryEventBus, make_bus: MakeBus, management: Management, amqp_url: str,
) -> None:  # fmt: skip
    """Two services may have shared the queue of the old name: each moves what its own hears."""
    former = make_bus()
    former.subscribe("order.*", hear, name=FORMER)
    former.subscribe("trade.*", hear, name=FORMER)
    for event_type in ("order.placed", "trade.done", "order.filled"):
        await former.publish(Event(event_type))
    app.subscribe("order.*", handler.on_order)
    (told,) = json.loads(await ran(command, "move", "--former", "--json"))["moved"]
    assert (told["events"], told["skipped"]) == (2, 1)
    assert bindings(management, vhost_of(amqp_url), FORMER) == {"trade.*"}
    assert depth(amqp_url, f"qt.sub.{FORMER}") == 1


@pytest.mark.parametrize("how", ["unsubscribe", "unbind", "move"])
async def test_a_binding_is_removed_however_a_former_release_spelled_it(
    how: str, command: Command, app: CeleryEventBus, management: Management, amqp_url: str
) -> None:
    """`#.*` is bound as `*.#` by now. Else its events came on, or twice."""
    app.subscribe("#.*", handler.on_order, name=FORMER)
    app.subscribe("order.placed", handler.on_order, name=FORMER)
    await app.publish(Event("order.placed"))
    with channel_to(amqp_url) as channel:
        for pattern in ("#.*", "*.#.#"):
            channel.queue_bind(f"qt.sub.{FORMER}", "qt.events", pattern)
    shown = json.loads(await ran(command, "show", "--json"))["subscriptions"]
    assert [each["patterns"] for each in shown] == [["*.#", "order.placed"]]
    assert shown[0]["undeclared"] == []
    app.unsubscribe("#.*", handler.on_order)
    if how == "unbind":
        await ran(command, "unbind", FORMER, "#.*")
    elif how == "move":
        app.unsubscribe("order.placed", handler.on_order)
        app.subscribe("#.*", handler.on_order, name=PRESENT)
        await ran(command, "move", FORMER, PRESENT)
    else:
        await app.publish(Event("order.placed"))
    vhost = vhost_of(amqp_url)
    await until_told(lambda: bindings(management, vhost, FORMER) == {"order.placed"})


async def test_what_is_served_is_not_moved(
    command: Command, app: CeleryEventBus, make_bus: MakeBus
) -> None:
    """Its workers would bind it again, and hold events that cannot be seen."""
    former = make_bus()
    former.subscribe("order.*", hear, name=FORMER)
    app.subscribe("order.*", handler.on_order)
    async with running(former):
        refused = await asyncio.to_thread(command, "move", FORMER, PRESENT)
        assert isinstance(refused.exception, BusStateError)
        assert "is served" in str(refused.exception)
        await ran(command, "move", FORMER, PRESENT, "--force")


async def test_a_move_that_breaks_leaves_the_rest_where_it_is(
    command: Command, app: CeleryEventBus, make_bus: MakeBus, amqp_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Ctrl-C in the middle: exit code 130, a word on how far it came, and nothing is lost."""
    await left_behind(make_bus, amqp_url)
    app.subscribe("order.*", handler.on_order)
    show = Bar.show

    def interrupting(self: Bar, progress: Any) -> None:
        show(self, progress)
        if progress.done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Bar, "show", interrupting)
    broken = await asyncio.to_thread(command, "move", "--former")
    assert broken.exit_code == 130
    assert "interrupted: 2 of 7 moved" in broken.stderr
    await until_told(lambda: depth(amqp_url, f"qt.sub.{FORMER}") == 3)
    assert depth(amqp_url, f"qt.sub.{PRESENT}") == 2
    monkeypatch.setattr(Bar, "show", show)
    (told,) = json.loads(await ran(command, "move", "--former", "--json"))["moved"]
    assert (told["events"], told["quarantined"], told["dead_letters"]) == (2, 1, 1)
    assert depth(amqp_url, f"qt.sub.{PRESENT}") == 4


async def test_what_the_broker_dropped_is_moved_with_its_reason(
    command: Command, app: CeleryEventBus, make_bus: MakeBus, amqp_url: str
) -> None:
    """The broker's own record names the old queue, and would be taken for a forgery there."""
    former = make_bus()
    former.subscribe("order.*", hear, name=FORMER)
    await lasting(former)
    event = Event("order.late", None, {"n": 1})
    content = to_amqp(event)
    with channel_to(amqp_url) as channel:
        late = amqp.Message(content.body, expiration="1", **content.properties)
        channel.basic_publish(late, "qt.events", event.type)
        strange = amqp.Message("{}", application_headers={"x-death": [{"queue": "elsewhere"}]})
        channel.basic_publish(strange, "qt.dead", FORMER)
    await until_told(lambda: depth(amqp_url, f"qt.dead.{FORMER}") == 2)
    app.subscribe("order.*", handler.on_order)
    await ran(command, "move", "--former", "--remove")
    records = {each.reason: each for each in await app.dead_letters.list(PRESENT)}
    assert records.keys() == {"expired", "forged"}
    late_one = records["expired"]
    assert (late_one.event_id, late_one.event_type) == (event.id, "order.late")
    await app.dead_letters.retry(late_one.id)
    assert depth(amqp_url, f"qt.sub.{PRESENT}") == 1
