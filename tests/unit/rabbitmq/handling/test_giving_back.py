"""Decision about an event that only another release of its subscription can handle."""

from datetime import UTC, datetime, timedelta

import pytest

from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, GivenBack, consequences
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.errors import MessageError, NewerReleaseError
from qt_events.rabbitmq.handling.giving_back import ROLLOUT, given_back, unknown_here
from qt_events.rabbitmq.messages.envelope import Envelope

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
UNKNOWN = unknown_here(Subscription("guard", print, ("order.placed",)), "order.cancelled")


def envelope(**headers: object) -> Envelope:
    named = {f"qt-{name.replace('_', '-')}": value for name, value in headers.items()}
    return Envelope("guard", "guard", b"{}", {"message_id": "1"}, named, "order.cancelled")


def test_the_pauses_grow_until_a_release_should_be_out() -> None:
    """Slowly, so that one new worker of ten gets nearly all; their sum is the rollout."""
    pauses, now, event = [], NOW, envelope(attempt=3)
    while isinstance(outcome := given_back(event, UNKNOWN, ROLLOUT, now), GivenBack):
        pauses.append(outcome.delay)
        now += timedelta(seconds=outcome.delay)
        headers = event.retry_headers(consequences(outcome))
        assert headers["qt-attempt"] == 3
        event = Envelope("guard", "guard", b"{}", {"message_id": "1"}, headers, "guard")
        assert event.event_type == "order.cancelled"
    assert pauses[:-1] == sorted(pauses[:-1])
    assert (pauses[0], max(pauses)) == (0.5, 10)
    assert 0.9 ** len(pauses) < 0.001
    assert sum(pauses) == pytest.approx(ROLLOUT)
    assert isinstance(outcome, DeadLetter)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UNKNOWN, DeadLetterReason.UNKNOWN_HERE),
        (NewerReleaseError("version 2"), DeadLetterReason.UNDECODABLE),
    ],
)
def test_at_last_it_is_a_dead_letter_that_says_why(
    error: MessageError, reason: DeadLetterReason
) -> None:
    """The text names what is heard here, and what came."""
    since = (NOW - timedelta(seconds=ROLLOUT)).isoformat()
    outcome = given_back(envelope(given_back=since), error, ROLLOUT, NOW)
    assert isinstance(outcome, DeadLetter)
    assert outcome.reason is reason
    assert outcome.failure.message == str(error)
    assert "'order.placed'" in str(UNKNOWN)
    assert "'order.cancelled'" in str(UNKNOWN)


@pytest.mark.parametrize("since", ["9999-12-31T00:00:00+00:00", "never", 7, None, ""])
def test_a_time_that_cannot_be_counts_as_now(since: object) -> None:
    """A clock that is ahead, or a header of the wrong kind, keeps no event for ever."""
    outcome = given_back(envelope(given_back=since), UNKNOWN, ROLLOUT, NOW)
    assert outcome == GivenBack(0.5, NOW, outcome.failure)


def test_quarantine_keeps_the_time() -> None:
    """An event that is isolated meanwhile does not begin to wait anew."""
    event = envelope(given_back=NOW.isoformat())
    assert event.quarantine_headers()["qt-given-back"] == NOW.isoformat()
    assert "qt-given-back" not in envelope().quarantine_headers()
