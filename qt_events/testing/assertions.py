"""Assertions: what a test may ask and claim about a bus; a claim that fails tells what happened instead."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from qt_events.delivery import DeadLetter, Done, Failure, Retry
from qt_events.errors import UnknownSubscriptionError
from qt_events.events import Event
from qt_events.observer import Attempt
from qt_events.routing import matches
from qt_events.subscription import EventHandler, Subscription, pattern_of
from qt_events.testing.journal import DeliveryKey, Journal
from qt_events.testing.story import counted, indented, named, outcome, told

E = TypeVar("E", bound=Event[Any])
Claimed = str | EventHandler  # a subscription: its name, or its handler


class Assertions:
    """About what this process published and handled, from the first event on; none of them waits.

    `await bus.join()` comes first. Where an event is named, it alone counts; a subscription is named by its name or
    its handler. `times` left out means at least once. Each raises AssertionError with what happened instead, or
    UnknownSubscriptionError where nobody has that name.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._known: dict[str, Subscription] = {}
        self._expected_retries: set[DeliveryKey] = set()
        self._expected_dead: set[DeliveryKey] = set()

    # Published

    @overload
    def published(self, what: type[E], where: Callable[[E], bool] | None = None) -> list[E]: ...
    @overload
    def published(self, what: str = "#", where: Callable[[Event[Any]], bool] | None = None) -> list[Event[Any]]: ...

    def published(self, what: Any = "#", where: Callable[[Any], bool] | None = None) -> list[Any]:
        """The events of this class or topic pattern that were published, oldest first."""
        events = [each.event for each in tuple(self.journal.publications) if _is(each.event, what)]
        return [event for event in events if where is None or where(event)]

    @overload
    def assert_published(
        self, what: type[E], *, times: int | None = None, where: Callable[[E], bool] | None = None
    ) -> list[E]: ...
    @overload
    def assert_published(
        self, what: str, *, times: int | None = None, where: Callable[[Event[Any]], bool] | None = None
    ) -> list[Event[Any]]: ...

    def assert_published(
        self, what: Any, *, times: int | None = None, where: Callable[[Any], bool] | None = None
    ) -> list[Any]:
        """Such events were published; they are returned, oldest first."""
        __tracebackhide__ = True
        found = self.published(what, where)
        wanted = f"{_title(what)}{' with where=' if where else ''}"
        self._count(len(found), times, f"{wanted} published")
        return found

    def assert_not_published(self, what: str | type[Event[Any]], *, where: Callable[[Any], bool] | None = None) -> None:
        """No such event was published."""
        __tracebackhide__ = True
        self.assert_published(what, times=0, where=where)

    # Attempts

    def attempts(self, subscription: Claimed | None = None, event: Event[Any] | None = None) -> list[Attempt]:
        """Every attempt with its outcome, oldest first."""
        return self.journal.of(None if subscription is None else self._name(subscription), event)

    def assert_delivered(
        self,
        subscription: Claimed,
        event: Event[Any] | None = None,
        *,
        times: int | None = None,
        attempts: int | None = None,
    ) -> None:
        """The handler came to its end with the event; at the attempt numbered `attempts`, if that is given."""
        __tracebackhide__ = True
        found = [each for each in self.attempts(subscription, event) if each.outcome == Done()]
        if attempts is not None:
            found = [each for each in found if each.number == attempts]
        self._count(len(found), times, self._delivery("delivered to", subscription, event) + _after(attempts))

    def assert_not_delivered(self, subscription: Claimed, event: Event[Any] | None = None) -> None:
        """The handler never came to its end with the event: it was not called, or failed."""
        __tracebackhide__ = True
        self.assert_delivered(subscription, event, times=0)

    def assert_retried(
        self,
        subscription: Claimed,
        event: Event[Any] | None = None,
        *,
        times: int | None = None,
        exception: type[BaseException] | None = None,
    ) -> None:
        """So many attempts failed, with this exception, and were to be repeated."""
        __tracebackhide__ = True
        found = [
            each
            for each in self.attempts(subscription, event)
            if isinstance(each.outcome, Retry) and _raised(each.outcome.failure, exception)
        ]
        self._count(len(found), times, self._delivery("retried by", subscription, event) + _by(exception))
        self._expected_retries.update(map(_delivery, found))

    # Dead letters

    def assert_dead_lettered(
        self,
        subscription: Claimed,
        event: Event[Any] | None = None,
        *,
        times: int | None = None,
        reason: str | None = None,
        exception: type[BaseException] | None = None,
        attempts: int | None = None,
    ) -> None:
        """Such dead letters were made. The test expected them: its end does not report them."""
        __tracebackhide__ = True
        found = [
            each
            for each in self.attempts(subscription, event)
            if isinstance(each.outcome, DeadLetter)
            and reason in (None, each.outcome.reason)
            and attempts in (None, each.number)
            and _raised(each.outcome.failure, exception)
        ]
        because = f", {reason}" if reason else ""
        wanted = self._delivery("dead-lettered by", subscription, event) + because + _by(exception) + _after(attempts)
        self._count(len(found), times, wanted)
        self._expected_dead.update(map(_delivery, found))

    def assert_no_dead_letters(self) -> None:
        """Nothing failed for good, or all that did was handled later."""
        __tracebackhide__ = True
        if dead := self.journal.dead:
            raise AssertionError("\n".join(_obituary(dead, "dead letter", "where none was expected")))

    def expect(self, subscription: str, event_id: str) -> None:
        """The test knows of this dead letter."""
        self._expected_dead.add((event_id, subscription))

    def story(self) -> str:
        """Every event that was published, in order, with each attempt to deliver it."""
        return told(self.journal)

    def leftovers(self) -> str:
        """What the test left behind without a word about it; empty if all is well."""
        dead = [each for each in self.journal.dead if _delivery(each) not in self._expected_dead]
        failed = [each for each in self.journal.open.values() if each and _delivery(each) not in self._expected_retries]
        untouched = [delivery for delivery, last in self.journal.open.items() if last is None]
        return "\n".join(
            [
                *_obituary(dead, "dead letter", "that the test does not expect (bus.assert_dead_lettered)"),
                *_obituary(
                    failed, "failed delivery", "waiting for a retry (`await bus.join()`, or bus.assert_retried)"
                ),
                *(
                    [f"{counted(len(untouched), 'delivery')} without an outcome (`await bus.join()`)"]
                    if untouched
                    else []
                ),
            ]
        )

    # How it is said

    def _count(self, found: int, times: int | None, what: str) -> None:
        __tracebackhide__ = True
        if found == times or (times is None and found):
            return
        wanted = "at least once" if times is None else counted(times, "time")
        unfinished = len(self.journal.open)
        hint = f"{counted(unfinished, 'delivery')} without an outcome yet: `await bus.join()` first\n"
        raise AssertionError(
            f"{what}: {counted(found, 'time')}, expected {wanted}\n{hint if unfinished else ''}{told(self.journal)}"
        )

    def _delivery(self, verb: str, subscription: Claimed, event: Event[Any] | None) -> str:
        return f"{'any event' if event is None else named(event)} {verb} {self._name(subscription)}"

    def _name(self, subscription: Claimed) -> str:
        """Of a subscription of this bus, or one that was seen at work."""
        known = {**self._known, **dict.fromkeys(attempt.subscription for attempt in self.journal.attempts)}
        if subscription in known and isinstance(subscription, str):
            return subscription
        by_handler = [each.name for each in self._known.values() if each.handler == subscription]
        if by_handler:
            return by_handler[0]
        raise UnknownSubscriptionError(f"no subscription {subscription!r}; there are: {', '.join(known) or 'none'}")


def _is(event: Event[Any], what: str | type[Event[Any]]) -> bool:
    return isinstance(event, what) if isinstance(what, type) else matches(pattern_of(what), event.type)


def _title(what: str | type[Event[Any]]) -> str:
    return what.__name__ if isinstance(what, type) else repr(what)


def _delivery(attempt: Attempt) -> DeliveryKey:
    return attempt.event_id, attempt.subscription


def _after(attempts: int | None) -> str:
    return "" if attempts is None else f", at attempt {attempts}"


def _by(exception: type[BaseException] | None) -> str:
    return "" if exception is None else f", after {exception.__name__}"


def _raised(failure: Failure, wanted: type[BaseException] | None) -> bool:
    """Whether it was this exception or one of its subclasses; a failure keeps only the name, as a dead letter does."""
    if wanted is None:
        return True
    module, _, name = failure.exception_type.rpartition(".")
    found: Any = getattr(sys.modules.get(module or "builtins"), name, None)
    if isinstance(found, type):
        return issubclass(found, wanted)
    own = wanted.__qualname__ if wanted.__module__ == "builtins" else f"{wanted.__module__}.{wanted.__qualname__}"
    return failure.exception_type == own  # one of a local class


def _obituary(attempts: Sequence[Attempt], noun: str, what: str) -> list[str]:
    """How many, then each with its handler's traceback; nothing if there are none."""
    lines = [f"{counted(len(attempts), noun)} {what}:"] if attempts else []
    for each in attempts:
        lines.append(f"  {each.subscription}, {each.event_type}: attempt {each.number} {outcome(each.outcome)}")
        if not isinstance(each.outcome, Done) and each.outcome.failure.traceback:
            lines.append(indented(each.outcome.failure.traceback))
    return lines
