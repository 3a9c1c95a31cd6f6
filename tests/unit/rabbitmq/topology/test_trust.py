"""Provenance: headers that are believed, by the route of a message."""

from typing import Any

import pytest

from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.trust import ASTRAY, BURIED, PUBLISHED, RETURNED, Provenance

TOPOLOGY = Topology("qt")
AUDIT = Provenance(TOPOLOGY, "audit", "audit")
STATE = Provenance(TOPOLOGY, "state", "state.0123456789ab")


def came(exchange: str, key: str) -> dict[str, Any]:
    return {"exchange": exchange, "routing_key": key}


def died(queue: str, exchange: str | None = None) -> dict[str, Any]:
    return {
        "queue": queue,
        "exchange": queue if exchange is None else exchange,
        "reason": "expired",
        "count": 1,
    }


EXPIRED_IN_A_LEVEL = {"x-death": [died("qt.retry.100")]}


def test_what_is_published_is_believed_to_be_published() -> None:
    """Only the headers of the broker's dead-lettering matter."""
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
    """Routes: from an operator, a delay level, into quarantine, straight into the queue."""
    assert whose.of(delivery, headers) == RETURNED


@pytest.mark.parametrize(
    ("delivery", "headers"),
    [
        (came("qt.events", "trade.executed"), {"x-death": [died("qt.sub.other")]}),
        (came("qt.events", "trade.executed"), EXPIRED_IN_A_LEVEL),
        (came("qt.redeliver", "other"), EXPIRED_IN_A_LEVEL),
        (
            came("qt.redeliver", "audit"),
            {"x-death": [died("qt.retry.100", exchange="qt.sub.mine")]},
        ),
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
def test_what_comes_by_any_other_way_is_astray(
    delivery: dict[str, Any], headers: dict[str, Any]
) -> None:
    """Examples: another subscription's key, a queue or an exchange that somebody made."""
    assert AUDIT.of(delivery, headers) == ASTRAY


def test_a_broadcasts_instance_takes_no_other_instances_returns() -> None:
    """Returns go to one process."""
    assert STATE.of(came("qt.redeliver", "state"), {}) == ASTRAY
    assert STATE.of(came("qt.redeliver", "state.ffffffffffff"), {}) == ASTRAY


def dropped(queue: str, exchange: str, *keys: str) -> dict[str, Any]:
    return {**died(queue, exchange), "routing-keys": list(keys)}


DEAD = came("qt.dead", "state")
GIVEN = {"qt-type": "x.y", "qt-attempt": 3, "qt-reason": "exhausted"}
OF_STATE = "qt.sub.state.0123456789ab"


@pytest.mark.parametrize(
    ("delivery", "deaths", "origin"),
    [
        (DEAD, [], BURIED),
        (came("", "qt.dead.state"), [], BURIED),
        (DEAD, [dropped(OF_STATE, "qt.events", "a.b")], PUBLISHED),
        (came("", "qt.dead.state"), [dropped(OF_STATE, "qt.events", "a.b")], PUBLISHED),
        (DEAD, [dropped(OF_STATE, "", OF_STATE)], RETURNED),
        (DEAD, [dropped(OF_STATE, "qt.redeliver", "state.0123456789ab")], RETURNED),
        (
            DEAD,
            [dropped(OF_STATE, "qt.redeliver", "state.0123456789ab"), died("qt.retry.100")],
            RETURNED,
        ),
        (DEAD, [dropped("qt.quarantine.state", "qt.quarantine", "state")], RETURNED),
        (came("qt.dead", "other"), [], ASTRAY),
        (came("qt.sub.mine", "state"), [], ASTRAY),
        (DEAD, [dropped("qt.sub.other", "qt.events", "a.b")], ASTRAY),
        (DEAD, [dropped(OF_STATE, "qt.events", "a.b"), died("qt.sub.mine")], ASTRAY),
        (DEAD, [dropped(OF_STATE, "qt.sub.mine", "a.b")], ASTRAY),
        (DEAD, [dropped(OF_STATE, "qt.quarantine", "state")], ASTRAY),
        (DEAD, [dropped("qt.quarantine.state", "qt.events", "a.b")], ASTRAY),
        (DEAD, [dropped(OF_STATE, "qt.redeliver", "other")], ASTRAY),
        (DEAD, [dropped(OF_STATE, "qt.redeliver", "other", "state.0123456789ab")], ASTRAY),
        (DEAD, [dropped(OF_STATE, "qt.redeliver")], ASTRAY),
        (DEAD, [died("qt.retry.100")], ASTRAY),
        (DEAD, [died("qt.retry.100"), dropped(OF_STATE, "qt.redeliver", "state")], ASTRAY),
        (DEAD, ["qt.sub.state"], ASTRAY),
    ],
)  # fmt: skip
def test_a_dead_letter_is_buried_by_a_worker_or_dropped_by_the_broker(
    delivery: dict[str, Any], deaths: list[Any], origin: str
) -> None:
    """The broker drops it from a queue of its subscription, into which a known route had led."""
    assert (
        STATE.of_dead_letter(delivery, {**GIVEN, **({"x-death": deaths} if deaths else {})})
        == origin
    )


def test_of_a_dead_letter_only_what_its_way_vouches_for_is_believed() -> None:
    """All headers of a worker, those of our copies for a return, none for a published event."""
    first = {"x-death": [dropped("qt.sub.audit", "qt.events", "a.b")]}
    returned = {"x-death": [dropped("qt.sub.audit", "qt.redeliver", "audit"), died("qt.retry.100")]}
    way = came("qt.dead", "audit")
    assert AUDIT.believed(way, GIVEN) == GIVEN
    assert AUDIT.believed(way, {**GIVEN, **first}) == first
    assert AUDIT.believed(way, {**GIVEN, **returned}) == {
        "qt-type": "x.y",
        "qt-attempt": 3,
        **returned,
    }
    assert AUDIT.believed(came("qt.sub.mine", "audit"), GIVEN) is None
