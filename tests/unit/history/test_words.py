"""Fates in words: exactly what was told, never more."""

from datetime import timedelta

import pytest

from qt_events.delivery.telling.fates import Fate
from qt_events.history.conversations.stories import stories_of
from qt_events.history.conversations.words import UNKNOWN, duration, summary
from tests.support import conversations
from tests.support.conversations import TRADE
from tests.support.stored import NOON, fate


def said(*fates: Fate, seconds: float = 60) -> str:
    return summary(stories_of(fates), NOON + timedelta(seconds=seconds))


def test_the_sentence_of_the_issue() -> None:
    told = [each for each in conversations.fates() if each.event_id == TRADE]
    assert said(*told) == (
        "handled by 2 of 4; risk_guard waits for attempt 3 until 12:04:10; webhook filtered it out"
    )


def test_what_nobody_has_told_is_unknown() -> None:
    assert said() == UNKNOWN
    retried = fate(outcome="retried", delay=5.0)
    assert (
        said(retried, seconds=4) == "handled by 0 of 1; risk_guard waits for attempt 2 until "
        "12:00:05"
    )
    assert (
        said(retried, seconds=6) == "handled by 0 of 1; risk_guard failed; attempt 2 was due "
        "at 12:00:05, and nothing is told since"
    )


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        ("dead", "made it a dead letter at 12:00:00 (no_class: v3)"),
        ("sent_back", "had it sent back at 12:00:00, and nothing is told since"),
        ("discarded", "had it discarded as a dead letter at 12:00:00"),
        ("filtered", "filtered it out"),
        ("of_next\nyear", "says 'of_next\\nyear' at 12:00:00"),
    ],
)
def test_how_a_story_can_end(outcome: str, end: str) -> None:
    told = fate(outcome=outcome, reason="no_class", message="v3")
    assert said(told) == f"handled by 0 of 1; risk_guard {end}"


def test_what_waits_for_another_release_has_made_no_attempt() -> None:
    told = fate(outcome="given_back", delay=300.0)
    assert said(told) == (
        "handled by 0 of 1; risk_guard waits for another release, then attempt 1, until 12:05:00"
    )
    assert said(told, seconds=301).endswith(
        "gave it back; it was due at 12:05:00, and nothing is told since"
    )


def test_what_was_handled_stays_handled_whatever_a_replay_brings() -> None:
    later = fate(outcome="dead", at=NOON + timedelta(seconds=1), replayed=True)
    assert said(later, fate()).startswith("handled by 1 of 1; risk_guard made it a dead letter")


def test_a_duplicate_was_handled_though_its_first_fate_is_lost() -> None:
    """The process that handled it was killed before it could tell."""
    assert said(fate(outcome="deduplicated")) == (
        "handled by 1 of 1; risk_guard got it again and had handled it before"
    )


def test_another_day_is_named() -> None:
    assert said(fate(outcome="discarded"), seconds=86_400).endswith("at 2026-11-30 12:00:00")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00012, "0.1 ms"), (0.0021, "2.1 ms"), (0.25, "250 ms"), (0.9996, "1000 ms"), (1, "1 s"),
        (59.96, "60 s"), (60, "1 min"), (90.5, "1 min 30 s"), (3_600, "1 h"), (3_725, "1 h 2 min"),
        (86_400, "1 d"), (100_000, "1 d 3 h"), (-1, "-1 s"), (float("inf"), "inf s"),
        (float("nan"), "nan s"), (1e300, "1e+300 s"),
    ],
)  # fmt: skip
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text
