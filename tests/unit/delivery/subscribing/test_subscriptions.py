"""Subscriptions: a bus's subscribers, by name, by handler, and by what they hear."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.subscription import SubscriptionOptions
from qt_events.delivery.subscribing.subscriptions import Subscriptions
from qt_events.errors import (
    DuplicateSubscriptionError,
    InvalidOptionError,
    InvalidPolicyError,
    UnknownSubscriptionError,
)
from qt_events.events.event import Event
from qt_events.memory import InMemoryEventBus


def hear(event: Event[Any]) -> None: ...


def hear_too(event: Event[Any]) -> None: ...


class Router:
    def on_event(self, event: Event[Any]) -> None: ...


def test_the_same_handler_again_adds_a_pattern() -> None:
    """One name is one subscription with all patterns that were given, each once."""
    subscriptions = Subscriptions()
    first = subscriptions.add("a", hear, "s", SubscriptionOptions(concurrency=3))
    assert subscriptions.add("b", hear, "s") is first
    assert subscriptions.add("b", hear, "s", SubscriptionOptions(concurrency=3, when=None)) is first
    assert (first.patterns, first.concurrency, len(subscriptions), list(subscriptions)) == (
        ("a", "b"),
        3,
        1,
        [first],
    )
    assert subscriptions.get("s") is first
    assert subscriptions.get("t") is None


def test_bound_methods_of_one_object_are_one_handler() -> None:
    """Each access makes a new bound method of the same object: they are equal."""
    subscriptions, router = Subscriptions(), Router()
    first = subscriptions.add("a", router.on_event, "s")
    assert subscriptions.add("b", router.on_event, "s") is first
    assert subscriptions.of(router.on_event) is first
    with pytest.raises(DuplicateSubscriptionError, match=r"'s'.*name="):
        subscriptions.add("a", Router().on_event, "s")


def test_other_options_for_a_taken_name_are_refused() -> None:
    """A second subscribe may leave options out, not contradict them; refused, it adds nothing."""
    subscriptions = Subscriptions()
    subscriptions.add("a", hear, "s")
    with pytest.raises(DuplicateSubscriptionError, match="concurrency=1 already, now 2"):
        subscriptions.add("b", hear, "s", SubscriptionOptions(concurrency=2))
    assert [s.patterns for s in subscriptions] == [("a",)]
    assert subscriptions.match("b") == ()


def test_a_refused_subscription_leaves_nothing() -> None:
    """After an error the name is free, and nobody hears the pattern."""
    subscriptions = Subscriptions()
    with pytest.raises(InvalidOptionError):
        subscriptions.add("a", hear, "s", SubscriptionOptions(concurrency=0))
    assert (len(subscriptions), subscriptions.match("a"), subscriptions.patterns) == (
        0,
        (),
        frozenset(),
    )


def test_removing_patterns_one_by_one() -> None:
    """The subscription goes with its last pattern."""
    subscriptions = Subscriptions()
    subscription = subscriptions.add("a", hear, "s")
    subscriptions.add("b", hear, "s")
    assert subscriptions.remove("a", hear) == (subscription, False)
    assert (subscription.patterns, subscriptions.match("a"), subscriptions.match("b")) == (
        ("b",),
        (),
        (subscription,),
    )
    assert subscriptions.remove("b", hear) == (subscription, True)
    assert subscriptions.get("s") is None
    assert subscriptions.of(hear) is None


@pytest.mark.parametrize(("pattern", "handler"), [("c", hear), ("a", hear_too)])
def test_what_was_never_subscribed_cannot_be_removed(pattern: str, handler: Any) -> None:
    """An unknown pattern or handler is an UnknownSubscriptionError, and nothing changes."""
    subscriptions = Subscriptions()
    subscription = subscriptions.add("a", hear, "s")
    with pytest.raises(UnknownSubscriptionError, match=repr(pattern)):
        subscriptions.remove(pattern, handler)
    assert subscriptions.match("a") == (subscription,)


def test_who_hears_what() -> None:
    """match() finds each subscription once, in the order of making; hears() knows gone ones."""
    subscriptions = Subscriptions()
    first = subscriptions.add("a.*", hear, "first")
    second = subscriptions.add("#", hear_too, "second")
    subscriptions.add("a.b", hear, "first")
    assert subscriptions.match("a.b") == (first, second)
    assert subscriptions.patterns == {"a.*", "a.b", "#"}
    subscriptions.remove("#", hear_too)
    again = subscriptions.add("#", hear_too, "second")
    assert [subscriptions.hears(each, "a.b") for each in (first, second, again)] == [
        True,
        False,
        True,
    ]


def test_a_name_that_nobody_serves_is_unknown() -> None:
    """served() names the missing one."""
    subscriptions = Subscriptions()
    assert subscriptions.served(subscriptions.add("a", hear, "s").name).handler is hear
    with pytest.raises(UnknownSubscriptionError, match="'t'"):
        subscriptions.served("t")


def test_threads_may_subscribe_at_the_same_time() -> None:
    """No subscription is lost, and all of them hear."""
    subscriptions = Subscriptions()

    def add(n: int) -> None:
        subscriptions.add("a", lambda _: n, f"s{n}")
        subscriptions.add("b", hear, "shared")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(200)))
    assert (len(subscriptions), len(subscriptions.match("a")), len(subscriptions.match("b"))) == (
        201,
        200,
        1,
    )


def test_defaults_are_for_those_made_without_the_option() -> None:
    """A subscription's own option wins; another pattern for it is no conflict with the default."""
    patient, own = RetryPolicy(max_attempts=9), RetryPolicy(max_attempts=2)
    subscriptions = Subscriptions(retry=patient)
    assert subscriptions.add("a", hear, "s").retry is patient
    assert subscriptions.add("a", hear_too, "t", SubscriptionOptions(retry=own)).retry is own
    assert subscriptions.add("b", hear_too, "t").retry is own


def test_a_wrong_default_is_refused_at_once() -> None:
    """Not at the first subscription that would have it."""
    with pytest.raises(InvalidPolicyError, match="the bus: retry=3"):
        InMemoryEventBus(retry=3)  # type: ignore[arg-type]
