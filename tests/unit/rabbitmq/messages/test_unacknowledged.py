"""Outcomes that the broker did not hear of are used when their messages come again, once."""

from typing import Any

from qt_events.delivery.outcome import HANDLED
from qt_events.rabbitmq.messages.envelope import AGAIN, Envelope
from qt_events.rabbitmq.messages.unacknowledged import UnacknowledgedEvents


def envelope(returns: int = 0, attempt: int = 1, *, id: str = "1", **changes: Any) -> Envelope:
    headers: dict[str, Any] = {"x-delivery-count": returns, "qt-attempt": attempt}
    return Envelope("s", "s", b"{}", {"message_id": id}, headers, "e", **changes)


def test_an_outcome_is_known_until_it_is_taken() -> None:
    """One message comes again once for each time that it was lost."""
    known = UnacknowledgedEvents()
    known.add(envelope(), HANDLED)
    assert known.knows(envelope(3))
    assert known.take(envelope(3)) is HANDLED
    assert not known.knows(envelope(3))


def test_a_classic_queue_counts_nothing_and_says_that_it_comes_again() -> None:
    """The broker's flag is enough."""
    known = UnacknowledgedEvents()
    known.add(envelope(), None)
    again = Envelope("s", "s", b"{}", {"message_id": "1"}, {AGAIN: True}, "e")
    assert known.knows(again)
    assert known.take(again) is None


def test_a_message_that_never_came_before_is_handled() -> None:
    """An operator has sent back the dead letter of the same event."""
    known = UnacknowledgedEvents()
    known.add(envelope(), HANDLED)
    assert not known.knows(envelope(0))


def test_other_messages_of_the_same_event_are_not_known() -> None:
    """Its retry, its copy in quarantine, another subscription's, an event without an id."""
    known = UnacknowledgedEvents()
    known.add(envelope(), HANDLED)
    known.add(envelope(id=""), HANDLED)
    others = (
        envelope(1, 2),
        envelope(1, quarantined=True),
        envelope(1, id=""),
        envelope(1, id="2"),
    )
    assert not any(map(known.knows, others))


def test_outcomes_do_not_pile_up() -> None:
    """The oldest are forgotten."""
    known = UnacknowledgedEvents()
    for number in range(20_000):
        known.add(envelope(id=str(number)), None)
    assert not known.knows(envelope(1, id="0"))
    assert known.knows(envelope(1, id="19999"))
