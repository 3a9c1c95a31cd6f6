"""Inventory: the messages in a bus's queues, by subscription."""

from typing import Any

from qt_events.rabbitmq.operating.inventory import Holding, inventory
from qt_events.rabbitmq.topology.names import Topology

QT = Topology("qt")


def row(name: str, ready: int = 0, unacked: int = 0, consumers: int = 0) -> dict[str, Any]:
    figures = {
        "messages": ready + unacked,
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
    }
    return {"name": name, "consumers": consumers, **figures}


def test_a_subscriptions_queues_are_one_holding() -> None:
    """A holding has the queue, the quarantine and the dead letters. Holdings are sorted by name."""
    rows = [
        row("qt.sub.b", 3, 2, 1),
        row("qt.dead.b", 4, 1),
        row("qt.quarantine.b", 1),
        row("qt.sub.a"),
    ]
    found = inventory(QT, rows)
    b = Holding("b", ["qt.sub.b"], waiting=3, unacked=2, consumers=1, quarantined=1, dead_letters=5)
    assert found.subscriptions == [Holding("a", ["qt.sub.a"]), b]
    assert [each.is_served for each in found.subscriptions] == [False, True]


def test_what_has_expired_and_has_nowhere_to_go_is_counted() -> None:
    """The broker keeps it, and counts it neither as ready nor as unacked."""
    (held,) = inventory(QT, [{**row("qt.sub.a", 1), "messages_dlx": 2}]).subscriptions
    assert (held.waiting, held.expired, held.dead_letters) == (1, 2, 0)


def test_a_broadcasts_processes_are_one_holding() -> None:
    """Each process has a queue. A broadcast without processes still has dead letters."""
    first, second = (f"qt.sub.state.{digit * 12}" for digit in "ab")
    found = inventory(QT, [row(first, 1, 0, 1), row(second, 2, 0, 0), row("qt.dead.old", 1)])
    assert found.of("state") == Holding("state", [first, second], waiting=3, consumers=1)
    assert found.of("old") == Holding("old", dead_letters=1)
    assert found.of("other") is None


def test_what_is_lost_is_counted_and_the_rest_is_not_ours() -> None:
    """Delay levels, Celery's own queues and other prefixes hold nothing of a subscription."""
    rows = [
        row("qt.lost", 2),
        row("qt.retry.100", 7),
        row("a@b.qt.pidbox"),
        row("shop.sub.a", 9),
        {"name": "qt.sub.new"},
    ]
    found = inventory(QT, rows)
    assert (found.lost, found.subscriptions) == (2, [Holding("new", ["qt.sub.new"])])


def test_a_newcomer_shows_the_old_events_that_wait_for_it() -> None:
    """Its workers consume these, and are its consumers; requests are nobody's."""
    rows = [row("qt.sub.a", 2), row("qt.start.a", 5, 1, 1), row("qt.starts", 3), row("qt.sub.b")]
    a, b = inventory(QT, rows).subscriptions
    assert (a.name, a.waiting, a.old, a.consumers) == ("a", 2, 6, 1)
    assert (b.name, b.old) == ("b", None)
