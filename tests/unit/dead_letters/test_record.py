"""record_of(): the record of an event that failed for good, the same on every backend."""

import socket
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from qt_events.dead_letters.record import DeadLetterRecord, record_of
from qt_events.delivery.outcome import FIRST, Attempts, DeadLetter, DeadLetterReason, Failure

EVENT: dict[str, Any] = {
    "subscription": "desk", "event_id": "e1", "event_type": "order.placed", "body": b"{",
    "properties": {"app_id": "shop"}, "whole": False,
}  # fmt: skip
OUTCOME = DeadLetter(DeadLetterReason.EXHAUSTED, Failure("OSError", "away", "Traceback: here"))


def record(attempts: Attempts) -> DeadLetterRecord:
    return record_of(OUTCOME, attempts, **EVENT)


def test_a_record_has_every_detail_of_event_outcome_and_attempts() -> None:
    """Records name the host too, for there are many."""
    first = datetime(2026, 1, 2, tzinfo=UTC)
    made = asdict(record(Attempts(3, first)))
    assert made.items() >= {
        **EVENT, "reason": "exhausted", "exception_type": "OSError", "message": "away",
        "traceback": "Traceback: here", "attempts": 3, "first_failed": first,
        "host": socket.gethostname(),
    }.items()  # fmt: skip
    assert first < made["last_failed"] <= datetime.now(UTC)


def test_one_attempt_failed_first_and_last_at_the_same_time() -> None:
    """No attempt before it has failed."""
    made = record(FIRST)
    assert (made.attempts, made.first_failed) == (1, made.last_failed)


def test_each_record_has_its_own_id() -> None:
    """One event may become a dead letter twice."""
    assert record(FIRST).id != record(FIRST).id
