"""Returns of events that this process held and survived do not count."""

from typing import Any

from qt_events.limits import MAX_PREFETCH
from qt_events.rabbitmq.handling.quarantine import NextStep, next_step
from qt_events.rabbitmq.messages.envelope import Envelope
from qt_events.rabbitmq.messages.survived import SurvivedDeliveries


def envelope(
    returns: int = 0, trials: int = 0, *, quarantined: bool = True, id: str = "1"
) -> Envelope:
    headers: dict[str, Any] = {"x-delivery-count": returns, "qt-trial": trials}
    return Envelope("s", "s", b"{}", {"message_id": id}, headers, "e", quarantined=quarantined)


def test_what_this_process_has_outlived_counts_no_returns() -> None:
    """An event that ends its process would have ended this one."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, quarantined=False))
    pardoned = survived.applied(envelope(40, quarantined=False))
    assert next_step(pardoned) is NextStep.HANDLE


def test_one_on_trial_goes_on_with_the_same_trial() -> None:
    """The count of trials stays, for its process lived on."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, 2))
    pardoned = survived.applied(envelope(1, 2))
    assert (pardoned.returns, pardoned.trials, pardoned.is_on_trial) == (0, 2, True)


def test_a_pardon_ends_when_a_child_dies_of_it() -> None:
    """The process that remembers is not the one that dies, on prefork."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, 2))
    survived.revoke(envelope(0, 2))
    assert survived.applied(envelope(1, 2)).returns == 1


def test_what_has_no_id_is_never_pardoned() -> None:
    """Events without an id cannot be told apart."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, 2, id=""))
    assert survived.applied(envelope(1, 2, id="")).returns == 1


def test_a_pardon_is_for_one_event_that_came_back() -> None:
    """Another event does not get it, nor a copy that has just been made."""
    survived = SurvivedDeliveries()
    survived.grant(envelope(0, 2))
    assert survived.applied(envelope(1, 2, id="2")).returns == 1
    assert survived.applied(envelope(0, 2)).returns == 0


def test_pardons_do_not_pile_up() -> None:
    """The oldest are forgotten, but what one consumer may hold is remembered."""
    survived = SurvivedDeliveries()
    for number in range(MAX_PREFETCH + 1):
        survived.grant(envelope(0, 1, id=str(number)))
    assert survived.applied(envelope(1, 1, id="1")).returns == 0
    assert survived.applied(envelope(1, 1, id="0")).returns == 1
