"""Differences on the broker, read from the texts of RabbitMQ 3.10.8."""

import pytest

from qt_events.rabbitmq.connection.refusals import Difference

PRECONDITION = "PRECONDITION_FAILED - inequivalent arg "


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        (
            (
                "'x-max-length' for queue 'qt.sub.a' in vhost '/': "
                "received none but current is the value '5' of type 'signedint'"
            ),
            Difference("queue", "qt.sub.a", "x-max-length", None, "5"),
        ),
        (
            (
                "'x-queue-type' for queue 'qt.dead.a' in vhost 'v': "
                "received the value 'quorum' of type 'longstr' but current is none"
            ),
            Difference("queue", "qt.dead.a", "x-queue-type", "quorum", None),
        ),
        (
            (
                "'x-message-ttl' for queue 'qt.retry.100' in vhost '/': "
                "received '100' but current is '200'"
            ),
            Difference("queue", "qt.retry.100", "x-message-ttl", "100", "200"),
        ),
        (
            (
                "'type' for exchange 'qt.events' in vhost '/': "
                "received 'topic' but current is 'fanout'"
            ),
            Difference("exchange", "qt.events", "type", "topic", "fanout"),
        ),
    ],
)
def test_a_refusal_tells_what_differs(text: str, difference: Difference) -> None:
    """Its parts are the queue or exchange, the argument, and both values."""
    assert Difference.from_refusal(PRECONDITION + text) == difference


def test_a_difference_reads_as_a_sentence() -> None:
    """A missing argument is called not set."""
    assert str(Difference("queue", "qt.sub.a", "x-max-length", None, "5")) == (
        "queue 'qt.sub.a' exists on the broker with other arguments: "
        "x-max-length is '5' there and should be not set"
    )


@pytest.mark.parametrize(
    "text", ["", "NOT_FOUND - no queue 'a' in vhost '/'", "RESOURCE_LOCKED - cannot obtain"]
)
def test_any_other_refusal_is_no_difference(text: str) -> None:
    assert Difference.from_refusal(text) is None
