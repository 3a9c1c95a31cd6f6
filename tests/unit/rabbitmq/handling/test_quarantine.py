"""What becomes of an event that comes back without an outcome."""

from typing import Any

import pytest

from qt_events.rabbitmq.handling.envelope import Envelope
from qt_events.rabbitmq.handling.quarantine import (
    SUSPECT_AFTER,
    TRIALS,
    NextStep,
    SurvivedDeliveries,
    next_step,
)


def envelope(
    returns: int = 0, trials: int = 0, *, quarantined: bool = True, id: str = "1"
) -> Envelope:
    headers: dict[str, Any] = {"x-delivery-count": returns, "qt-trial": trials}
    return Envelope("s", "s", b"{}", {"message_id": id}, headers, "e", quarantined=quarantined)


@pytest.mark.parametrize("returns", range(SUSPECT_AFTER))
def test_few_returns_to_its_queue_mean_nothing(returns: int) -> None:
    """Workers restart, and connections are lost."""
    assert next_step(envelope(returns, quarantined=False)) is NextStep.HANDLE


def test_many_returns_to_its_queue_make_a_suspect() -> None:
    """It, or its neighbour, ends processes."""
    assert next_step(envelope(SUSPECT_AFTER, quarantined=False)) is NextStep.ISOLATE


@pytest.mark.parametrize("trials", range(TRIALS + 1))
def test_what_comes_for_the_first_time_is_handled(trials: int) -> None:
    """In quarantine, marked or not."""
    assert next_step(envelope(0, trials)) is NextStep.HANDLE


@pytest.mark.parametrize("returns", [1, 2, 40, 100_000])
def test_returns_to_quarantine_alone_condemn_nobody(returns: int) -> None:
    """Only a trial does."""
    assert next_step(envelope(returns, 0)) is NextStep.TRY_ALONE


def test_as_many_trials_as_allowed_without_an_outcome_are_poison() -> None:
    """Nothing else was handled beside it."""
    assert [next_step(envelope(1, trials)) for trials in range(TRIALS + 1)] == [
        NextStep.TRY_ALONE
    ] * TRIALS + [NextStep.BURY]


def test_the_marked_copy_counts_one_more() -> None:
    """And keeps what a retry needs to know."""
    headers = envelope(1, 1).quarantine_headers(2)
    assert (headers["qt-trial"], headers["qt-attempt"], headers["qt-type"]) == (2, 1, "e")


def test_what_this_process_has_outlived_counts_no_returns() -> None:
    """Neither those to its queue nor a trial: what ends a process would have ended this one."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, quarantined=False))
    pardoned = survived.applied(envelope(40, quarantined=False))
    assert next_step(pardoned) is NextStep.HANDLE


def test_one_on_trial_goes_on_with_the_same_trial() -> None:
    """Its process stood: neither one more, nor one less, lest a stop in between counts it."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, 2))
    pardoned = survived.applied(envelope(1, 2))
    assert (pardoned.returns, pardoned.trials, pardoned.is_on_trial) == (0, 2, True)


def test_a_pardon_ends_when_a_child_dies_of_it() -> None:
    """On prefork the process that remembers is not the one that dies."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, 2))
    survived.revoke(envelope(0, 2))
    assert survived.applied(envelope(1, 2)).returns == 1


def test_what_has_no_id_is_never_pardoned() -> None:
    """It cannot be told from another."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, 2, id=""))
    assert survived.applied(envelope(1, 2, id="")).returns == 1


def test_a_pardon_is_for_one_event_that_came_back() -> None:
    """Not for another, nor for a copy that has just been made."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, 2))
    assert survived.applied(envelope(1, 2, id="2")).returns == 1
    assert survived.applied(envelope(0, 2)).returns == 0


def test_pardons_do_not_pile_up() -> None:
    """However many are granted and never used."""
    survived = SurvivedDeliveries()
    for number in range(20_000):
        survived.grant(envelope(0, 1, id=str(number)))
    assert survived.applied(envelope(1, 1, id="19999")).returns == 0
    assert survived.applied(envelope(1, 1, id="0")).returns == 1
