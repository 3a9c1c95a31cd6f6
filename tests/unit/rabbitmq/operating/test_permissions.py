"""Rights of a component, as RabbitMQ reads them: regular expressions, searched for in a name."""

import re

import pytest

from qt_events import Component, InMemoryEventBus
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.rabbitmq.operating.permissions import NOTHING, Control, Permissions, permissions_of
from qt_events.rabbitmq.topology.names import Topology

QT = Topology("qt")
INSTANCE = "0123456789ab"


def subscription(name: str, *patterns: str, broadcast: bool = False) -> Subscription:
    bus = InMemoryEventBus()
    return [bus.subscribe(pattern, print, name=name, broadcast=broadcast) for pattern in patterns][
        -1
    ]


DESK = Component(
    "desk",
    ("trade.executed", "order.placed"),
    (
        subscription("desk.on_order", "order.*", "cancel.#"),
        subscription("desk.on_policy", "policy.updated", broadcast=True),
    ),
)


def rights(
    component: Component = DESK, topology: Topology = QT, *, control: bool = False
) -> Permissions:
    return permissions_of(component, topology, control=Control() if control else None)


def allowed(pattern: str, name: str) -> bool:
    return re.search(pattern, name) is not None


def topics(permissions: Permissions, exchange: str) -> tuple[str, str]:
    (found,) = (each for each in permissions.topics if each.exchange == exchange)
    return found.write, found.read


@pytest.mark.parametrize(
    ("right", "names"),
    [
        ("configure", [f"qt.sub.desk.on_policy.{INSTANCE}"]),
        ("write", ["qt.events", "qt.dead", "qt.quarantine", "qt.retry.100", "qt.retry.838860800"]),
        ("write", ["qt.sub.desk.on_order", f"qt.sub.desk.on_policy.{INSTANCE}"]),
        (
            "read",
            [
                "qt.events",
                "qt.redeliver",
                "qt.sub.desk.on_order",
                f"qt.sub.desk.on_policy.{INSTANCE}",
            ],
        ),
        ("read", ["qt.quarantine.desk.on_order"]),
    ],
)
def test_a_component_may_use_what_is_its_own(right: str, names: list[str]) -> None:
    """Shared exchanges that it needs belong to that."""
    assert all(allowed(getattr(rights(), right), name) for name in names)


OTHERS = [
    "qt.sub.other",
    "qt.sub.desk",
    "qt.sub.desk.on_order.x",
    "qt.sub.deskxon_order",
    "xqt.sub.desk.on_order",
]
OTHERS += [
    "qt.sub.desk.on_policy",
    "qt.sub.desk.on_policy.x",
    "qt.lost",
    "qt.dead.desk.on_order",
    "celery.pidbox",
    "",
]
OTHERS += ["amq.default", "celeryev", "a@b.celery.pidbox", "QT.EVENTS", "qtxevents"]


@pytest.mark.parametrize("right", ["configure", "write", "read"])
@pytest.mark.parametrize("name", OTHERS)
def test_a_component_may_use_nothing_else(right: str, name: str) -> None:
    """Names must match as a whole and letter by letter: a dot is a dot."""
    assert not allowed(getattr(rights(), right), name)


@pytest.mark.parametrize(
    "name", ["qt.events", "qt.redeliver", "qt.dead", "qt.sub.desk.on_order", "qt.retry.100"]
)
def test_what_is_shared_and_what_lasts_is_configured_by_administrators(name: str) -> None:
    """A component can neither delete the queue that it serves, nor redirect its dead letters."""
    assert not allowed(rights().configure, name)


def test_nobody_sends_back_to_a_subscription_but_the_broker() -> None:
    """Retries come out of a delay level; operators are administrators."""
    assert not allowed(rights().write, "qt.redeliver")
    assert not allowed(rights().write, "qt.lost")


def test_events_are_published_by_type_and_heard_by_pattern() -> None:
    """Patterns are texts here: a right for `order.*` allows neither `order.placed` nor `#`."""
    write, read = topics(rights(), "qt.events")
    assert [allowed(write, each) for each in ("trade.executed", "order.placed")] == [True, True]
    others = ("order.filled", "order.*", "trade.executed.x", "x.order.placed", "#")
    assert not any(allowed(write, each) for each in others)
    assert [allowed(read, each) for each in ("order.*", "cancel.#", "policy.updated")] == [
        True,
        True,
        True,
    ]
    assert not any(allowed(read, each) for each in ("order.placed", "#", "*.*", "policyxupdated"))


@pytest.mark.parametrize(
    "exchange", ["qt.dead", "qt.quarantine", "qt.retry.100", "qt.retry.838860800"]
)
def test_retries_dead_letters_and_quarantine_are_written_by_its_own_keys_alone(
    exchange: str,
) -> None:
    """No component may bind to them."""
    write, read = topics(rights(), exchange)
    assert allowed(write, "desk.on_order")
    assert not any(
        allowed(write, each) for each in ("other", "desk", "desk.on_order.x", "desk.*", "#")
    )
    assert read == NOTHING


def test_a_broadcasts_retries_come_back_to_one_process_and_it_has_no_quarantine() -> None:
    """The key names the process. Dead letters are shared."""
    permissions = rights()
    assert allowed(topics(permissions, "qt.retry.100")[0], f"desk.on_policy.{INSTANCE}")
    assert allowed(topics(permissions, "qt.redeliver")[1], f"desk.on_policy.{INSTANCE}")
    assert allowed(topics(permissions, "qt.dead")[0], "desk.on_policy")
    assert not allowed(topics(permissions, "qt.quarantine")[0], "desk.on_policy")


def test_every_exchange_that_may_be_written_or_bound_has_topics() -> None:
    """RabbitMQ lets any key through where no topic permission exists."""
    told = {each.exchange for each in rights().topics}
    assert told == {
        "qt.events",
        "qt.redeliver",
        "qt.dead",
        "qt.quarantine",
        "qt.fates",
        *QT.levels(),
    }
    assert len(QT.levels()) == len({*QT.levels()}) == 24


def test_a_producer_needs_one_exchange() -> None:
    """A producer hears nothing."""
    permissions = rights(Component("feed", ("market.closed",)), control=True)
    assert (permissions.configure, permissions.read) == (NOTHING, NOTHING)
    assert permissions.write == r"^(qt\.events)$"


def test_who_publishes_nothing_may_publish_nothing() -> None:
    permissions = rights(Component("audit", (), (subscription("audit", "#"),)))
    assert not allowed(permissions.write, "qt.events")
    assert topics(permissions, "qt.events") == (NOTHING, r"^(\#)$")


def test_who_does_nothing_may_do_nothing() -> None:
    """An empty expression would fit every name."""
    permissions = rights(Component("idle"), control=True)
    assert (permissions.configure, permissions.write, permissions.read) == (
        NOTHING,
        NOTHING,
        NOTHING,
    )
    assert {(each.write, each.read) for each in permissions.topics} == {(NOTHING, NOTHING)}


def test_a_worker_under_remote_control_hears_orders_and_gives_none() -> None:
    """Rights for a control queue, answers, and events for monitors."""
    permissions = rights(control=True)
    assert all(
        allowed(permissions.read, each) for each in ("desk@host.celery.pidbox", "celery.pidbox")
    )
    assert all(
        allowed(permissions.write, each)
        for each in ("desk@host.celery.pidbox", "reply.celery.pidbox", "celeryev")
    )
    assert not allowed(permissions.write, "celery.pidbox")


def test_control_and_events_have_the_names_that_the_app_gave_them() -> None:
    """Two apps of one vhost may keep them apart by control_exchange and event_exchange."""
    permissions = permissions_of(DESK, QT, control=Control("shop", "shop.ev"))
    assert allowed(permissions.write, "reply.shop.pidbox")
    assert allowed(permissions.write, "shop.ev")
    assert allowed(permissions.read, "desk@host.shop.pidbox")
    assert not allowed(permissions.read, "celery.pidbox")


def test_a_prefix_with_dots_is_taken_letter_by_letter() -> None:
    """Two buses on one vhost stay apart."""
    permissions = rights(topology=Topology("a.b-c"))
    assert allowed(permissions.write, "a.b-c.events")
    assert not allowed(permissions.write, "axb-c.events")
    assert not allowed(permissions.write, "qt.events")


def test_classic_queues_have_no_quarantine() -> None:
    permissions = rights(topology=Topology("qt", "classic"))
    assert not allowed(permissions.write, "qt.quarantine")
    assert not allowed(permissions.read, "qt.quarantine.desk.on_order")


def newcomer(name: str) -> Subscription:
    return Subscription(name, print, ("order.*",), start="first")


def test_a_newcomer_may_delete_its_queue_of_old_events_and_no_other() -> None:
    """Its worker does so when the last one is handled."""
    found = rights(Component("stock", (), (newcomer("stock.on_order"),)))
    for pattern in (found.configure, found.read):
        assert allowed(pattern, "qt.start.stock.on_order")
        assert not allowed(pattern, "qt.start.stock.on_order.other")
        assert not allowed(pattern, "qt.starts")
    assert not allowed(found.write, "qt.start")
    assert not allowed(rights().configure, "qt.start.desk.on_order")


def test_the_recorder_alone_may_serve_newcomers() -> None:
    """It sends old events and marks, and takes out of a newcomer's queue what it has sent."""
    found = rights(Component("recorder", (), (subscription("history", "#"),)))
    assert all(allowed(found.write, each) for each in ("qt.start", "qt.redeliver"))
    assert all(allowed(found.read, each) for each in ("qt.starts", "qt.sub.any", "qt.start.any"))
    assert topics(found, "qt.start") == (".*", NOTHING)
    assert topics(found, "qt.redeliver")[0] == ".*"
    assert not allowed(found.read, "qt.dead.any")
    assert not any(allowed(rights().write, each) for each in ("qt.start", "qt.redeliver"))
    assert not any(allowed(rights().read, each) for each in ("qt.starts", "qt.sub.any"))
