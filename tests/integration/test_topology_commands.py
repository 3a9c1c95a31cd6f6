"""`qt-events topology` on a real broker: declaring, showing and removing."""

import asyncio
import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import amqp
import pytest
from amqp.exceptions import NotFound
from celery import Celery
from typer.testing import CliRunner, Result

from qt_events import NO_RETRY, CeleryEventBus, Event
from qt_events.cli.topology import topology
from qt_events.errors import BusStateError, UnknownSubscriptionError
from qt_events.testing.broker import Broker
from qt_events.testing.broker.management import Management
from tests.support.buses import MakeBus
from tests.support.channels import channel_to, depth
from tests.support.lasting import lasting
from tests.support.waiting import until_told

Command = Callable[..., Result]


async def hear(event: Event[Any]) -> None:
    pass


async def fail(event: Event[Any]) -> None:
    message = "always"
    raise LookupError(message)


@pytest.fixture
def bus(amqp_url: str, make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch) -> CeleryEventBus:
    """The bus of an app `shown`: two shared subscriptions and a broadcast."""
    module: Any = ModuleType("shown")
    module.app = Celery("shown", broker=amqp_url, set_as_current=False)
    made = make_bus(app=module.app)
    made.subscribe("order.*", hear, name="desk")
    made.subscribe("trade.#", fail, name="audit", retry=NO_RETRY)
    made.subscribe("policy.set", hear, name="state", broadcast=True)
    monkeypatch.setitem(sys.modules, "shown", module)
    return made


@pytest.fixture
def command(bus: CeleryEventBus, broker: Broker) -> Command:
    """`qt-events topology ...` in this process, for the app unless a place is named; it blocks."""

    def run(*arguments: str, answer: str = "", **place: str) -> Result:
        where = place or {"QT_APP": "shown"}
        given = {"QT_MANAGEMENT_URL": broker.management_url, "COLUMNS": "200", **where}
        return CliRunner().invoke(topology, list(arguments), env=given, input=answer)

    return run


def read_topology(command: Command, **place: str) -> dict[str, Any]:
    found = json.loads(command("show", "--json", **place).stdout)
    return {each.pop("name"): each for each in found["subscriptions"]} | {"lost": found["lost"]}


def test_everything_is_declared_for_those_who_may_not(
    command: Command, management: Management, vhost: str
) -> None:
    """All delay levels and the shared queues of a broadcast, too; twice is as good as once."""
    for _ in range(2):
        done = command("declare")
        assert (done.exit_code, done.stdout.count("3 subscriptions")) == (0, 1), done.output
    levels = {f"qt.retry.{100 * 2**number}" for number in range(24)}
    shared = {
        f"qt.{kind}.{name}" for kind in ("sub", "dead", "quarantine") for name in ("desk", "audit")
    }
    assert {each["name"] for each in management.queues(vhost)} == levels | shared | {
        "qt.dead.state",
        "qt.lost",
        "qt.register",
    }
    ours = {each["name"] for each in management.exchanges(vhost) if each["name"].startswith("qt.")}
    shared = {
        f"qt.{name}" for name in ("events", "redeliver", "dead", "quarantine", "lost", "fates")
    }
    assert ours == levels | shared


async def test_what_waits_what_failed_and_who_serves_is_shown(
    command: Command, bus: CeleryEventBus, amqp_url: str
) -> None:
    """The list is JSON or a table; a marked subscription has no consumer."""
    async with bus:
        await bus.publish(Event("trade.done"))
        await bus.join(30)
        names = ("desk", "audit", "state")
        await until_told(
            lambda: all(read_topology(command)[name]["served"] for name in names),
            what="all are served",
        )
    for _ in range(3):
        await bus.publish(Event("order.made"))
    with channel_to(amqp_url) as channel:
        channel.basic_publish(amqp.Message("{}"), "qt.redeliver", "gone")
    expected = {
        "waiting": 3,
        "unacked": 0,
        "consumers": 0,
        "quarantined": 0,
        "dead_letters": 0,
        "expired": 0,
        "served": False,
        "undeclared": [],
        "renamed_to": None,
        "old": None,
    }
    wanted = {
        "desk": {**expected, "queues": ["qt.sub.desk"], "patterns": ["order.*"]},
        "audit": {
            **expected,
            "queues": ["qt.sub.audit"],
            "patterns": ["trade.#"],
            "waiting": 0,
            "dead_letters": 1,
        },
    }
    await until_told(
        lambda: (found := read_topology(command)).items() >= wanted.items() and found["lost"] == 1,
        what=str(wanted),
    )
    text = (await asyncio.to_thread(command, "show")).stdout
    (line,) = (line.split() for line in text.splitlines() if "desk" in line)
    assert line == ["desk", "3", "0", "nobody", "0", "0"]
    assert "3 of them served by nobody; 1 events lost" in text


async def test_a_url_alone_is_enough_to_show_and_remove(
    command: Command, bus: CeleryEventBus, amqp_url: str, management: Management, vhost: str
) -> None:
    """No app is imported: an operator has the broker's URL, and nothing of the program."""
    await bus.publish(Event("trade.done"))
    place = {"QT_BROKER_URL": amqp_url}
    await until_told(
        lambda: read_topology(command, **place)["audit"]["waiting"] == 1, what="it waits"
    )
    # Nobody serves the broadcast, so it has no queue.
    assert read_topology(command, **place).keys() == {"desk", "audit", "lost"}
    elsewhere = await asyncio.to_thread(read_topology, command, **place, QT_PREFIX="shop")
    assert elsewhere == {"lost": 0}
    removed = await asyncio.to_thread(command, "remove", "audit", "--yes", **place)
    assert removed.exit_code == 0, removed.output
    assert "qt.sub.audit" not in {each["name"] for each in management.queues(vhost)}


async def test_a_subscription_is_removed_after_saying_what_it_holds(
    command: Command, bus: CeleryEventBus, amqp_url: str, management: Management, vhost: str
) -> None:
    """A yes is needed; dead letters stay unless they are meant too; other queues are left alone."""
    await lasting(bus)
    for _ in range(2):
        await bus.publish(Event("trade.done"))
    with channel_to(amqp_url) as channel:
        channel.basic_publish(amqp.Message("{}"), "qt.dead", "audit")
    await until_told(lambda: depth(amqp_url, "qt.dead.audit") == 1)

    def names() -> set[str]:
        return {each["name"] for each in management.queues(vhost)}

    before = names()
    refused = await asyncio.to_thread(command, "remove", "audit", answer="n\n")
    assert (refused.exit_code, names()) == (1, before)
    assert (
        "audit: 2 events wait, 0 in quarantine: they go; 1 dead letters: they stay; 0 consumers"
        in refused.stdout
    )
    assert (await asyncio.to_thread(command, "remove", "audit", answer="y\n")).exit_code == 0
    assert names() == before - {"qt.sub.audit", "qt.quarantine.audit"}
    again = await asyncio.to_thread(command, "remove", "audit", "--with-dead-letters", "--yes")
    assert (again.exit_code, names()) == (
        0,
        before - {"qt.sub.audit", "qt.quarantine.audit", "qt.dead.audit"},
    )
    unknown = await asyncio.to_thread(command, "remove", "audit", "--yes")
    assert isinstance(unknown.exception, UnknownSubscriptionError)


async def test_a_subscription_that_is_served_is_not_removed_unless_forced(
    command: Command, bus: CeleryEventBus, management: Management, vhost: str
) -> None:
    """A worker that still serves it would hold events that nobody else has any more."""
    async with bus:
        refused = await asyncio.to_thread(command, "remove", "desk", "--yes")
        assert isinstance(refused.exception, BusStateError)
        assert "'desk' is served" in str(refused.exception)
        assert "qt.sub.desk" in {each["name"] for each in management.queues(vhost)}
    forced = await asyncio.to_thread(command, "remove", "desk", "--yes", "--force")
    assert forced.exit_code == 0


async def test_a_dead_letter_that_no_queue_takes_does_not_vanish(
    bus: CeleryEventBus, amqp_url: str
) -> None:
    """Its queue is declared again for it, whoever deleted that."""
    async with bus:
        await lasting(bus)
        with channel_to(amqp_url) as channel:
            channel.queue_delete("qt.dead.audit")
        await bus.publish(Event("trade.done"))
        await until_told(lambda: has_one(amqp_url, "qt.dead.audit"))


def has_one(url: str, queue: str) -> bool:
    """Return True once a queue that may be missing holds a message."""
    try:
        return depth(url, queue) == 1
    except NotFound:
        return False


async def test_what_has_expired_is_no_part_of_what_is_removed(
    command: Command, bus: CeleryEventBus, amqp_url: str
) -> None:
    """The broker keeps it in the queue while there is none for dead letters. It is shown, too."""
    await bus.declarations.made()
    with channel_to(amqp_url) as channel:
        channel.basic_publish(amqp.Message("{}", expiration="1"), "qt.events", "order.made")
    await until_told(lambda: read_topology(command)["desk"]["expired"] == 1, what="it has expired")
    shown = await asyncio.to_thread(command, "show")
    assert "desk: 1 events have expired" in shown.stdout
    removed = await asyncio.to_thread(command, "remove", "desk", "--yes")
    assert removed.exit_code == 0, removed.output
    (letter,) = await bus.dead_letters.list("desk")
    assert letter.reason == "expired"
