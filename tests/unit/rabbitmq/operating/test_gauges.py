"""Gauges: figures from RabbitMQ's rows and from workers' heartbeats."""

import socket
import threading
from typing import Any

import celery
import pytest

from qt_events import CeleryEventBus
from qt_events.rabbitmq.operating.gauges import (
    Heartbeats,
    QueueGauge,
    WorkerGauge,
    dead_letters,
    nodes_online,
    queue_gauges,
)
from qt_events.rabbitmq.topology.names import Topology

QT = Topology("qt")


def row(  # noqa: PLR0917  # a row's columns
    name: str,
    ready: int = 0,
    unacked: int = 0,
    consumers: int = 1,
    come: float = 0,
    done: float = 0,
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
    """Order: waiting and held events, then rate, then name."""
    rows = [
        row("qt.sub.c"),
        row("qt.sub.b", done=5),
        row("qt.sub.a"),
        row("qt.sub.z", unacked=3),
        row("qt.sub.y", ready=4),
    ]
    assert [each.name for each in queue_gauges(QT, rows)] == ["y", "z", "b", "a", "c"]


def test_only_subscriptions_queues_are_gauged() -> None:
    """Delay levels, dead letters and Celery's own queues have no gauge."""
    rows = [
        row("qt.sub.a", 1, 2, 3, 4.5, 5.5),
        row("qt.dead.a"),
        row("qt.retry.100"),
        row("celery"),
        row("w@h.qt.pidbox"),
    ]
    assert queue_gauges(QT, rows) == [QueueGauge("a", 1, 2, 3, 4.5, 5.5)]


def test_a_broadcasts_queues_are_one_gauge() -> None:
    """Queue names differ by the process. A similar name is another subscription."""
    rows = [
        row("qt.sub.a.on_x.0123456789ab", 1, 1),
        row("qt.sub.a.on_x.ba9876543210", 2, 0),
        row("qt.sub.a.on_x.abc", 7),
    ]
    assert queue_gauges(QT, rows) == [
        QueueGauge("a.on_x.abc", 7, 0, 1),
        QueueGauge("a.on_x", 3, 1, 2),
    ]


def test_a_queue_without_figures_is_empty() -> None:
    """RabbitMQ has no figures of a new queue at first."""
    assert queue_gauges(QT, [{"name": "qt.sub.new"}]) == [QueueGauge("new")]


def test_dead_letters_are_counted_over_all_subscriptions() -> None:
    """`qt-events dead-letters` and Flower show them by subscription."""
    assert (
        dead_letters(
            QT,
            [row("qt.dead.a", 2), row("qt.dead.b", 3), row("qt.sub.a", 9), {"name": "qt.dead.new"}],
        )
        == 5
    )


def test_queues_of_another_prefix_are_another_buss() -> None:
    """Two buses on one broker are two."""
    rows = [row("shop.sub.a", 1), row("qt.sub.a", 2), row("shop.dead.a", 3), row("qt.dead.a", 4)]
    assert queue_gauges(Topology("shop"), rows) == [QueueGauge("a", 1, 0, 1)]
    assert dead_letters(Topology("shop"), rows) == 3


@pytest.fixture
def app() -> celery.Celery:
    return CeleryEventBus("amqp://localhost//", prefix="shop").app


def test_a_worker_is_online_once_it_consumes_its_control_queue(app: celery.Celery) -> None:
    """A worker claims the queue long before. Without a consumer it is too early."""
    rows = [
        row("a@host.celery.pidbox", consumers=1),
        row("b@host.celery.pidbox", consumers=0),
        {"name": "c@host.celery.pidbox"},
        row("d@host.qt.pidbox"),
        row("shop.sub.a"),
    ]
    assert nodes_online(app, rows) == {"a"}


@pytest.fixture
def heartbeats(app: celery.Celery) -> Heartbeats:
    return Heartbeats(app)


def beat(processed: int, at: float, hostname: str = "worker-1@host") -> dict[str, Any]:
    told = {"processed": processed, "active": 2, "pid": 77}
    return {"type": "worker-heartbeat", "hostname": hostname, "timestamp": at, **told}


def test_a_rate_is_taken_between_two_heartbeats(heartbeats: Heartbeats) -> None:
    """The first one alone has no rate."""
    heartbeats.hear(beat(10, at=100.0))
    assert heartbeats.gauges == {
        "worker-1": WorkerGauge(pid=77, handled=10, active=2, rate=0.0, at=100.0)
    }
    heartbeats.hear(beat(60, at=102.0))
    assert heartbeats.gauges["worker-1"].rate == 25.0


def test_workers_are_told_apart_by_name(heartbeats: Heartbeats) -> None:
    """Each worker has a rate of its own."""
    heartbeats.hear(beat(10, at=100.0))
    heartbeats.hear(beat(500, at=102.0, hostname="worker-2@host"))
    assert {name: gauge.rate for name, gauge in heartbeats.gauges.items()} == {
        "worker-1": 0.0,
        "worker-2": 0.0,
    }


def test_what_holds_no_figures_or_no_time_passes_by(heartbeats: Heartbeats) -> None:
    """Heartbeats of other versions, or two of one moment."""
    heartbeats.hear({"type": "worker-offline", "hostname": "worker-1@host", "timestamp": 99.0})
    heartbeats.hear(beat(10, at=100.0))
    heartbeats.hear(beat(20, at=100.0))
    assert heartbeats.gauges["worker-1"].rate == 0.0


def test_listening_to_a_broker_that_is_gone_ends_when_asked() -> None:
    """kombu's own pauses between two attempts, two seconds and more, are not waited for."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        port = server.getsockname()[1]
        listening = Heartbeats(CeleryEventBus(f"amqp://127.0.0.1:{port}//").app)
        listening.start()
        server.accept()[0].close()
    listening.stop()
    assert "heartbeats" not in {thread.name for thread in threading.enumerate()}
