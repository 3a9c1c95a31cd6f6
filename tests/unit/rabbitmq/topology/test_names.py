"""Names and delay levels of everything on the broker."""

import pytest
from amqp.exceptions import NotFound, PreconditionFailed
from hypothesis import given
from hypothesis import strategies as st

from qt_events.delivery.retry import MAX_DELAY
from qt_events.errors import InvalidOptionError
from qt_events.rabbitmq.connection.refusals import topology_error
from qt_events.rabbitmq.topology.names import Topology
from qt_events.rabbitmq.topology.object_names import FIRST_LEVEL

DELAYS = st.floats(min_value=0, max_value=MAX_DELAY)


def test_names_are_those_of_the_design() -> None:
    """Every name begins with the prefix and ends with its owner."""
    topology = Topology("qt")
    assert (topology.events, topology.redeliver, topology.lost) == (
        "qt.events",
        "qt.redeliver",
        "qt.lost",
    )
    assert topology.queue("risk_guard") == "qt.sub.risk_guard"
    assert topology.dead("risk_guard") == "qt.dead.risk_guard"
    assert topology.quarantine("risk_guard") == "qt.quarantine.risk_guard"


@pytest.mark.parametrize(
    ("delay", "level"),
    [
        (0, 100),
        (0.1, 100),
        (0.1001, 200),
        (0.5, 800),
        (1, 1600),
        (60, 102_400),
        (MAX_DELAY, 838_860_800),
    ],
)
def test_a_delay_takes_the_smallest_level_that_holds_it(delay: float, level: int) -> None:
    """Levels double from 100 ms."""
    assert Topology("qt").level(delay) == (f"qt.retry.{level}", level)


@given(DELAYS)
def test_a_level_is_never_shorter_than_the_delay_and_at_most_twice_as_long(delay: float) -> None:
    """The level's own TTL must not send an event back early, nor late by more than one level."""
    _, level = Topology("qt").level(delay)
    assert level >= delay * 1000
    assert level == FIRST_LEVEL or level < 2 * delay * 1000


@given(DELAYS)
def test_an_expiration_is_never_early_and_fits_its_level(delay: float) -> None:
    """RabbitMQ takes whole milliseconds.

    They are rounded up to at least 1: 0 would expire on arrival.
    """
    expiration = int(Topology.expiration(delay))
    assert expiration >= max(1, delay * 1000)
    assert expiration < delay * 1000 + 1 or expiration == 1
    assert expiration <= Topology("qt").level(delay)[1]


@pytest.mark.parametrize("prefix", ["", ".qt", "-qt", "a b", "qt/", "é", "x" * 41, "qt\n", None, 7])
def test_a_bad_prefix_is_refused(prefix: object) -> None:
    """Every name on the broker begins with it, and permission patterns contain it."""
    with pytest.raises(InvalidOptionError, match="prefix="):
        Topology(prefix)  # type: ignore[arg-type]


@pytest.mark.parametrize("prefix", ["qt.sub", "qt.dead.x", "a.b.retry", "qt.quarantine"])
def test_a_prefix_whose_queues_another_prefix_has_is_refused(prefix: str) -> None:
    """`qt.sub.sub.x` would be a queue of the prefix `qt` and of the prefix `qt.sub`."""
    with pytest.raises(InvalidOptionError, match=r"would begin names.*use none of"):
        Topology(prefix)


@pytest.mark.parametrize("prefix", ["q", "_qt", "qt.test-1", "x" * 40, "sub", "qt.subs"])
def test_a_sane_prefix_is_taken(prefix: str) -> None:
    """Letters, digits, '_', '.' and '-', up to 40 of them."""
    assert Topology(prefix).events == f"{prefix}.events"


@pytest.mark.parametrize("queue_type", ["", "stream", "Quorum", None, []])
def test_a_bad_queue_type_is_refused(queue_type: object) -> None:
    """Only quorum and classic queues are work queues."""
    with pytest.raises(InvalidOptionError, match="queue_type="):
        Topology("qt", queue_type)  # type: ignore[arg-type]


def test_a_refused_declaration_names_what_it_is_about_and_the_brokers_words() -> None:
    """The broker's own text names the queue and the argument that differs."""
    refusal = PreconditionFailed(
        "inequivalent arg 'x-queue-type' for queue 'qt.sub.a' in vhost '/'"
    )
    text = str(topology_error(refusal, "subscription 'a'"))
    assert "subscription 'a'" in text
    assert "'x-queue-type' for queue 'qt.sub.a'" in text
    assert "another prefix" in text


def test_something_missing_is_told_from_something_different() -> None:
    """A NotFound is no argument that differs."""
    assert "missing" in str(
        topology_error(NotFound("no exchange 'qt.events'"), "delay level 'qt.retry.100'")
    )
