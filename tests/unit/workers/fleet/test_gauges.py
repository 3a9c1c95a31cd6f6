"""Gauges: a fleet at one moment."""

from typing import Any

import pytest

from qt_events import CeleryEventBus
from qt_events.rabbitmq.operating.gauges import QueueGauge
from workers.fleet.gauges import ONLINE, STARTING, Gauges, Reading

ROWS = [
    {"name": "w1@host.celery.pidbox", "consumers": 1},
    {"name": "w2@host.celery.pidbox", "consumers": 0},
    {"name": "w3@host.celery.pidbox", "consumers": 1},
    {"name": "shop.sub.executor.on_orders", "messages_ready": 2},
    {"name": "shop.dead.executor.on_orders", "messages": 3},
]


@pytest.fixture
def gauges() -> Gauges:
    return Gauges(CeleryEventBus("amqp://localhost//", prefix="shop"))


def test_a_reading_is_of_the_buss_own_names(gauges: Gauges) -> None:
    """The prefix of the bus does not matter."""
    reading = gauges.read(ROWS, {"w1": None}, "day 1")
    assert reading == Reading(
        {"w1": ONLINE}, {}, [QueueGauge("executor.on_orders", waiting=2)], 3, "day 1"
    )


def test_how_a_worker_ended_is_its_state(gauges: Gauges) -> None:
    """The broker may still list it. A worker that is not online yet is starting."""
    reading = gauges.read(
        ROWS, {"w1": None, "w2": None, "w3": "was killed by SIGKILL", "w4": None}, ""
    )
    assert reading.workers == {
        "w1": ONLINE,
        "w2": STARTING,
        "w3": "was killed by SIGKILL",
        "w4": STARTING,
    }
    assert reading.starting == ["w2", "w4"]


def test_a_subscription_is_served_when_somebody_consumes(gauges: Gauges) -> None:
    rows: list[dict[str, Any]] = [
        {"name": "shop.sub.history", "consumers": 1},
        {"name": "shop.sub.executor"},
    ]
    assert gauges.read(rows, {}, "").consumed == {"history"}
