"""Outcomes, what follows from each of them, and the count of attempts."""

from datetime import UTC, datetime
from typing import get_args

import pytest

from qt_events.delivery.outcome import (
    FIRST,
    Consequences,
    DeadLetter,
    DeadLetterReason,
    Deduplicated,
    Done,
    Failure,
    GivenBack,
    Outcome,
    Retry,
    consequences,
)
from qt_events.delivery.stats import Stats

NOW = datetime(2026, 11, 30, tzinfo=UTC)
FAILURE = Failure("OSError", "away", "Traceback")
EXHAUSTED = DeadLetter(DeadLetterReason.EXHAUSTED, FAILURE)
REVOKED = DeadLetter(DeadLetterReason.REVOKED, FAILURE)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Done(), Consequences("delivered", "succeeded")),
        (Done(handled=False), Consequences("filtered", "succeeded")),
        (Deduplicated(), Consequences("deduplicated", "succeeded")),
        (
            GivenBack(2.5, NOW, FAILURE),
            Consequences("given_back", "retried", FAILURE, again_after=2.5, since=NOW),
        ),
        (Retry(2.5, FAILURE), Consequences("retried", "retried", FAILURE, again_after=2.5)),
        (Retry(0, FAILURE), Consequences("retried", "retried", FAILURE, again_after=0)),
        (EXHAUSTED, Consequences("dead_lettered", "failed", FAILURE, dead_letter=EXHAUSTED)),
        (REVOKED, Consequences("dead_lettered", "revoked", FAILURE, dead_letter=REVOKED)),
    ],
    ids=[
        "handled",
        "skipped",
        "before",
        "given back",
        "retry",
        "retry at once",
        "dead letter",
        "revoked",
    ],
)
def test_consequences_of_each_outcome(outcome: Outcome, expected: Consequences) -> None:
    """One pure function says what is counted, told, published and kept."""
    assert consequences(outcome) == expected


@pytest.mark.parametrize("outcome", get_args(Outcome), ids=lambda outcome: outcome.__name__)
def test_every_outcome_has_a_counter_in_stats(outcome: type[Outcome]) -> None:
    """An outcome that is counted nowhere would be lost in silence."""
    made: dict[type, Outcome] = {
        Done: Done(),
        Deduplicated: Deduplicated(),
        Retry: Retry(1, FAILURE),
        DeadLetter: EXHAUSTED,
        GivenBack: GivenBack(1, NOW, FAILURE),
    }
    assert getattr(Stats(), consequences(made[outcome]).counter) == {}


def test_the_values_of_the_reasons_are_those_on_the_wire() -> None:
    """They stand in the header qt-reason of dead letters that are on brokers today."""
    assert [str(reason) for reason in DeadLetterReason] == [
        "exhausted",
        "gave_up",
        "rejected",
        "revoked",
        "undecodable",
        "unknown_here",
        "mistyped",
        "poison",
        "expired",
        "maxlen",
        "forged",
        "unknown",
    ]


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
