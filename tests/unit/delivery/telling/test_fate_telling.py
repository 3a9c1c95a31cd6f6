"""Fates on their way: how many wait, who is called, and what is left out."""

import json
import logging
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import HANDLED
from qt_events.delivery.subscribing.subscription import FATES
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.delivery.telling.fate_telling import (
    FULL,
    MOST,
    WaitingFates,
    is_topic,
    number_of,
    topics_of,
)
from qt_events.delivery.telling.fates import BATCH, LONGEST_IDENTITY, messages_of


def attempt(subscription: str, number: int = 1) -> Attempt:
    return Attempt("id", "a.b", subscription, number, HANDLED, "desk", 0.25)


def test_as_many_fates_wait_as_are_bounded_and_the_others_are_counted() -> None:
    """A broker that is away costs no memory without end."""
    woken: list[int] = []
    waiting = WaitingFates(Subscriptions(), woken.append)
    for number in range(MOST + 3):
        waiting.concluded(attempt("desk", number))
    assert (len(waiting), waiting.dropped, woken) == (MOST, 3, [1, FULL])
    assert waiting.take()["desk"]["attempt"] == list(range(MOST))
    waiting.concluded(attempt("desk"))
    assert woken == [1, FULL, 1]


@dataclass
class Raced:
    """Attempt in the middle of whose telling another thread takes what waits."""

    waiting: WaitingFates
    told: Attempt

    @property
    def event_type(self) -> str:
        self.waiting.take()
        return self.told.event_type

    def __getattr__(self, name: str) -> Any:
        return getattr(self.told, name)


def test_a_fate_that_comes_while_others_are_taken_wakes_too() -> None:
    """Else it would wait for a later one, in a child of a pool without end."""
    woken: list[int] = []
    waiting = WaitingFates(Subscriptions(), woken.append)
    waiting.concluded(attempt("desk"))
    waiting.concluded(cast("Attempt", Raced(waiting, attempt("desk"))))
    assert (len(waiting), woken) == (1, [1, 1])


def test_a_fate_with_an_id_of_megabytes_does_not_wait(caplog: pytest.LogCaptureFixture) -> None:
    """Ten thousand of them would take the memory of the machine. How many they were is said."""
    waiting = WaitingFates(Subscriptions(), lambda _: None)
    for own in ("x" * (LONGEST_IDENTITY + 1), "short", "x" * 16_000_000):
        waiting.concluded(replace(attempt("desk"), event_id=own))
    assert waiting.take()["desk"]["event_id"] == ["short"]
    assert waiting.take() == {}
    [said] = caplog.messages
    assert said.startswith("2 fates are not told")


def test_a_subscription_that_tells_no_fates_has_none() -> None:
    """Neither a listener to fates, nor one that says so; one that is gone by now has."""
    subscriptions = Subscriptions()
    subscriptions.add(FATES, print, "listener")
    subscriptions.add("a.b", print, "silent").tells_fates = False
    waiting = WaitingFates(subscriptions, lambda _: None)
    for name in ("listener", "silent", "gone"):
        waiting.concluded(attempt(name))
    assert list(waiting.take()) == ["gone"]


def test_fates_are_told_by_subscription_a_batch_at_a_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A name that is no topic is left out, and that is said once."""
    caplog.set_level(logging.WARNING, "qt_events")
    is_topic.cache_clear()
    waiting = WaitingFates(Subscriptions(), lambda _: None)
    for _ in range(BATCH + 1):
        waiting.concluded(attempt("desk"))
        waiting.concluded(attempt("no..topic"))
    waiting.concluded(attempt("book"))
    told = waiting.take()
    assert number_of(told) == 2 * BATCH + 3
    found = [(name, len(fates["event_id"])) for name, fates in topics_of(told)]
    assert found == [("desk", BATCH + 1), ("book", 1)]
    messages = list(messages_of("desk", told["desk"], "w"))
    assert [len(json.loads(each)["data"]["fates"]["event_id"]) for each in messages] == [BATCH, 1]
    (said,) = caplog.messages
    assert "'no..topic' are not told" in said
