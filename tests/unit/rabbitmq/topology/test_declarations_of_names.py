"""The subscription of a queue, by its name alone."""

import pytest

from qt_events.rabbitmq.topology.names import Topology

TOPOLOGY = Topology("qt.a")


@pytest.mark.parametrize("name", ["risk_guard", "risk_guard.on_fill", "a.on_x.abc"])
def test_a_queue_tells_its_subscription(name: str) -> None:
    """The instance of a broadcast's queue is left out."""
    assert TOPOLOGY.subscription_of(TOPOLOGY.queue(name)) == name
    assert TOPOLOGY.subscription_of(TOPOLOGY.queue(f"{name}.0123456789ab")) == name


@pytest.mark.parametrize(
    "queue",
    [
        TOPOLOGY.dead("a"),
        TOPOLOGY.quarantine("a"),
        TOPOLOGY.lost,
        "qt.sub.a",
        "qt.axsub.a",
        "celery",
        "",
    ],
)
def test_other_queues_are_no_subscriptions(queue: str) -> None:
    assert TOPOLOGY.subscription_of(queue) is None


def test_dead_letters_are_told_from_all_else() -> None:
    """Events in quarantine are no dead letters yet."""
    assert TOPOLOGY.holds_dead_letters(TOPOLOGY.dead("a"))
    others = [
        TOPOLOGY.queue("a"),
        TOPOLOGY.queue("dead.a"),
        TOPOLOGY.quarantine("a"),
        TOPOLOGY.lost,
        "qt.dead.a",
    ]
    assert not any(map(TOPOLOGY.holds_dead_letters, others))
