"""Events that this process held and survived: none of their returns counts."""

from typing import Any

from qt_events.rabbitmq.handling.quarantine import NextStep, next_step
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.survived import SurvivedDeliveries


def envelope(
    returns: int = 0, trials: int = 0, *, quarantined: bool = True, id: str = "1"
) -> Envelope:
    headers: dict[str, Any] = {"x-delivery-count": returns, "qt-trial": trials}
    return Envelope("s", "s", b"{}", {"message_id": id}, headers, "e", quarantined=quarantined)


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
