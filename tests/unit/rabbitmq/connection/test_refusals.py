"""Differences on the broker, read from the texts of RabbitMQ 3.10.8."""

import pytest
from amqp.exceptions import AccessRefused, PreconditionFailed

from qt_events.rabbitmq.connection.refusals import difference, topology_error

PRECONDITION = "PRECONDITION_FAILED - inequivalent arg "


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            (
                "'x-max-length' for queue 'qt.sub.a' in vhost '/': "
                "received none but current is the value '5' of type 'signedint'"
            ),
            (
                "queue 'qt.sub.a' exists on the broker with other arguments: "
                "x-max-length is '5' there and should be not set"
            ),
        ),
        (
            (
                "'x-queue-type' for queue 'qt.dead.a' in vhost 'v': "
                "received the value 'quorum' of type 'longstr' but current is none"
            ),
            (
                "queue 'qt.dead.a' exists on the broker with other arguments: "
                "x-queue-type is not set there and should be 'quorum'"
            ),
        ),
        (
            (
                "'x-message-ttl' for queue 'qt.retry.100' in vhost '/': "
                "received '100' but current is '200'"
            ),
            (
                "queue 'qt.retry.100' exists on the broker with other arguments: "
                "x-message-ttl is '200' there and should be '100'"
            ),
        ),
        (
            (
                "'type' for exchange 'qt.events' in vhost '/': "
                "received 'topic' but current is 'fanout'"
            ),
            (
                "exchange 'qt.events' exists on the broker with other arguments: "
                "type is 'fanout' there and should be 'topic'"
            ),
        ),
    ],
)
def test_a_refusal_tells_what_differs(text: str, sentence: str) -> None:
    """The sentence names queue or exchange, the argument and both values; none is `not set`."""
    assert difference(PRECONDITION + text) == sentence


@pytest.mark.parametrize(
    "text", ["", "NOT_FOUND - no queue 'a' in vhost '/'", "RESOURCE_LOCKED - cannot obtain"]
)
def test_any_other_refusal_is_no_difference(text: str) -> None:
    assert difference(text) is None


def test_what_is_not_permitted_is_for_an_administrator() -> None:
    """Neither another prefix nor a deletion would help."""
    error = AccessRefused("ACCESS_REFUSED - configure access to exchange 'qt.x' refused")
    text = str(topology_error(error, "subscription 'guard'"))
    assert "subscription 'guard': this user may not declare" in text
    assert "'qt.x' refused; run `qt-events topology declare`" in text
    assert "prefix" not in text
    assert "prefix" in str(topology_error(PreconditionFailed("x-max-priority"), "it"))
