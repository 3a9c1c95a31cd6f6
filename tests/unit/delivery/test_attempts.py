"""Attempts: the count that a backend carries from one attempt to the next."""

from datetime import UTC, datetime

from qt_events.delivery.attempts import FIRST
from qt_events.delivery.outcome import Failure, Retry, consequences


def test_the_first_attempt_has_no_failure_before_it() -> None:
    """Its number is 1."""
    assert (FIRST.next, FIRST.first_failed) == (1, None)


def test_each_failure_counts_and_the_time_of_the_first_one_stays() -> None:
    """The time is in UTC."""
    before = datetime.now(UTC)
    second = FIRST.after_failure()
    third = second.after_failure()
    assert (second.next, third.next) == (2, 3)
    assert second.first_failed is not None
    assert before <= second.first_failed <= datetime.now(UTC)
    assert third.first_failed == second.first_failed


def test_only_a_failure_counts_as_an_attempt() -> None:
    """An event that comes again without having failed has its number once more."""
    failed = consequences(Retry(1.0, Failure("OSError", "away")))
    assert FIRST.after(failed).next == 2
    assert FIRST.after(failed._replace(failure=None)) == FIRST
