"""Events with an outcome whose acknowledgement the broker does not hear."""

import pytest

from qt_events.delivery.outcome import HANDLED
from qt_events.rabbitmq.messages import unacknowledged
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.unacknowledged import UnacknowledgedEvents


def envelope(redelivered: bool) -> Envelope:
    headers = {"x-delivery-count": 1} if redelivered else {}
    return Envelope("guard", "guard", b"{}", {"message_id": "1"}, headers, "order.placed")


def test_an_outcome_is_used_once_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later the same message may be a dead letter of another worker that was sent back."""
    now = 1_000.0
    monkeypatch.setattr(unacknowledged, "monotonic", lambda: now)
    events, again = UnacknowledgedEvents(), envelope(redelivered=True)
    events.add(again, HANDLED)
    assert not events.knows(envelope(redelivered=False))
    assert events.knows(again)
    assert events.take(again) is HANDLED
    assert not events.knows(again)
    events.add(again, HANDLED)
    now += 601
    assert not events.knows(again)
