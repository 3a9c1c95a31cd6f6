"""The journal knows what is under way, whichever comes first: the publish or its outcome."""

from typing import Any

from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import DeadLetter, DeadLetterReason, Done, Failure, Outcome, Retry
from qt_events.delivery.subscribing.subscription import Subscription
from qt_events.events.event import Event
from qt_events.testing.journal import Journal

FAILURE = Failure("OSError", "gone")
HERE = Subscription("here", print)


def attempt(event: Event[Any], outcome: Outcome, number: int = 1) -> Attempt:
    return Attempt(event.id, event.type, "here", number, outcome)


def test_a_published_event_moves_until_it_was_attempted() -> None:
    """The event is done after that, or waits for a retry, which only a timer ends."""
    journal, event = Journal(), Event("a")
    journal.published(event, [HERE])
    assert (journal.moving, journal.only_waits(1)) == (True, False)
    journal.concluded(attempt(event, Retry(1, FAILURE)))
    assert (journal.moving, journal.only_waits(1)) == (False, True)
    assert not journal.only_waits(0), "its timer has fired: the next attempt is under way"
    journal.concluded(attempt(event, Done(), 2))
    assert (journal.open, journal.moving, journal.only_waits(1)) == ({}, False, False)


def test_an_outcome_may_come_before_its_publish_is_confirmed() -> None:
    """RabbitMQ may be that fast: the delivery is not open again."""
    journal, event = Journal(), Event("a")
    journal.concluded(attempt(event, Done()))
    journal.published(event, [HERE])
    assert journal.open == {}


def test_a_dead_letter_that_was_sent_back_and_handled_is_dead_no_more() -> None:
    """The last attempt counts."""
    journal, event = Journal(), Event("a")
    journal.published(event, [HERE])
    dead = attempt(event, DeadLetter(DeadLetterReason.EXHAUSTED, FAILURE), 5)
    journal.concluded(dead)
    assert journal.dead == [dead]
    journal.concluded(attempt(event, Retry(1, FAILURE)))
    assert list(journal.open) == [(event.id, "here")]
    journal.concluded(attempt(event, Done(), 2))
    assert (journal.dead, journal.open) == ([], {})


def test_attempts_are_found_by_subscription_and_by_event() -> None:
    """Attempts come oldest first."""
    journal, one, other = Journal(), Event("a"), Event("b")
    attempts = [attempt(one, Done()), attempt(other, Done(handled=False))]
    for each in attempts:
        journal.concluded(each)
    assert journal.of() == journal.of("here") == attempts
    assert journal.of("here", other) == attempts[1:]
    assert journal.of("there") == []
