"""What is believed of a message, by the way it came."""

from typing import Any

import pytest

from qt_events.rabbitmq.provenance import ASTRAY, PUBLISHED, RETURNED, Provenance
from qt_events.rabbitmq.topology import Topology

TOPOLOGY = Topology("qt")
AUDIT = Provenance(TOPOLOGY, "audit", "audit")
STATE = Provenance(TOPOLOGY, "state", "state.0123456789ab")


def came(exchange: str, key: str) -> dict[str, Any]:
    return {"exchange": exchange, "routing_key": key}


def died(queue: str, exchange: str | None = None) -> dict[str, Any]:
    return {"queue": queue, "exchange": queue if exchange is None else exchange, "reason": "expired", "count": 1}


EXPIRED_IN_A_LEVEL = {"x-death": [died("qt.retry.100")]}


def test_what_is_published_is_believed_to_be_published() -> None:
    """Whatever headers it has, but for those of the broker's dead-lettering."""
    assert AUDIT.of(came("qt.events", "trade.executed"), {"qt-type": "x", "CC": ["y"]}) == PUBLISHED


@pytest.mark.parametrize(
    ("whose", "delivery", "headers"),
    [
        (AUDIT, came("", "qt.sub.audit"), {}),
        (AUDIT, came("qt.redeliver", "audit"), {}),
        (AUDIT, came("qt.redeliver", "audit"), EXPIRED_IN_A_LEVEL),
        (AUDIT, came("qt.quarantine", "audit"), {}),
        (STATE, came("qt.redeliver", "state.0123456789ab"), EXPIRED_IN_A_LEVEL),
    ],
)
def test_what_comes_back_by_our_ways_is_believed(
    whose: Provenance, delivery: dict[str, Any], headers: dict[str, Any]
) -> None:
    """Sent back by an operator, from a delay level, into quarantine, or put straight into the queue."""
    assert whose.of(delivery, headers) == RETURNED


@pytest.mark.parametrize(
    ("delivery", "headers"),
    [
        (came("qt.events", "trade.executed"), {"x-death": [died("qt.sub.other")]}),
        (came("qt.events", "trade.executed"), EXPIRED_IN_A_LEVEL),
        (came("qt.redeliver", "other"), EXPIRED_IN_A_LEVEL),
        (came("qt.redeliver", "audit"), {"x-death": [died("qt.retry.100", exchange="qt.sub.mine")]}),
        (came("qt.redeliver", "audit"), {"x-death": [died("qt.retry.100"), died("qt.sub.mine")]}),
        (came("qt.redeliver", "audit"), {"x-death": [died("qt.sub.mine")]}),
        (came("qt.redeliver", "audit"), {"x-death": [died("qt.retry.123")]}),
        (came("qt.redeliver", "audit"), {"x-death": ["qt.retry.100"]}),
        (came("qt.redeliver", "audit"), {"x-death": "qt.retry.100"}),
        (came("qt.quarantine", "other"), {}),
        (came("qt.quarantine", "audit"), {"x-death": [died("qt.sub.mine")]}),
        (came("qt.dead", "audit"), {}),
        (came("qt.sub.mine", "trade.executed"), {}),
        (came("amq.topic", "trade.executed"), {}),
    ],
)
def test_what_comes_by_any_other_way_is_astray(delivery: dict[str, Any], headers: dict[str, Any]) -> None:
    """By another's key, out of a queue or through an exchange that somebody made."""
    assert AUDIT.of(delivery, headers) == ASTRAY


def test_a_broadcasts_instance_takes_no_other_instances_returns() -> None:
    """Each process has its own."""
    assert STATE.of(came("qt.redeliver", "state"), {}) == ASTRAY
    assert STATE.of(came("qt.redeliver", "state.ffffffffffff"), {}) == ASTRAY


@pytest.mark.parametrize(
    ("delivery", "headers", "genuine"),
    [
        (came("qt.dead", "state"), {}, True),
        (came("qt.dead", "state"), {"x-death": [died("qt.sub.state.0123456789ab", "qt.events")]}, True),
        (came("", "qt.dead.state"), {}, True),
        (came("qt.dead", "other"), {}, False),
        (came("qt.dead", "state"), {"x-death": [died("qt.sub.other", "qt.events")]}, False),
        (came("qt.sub.mine", "state"), {}, False),
    ],
)
def test_a_dead_letter_is_its_subscriptions_own(
    delivery: dict[str, Any], headers: dict[str, Any], genuine: bool
) -> None:
    """From its workers, or expired in its queue."""
    assert STATE.is_dead_letter(delivery, headers) is genuine
