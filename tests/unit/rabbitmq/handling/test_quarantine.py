"""An event that comes back without an outcome is handled again, isolated, or poison."""

from typing import Any

import pytest

from qt_events.rabbitmq.handling.quarantine import SUSPECT_AFTER, TRIALS, NextStep, next_step
from qt_events.rabbitmq.messages.envelope import Envelope


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
    """An event, or its neighbour, ends processes."""
    assert next_step(envelope(SUSPECT_AFTER, quarantined=False)) is NextStep.ISOLATE


@pytest.mark.parametrize("trials", range(TRIALS + 1))
def test_what_comes_for_the_first_time_is_handled(trials: int) -> None:
    """A first delivery in quarantine is handled, marked or not."""
    assert next_step(envelope(0, trials)) is NextStep.HANDLE


@pytest.mark.parametrize("returns", [1, 2, 40, 100_000])
def test_returns_to_quarantine_alone_condemn_nobody(returns: int) -> None:
    """Trials alone count against an event."""
    assert next_step(envelope(returns, 0)) is NextStep.TRY_ALONE


def test_as_many_trials_as_allowed_without_an_outcome_are_poison() -> None:
    """Poison is what ended processes that handled nothing else."""
    assert [next_step(envelope(1, trials)) for trials in range(TRIALS + 1)] == [
        NextStep.TRY_ALONE
    ] * TRIALS + [NextStep.BURY]


def test_the_marked_copy_counts_one_more() -> None:
    """The copy keeps what a retry needs to know."""
    headers = envelope(1, 1).quarantine_headers(2)
    assert (headers["qt-trial"], headers["qt-attempt"], headers["qt-type"]) == (2, 1, "e")
