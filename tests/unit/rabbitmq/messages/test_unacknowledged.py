"""Events with an outcome whose acknowledgement the broker does not hear."""

import pytest

from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, Failure
from qt_events.limits import MAX_PREFETCH
from qt_events.rabbitmq.messages import unacknowledged
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.unacknowledged import UnacknowledgedEvents

FAILED = DeadLetter(DeadLetterReason.EXHAUSTED, Failure("OSError", "no"))


def envelope(redelivered: bool, *, id: str = "1") -> Envelope:
    headers = {"x-delivery-count": 1} if redelivered else {}
    return Envelope("guard", "guard", b"{}", {"message_id": id}, headers, "order.placed")


def test_an_outcome_is_used_once() -> None:
    """The next message with the same id and attempt is another one."""
    events, again = UnacknowledgedEvents(), envelope(redelivered=True)
    events.add(again, FAILED)
    assert not events.knows(envelope(redelivered=False))
    assert events.knows(again)
    assert events.take(again) is FAILED
    assert not events.knows(again)


def test_one_that_is_safe_is_not_remembered_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later the same message may be a dead letter of another worker that was sent back."""
    now = 1_000.0
    monkeypatch.setattr(unacknowledged, "monotonic", lambda: now)
    events, again = UnacknowledgedEvents(), envelope(redelivered=True)
    events.add(again, None)
    assert events.knows(again)
    now += 601
    assert not events.knows(again)


def test_one_that_is_not_safe_is_remembered_as_long_as_the_process_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The broker may be away for longer, and the handler is not to be called again."""
    now = 1_000.0
    monkeypatch.setattr(unacknowledged, "monotonic", lambda: now)
    events, again = UnacknowledgedEvents(), envelope(redelivered=True)
    events.add(again, FAILED)
    now += 1e6
    assert events.knows(again)
    assert events.take(again) is FAILED


def test_a_consumer_holds_no_more_than_is_remembered() -> None:
    """All of it comes again when the connection is lost."""
    events = UnacknowledgedEvents()
    for n in range(MAX_PREFETCH):
        events.add(envelope(redelivered=True, id=str(n)), FAILED)
    assert events.knows(envelope(redelivered=True, id="0"))
