"""Gauges: figures from RabbitMQ's rows and from workers' heartbeats."""

from typing import Any

import celery
import pytest

from workers.gauges import Heartbeats, QueueGauge, WorkerGauge, dead_letters, queue_gauges


def row(  # noqa: PLR0917  # a row's columns
    name: str, ready: int = 0, unacked: int = 0, consumers: int = 1, come: float = 0, done: float = 0
) -> dict[str, Any]:
    return {
        "name": name,
        "messages": ready + unacked,
        "messages_ready": ready,
        "messages_unacknowledged": unacked,
        "consumers": consumers,
        "message_stats": {"publish_details": {"rate": come}, "ack_details": {"rate": done}},
    }


def test_the_busiest_queue_comes_first() -> None:
    """By what waits or is held, then by what is done, then by name."""
    rows = [
        row("qt.sub.c"),
        row("qt.sub.b", done=5),
        row("qt.sub.a"),
        row("qt.sub.z", unacked=3),
        row("qt.sub.y", ready=4),
    ]
    assert [each.name for each in queue_gauges(rows)] == ["y", "z", "b", "a", "c"]


def test_only_subscriptions_queues_are_gauged() -> None:
    """Not delay levels, dead letters, or Celery's own."""
    rows = [
        row("qt.sub.a", 1, 2, 3, 4.5, 5.5),
        row("qt.dead.a"),
        row("qt.retry.100"),
        row("celery"),
        row("w@h.qt.pidbox"),
    ]
    assert queue_gauges(rows) == [QueueGauge("a", 1, 2, 3, 4.5, 5.5)]


def test_a_broadcasts_queues_are_one_gauge() -> None:
    """They differ by the process; a name that only looks alike does not."""
    rows = [
        row("qt.sub.a.on_x.0123456789ab", 1, 1),
        row("qt.sub.a.on_x.ba9876543210", 2, 0),
        row("qt.sub.a.on_x.abc", 7),
    ]
    assert queue_gauges(rows) == [QueueGauge("a.on_x.abc", 7, 0, 1), QueueGauge("a.on_x", 3, 1, 2)]


def test_a_queue_without_figures_is_empty() -> None:
    """RabbitMQ takes its time to tell of a new one."""
    assert queue_gauges([{"name": "qt.sub.new"}]) == [QueueGauge("new")]


def test_dead_letters_are_counted_over_all_subscriptions() -> None:
    """Whose they are, `qt-events dead-letters` and Flower tell."""
    assert dead_letters([row("qt.dead.a", 2), row("qt.dead.b", 3), row("qt.sub.a", 9), {"name": "qt.dead.new"}]) == 5


@pytest.fixture
def heartbeats() -> Heartbeats:
    return Heartbeats(celery.Celery("of_a_test", broker="amqp://localhost//", set_as_current=False))


def beat(processed: int, at: float, hostname: str = "worker-1@host") -> dict[str, Any]:
    told = {"processed": processed, "active": 2, "pid": 77}
    return {"type": "worker-heartbeat", "hostname": hostname, "timestamp": at, **told}


def test_a_rate_is_taken_between_two_heartbeats(heartbeats: Heartbeats) -> None:
    """The first alone tells none."""
    heartbeats.hear(beat(10, at=100.0))
    assert heartbeats.gauges == {"worker-1": WorkerGauge(pid=77, handled=10, active=2, rate=0.0, at=100.0)}
    heartbeats.hear(beat(60, at=102.0))
    assert heartbeats.gauges["worker-1"].rate == 25.0


def test_workers_are_told_apart_by_name(heartbeats: Heartbeats) -> None:
    """Each has a rate of its own."""
    heartbeats.hear(beat(10, at=100.0))
    heartbeats.hear(beat(500, at=102.0, hostname="worker-2@host"))
    assert {name: gauge.rate for name, gauge in heartbeats.gauges.items()} == {"worker-1": 0.0, "worker-2": 0.0}


def test_what_holds_no_figures_or_no_time_passes_by(heartbeats: Heartbeats) -> None:
    """Of other versions, or two of one moment."""
    heartbeats.hear({"type": "worker-offline", "hostname": "worker-1@host", "timestamp": 99.0})
    heartbeats.hear(beat(10, at=100.0))
    heartbeats.hear(beat(20, at=100.0))
    assert heartbeats.gauges["worker-1"].rate == 0.0
