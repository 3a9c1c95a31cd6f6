"""What differs on the broker, read from its own words: those of RabbitMQ 3.10.8."""

import pytest

from qt_events.rabbitmq.connection.refusals import Difference

PRECONDITION = "PRECONDITION_FAILED - inequivalent arg "


@pytest.mark.parametrize(
    ("told", "difference"),
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
            "'x-message-ttl' for queue 'qt.retry.100' in vhost '/': received '100' but current is '200'",
            Difference("queue", "qt.retry.100", "x-message-ttl", "100", "200"),
        ),
        (
            "'type' for exchange 'qt.events' in vhost '/': received 'topic' but current is 'fanout'",
            Difference("exchange", "qt.events", "type", "topic", "fanout"),
        ),
    ],
)
def test_a_refusal_tells_what_differs(told: str, difference: Difference) -> None:
    """Which queue or exchange, which argument, what stands there and what was declared."""
    assert Difference.from_refusal(PRECONDITION + told) == difference


def test_a_difference_reads_as_a_sentence() -> None:
    """An argument that is not there is said to be not set."""
    assert (
        str(Difference("queue", "qt.sub.a", "x-max-length", None, "5"))
        == "queue 'qt.sub.a' stands on the broker with other arguments: x-max-length is '5' there and should be not set"
    )


@pytest.mark.parametrize(
    "told", ["", "NOT_FOUND - no queue 'a' in vhost '/'", "RESOURCE_LOCKED - cannot obtain"]
)
def test_any_other_refusal_is_no_difference(told: str) -> None:
    """Nothing is made up."""
    assert Difference.from_refusal(told) is None
