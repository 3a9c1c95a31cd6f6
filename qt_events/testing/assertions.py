"""Assertions: questions and claims about what happened on a bus."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, overload

from qt_events.delivery.middleware import Attempt
from qt_events.delivery.outcome import DeadLetter, Done, Failure, Retry, consequences
from qt_events.delivery.subscribing.subscription import EventHandler, Subscription, pattern_of
from qt_events.errors import UnknownSubscriptionError
from qt_events.events.event import Event
from qt_events.events.topics import matches
from qt_events.testing.journal import DeliveryKey, Journal
from qt_events.testing.story import counted, describe, describe_event, describe_outcome, indented

E = TypeVar("E", bound=Event[Any])
#: A subscription's name or handler
Claimed = str | EventHandler


class Assertions:
    """Questions and claims about everything that this process published and handled.

    None of them waits: call `await bus.join()` first. An event that is passed restricts the claim
    to that event. Name a subscription by its name or its handler. Without `times`, once is enough.

    A claim that fails raises AssertionError with what happened instead. A subscription that nobody
    knows raises UnknownSubscriptionError.
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
    def published(
        self, what: str = "#", where: Callable[[Event[Any]], bool] | None = None
    ) -> list[Event[Any]]: ...

    def published(self, what: Any = "#", where: Callable[[Any], bool] | None = None) -> list[Any]:
        """Return the published events of this class or topic pattern, oldest first."""
        events = [each.event for each in tuple(self.journal.publications)]
        found = [event for event in events if _matches(event, what)]
        return [event for event in found if where is None or where(event)]

    @overload
    def assert_published(
        self, what: type[E], *, times: int | None = None, where: Callable[[E], bool] | None = None
    ) -> list[E]: ...
    @overload
    def assert_published(
        self,
        what: str,
        *,
        times: int | None = None,
        where: Callable[[Event[Any]], bool] | None = None,
    ) -> list[Event[Any]]: ...

    def assert_published(
        self, what: Any, *, times: int | None = None, where: Callable[[Any], bool] | None = None
    ) -> list[Any]:
        """Claim that such events were published, and return them, oldest first."""
        __tracebackhide__ = True
        found = self.published(what, where)
        title = what.__name__ if isinstance(what, type) else repr(what)
        self._require(found, times, f"{title}{' with where=' if where else ''} published")
        return found

    def assert_not_published(
        self, what: str | type[Event[Any]], *, where: Callable[[Any], bool] | None = None
    ) -> None:
        """Claim that no such event was published."""
        __tracebackhide__ = True
        self.assert_published(what, times=0, where=where)

    # Attempts

    def attempts(
        self, subscription: Claimed | None = None, event: Event[Any] | None = None
    ) -> list[Attempt]:
        """Return every attempt with its outcome, oldest first."""
        return self.journal.of(None if subscription is None else self._name(subscription), event)

    def assert_delivered(
        self,
        subscription: Claimed,
        event: Event[Any] | None = None,
        *,
        times: int | None = None,
        attempts: int | None = None,
    ) -> None:
        """Claim that the handler finished the event, at attempt `attempts` if that is given."""
        __tracebackhide__ = True
        found = [
            each
            for each in self.attempts(subscription, event)
            if each.outcome == Done() and attempts in (None, each.number)
        ]
        claim = self._claim("delivered to", subscription, event, attempts=attempts)
        self._require(found, times, claim)

    def assert_not_delivered(self, subscription: Claimed, event: Event[Any] | None = None) -> None:
        """Claim that the handler never finished the event: it was not called, or it failed."""
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
        """Claim that attempts failed with this exception and were to be repeated."""
        __tracebackhide__ = True
        found = [
            each
            for each in self.attempts(subscription, event)
            if isinstance(each.outcome, Retry) and _raised(each.outcome.failure, exception)
        ]
        claim = self._claim("retried by", subscription, event, exception=exception)
        self._require(found, times, claim)
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
        """Claim that such dead letters were made. They no longer count as leftovers."""
        __tracebackhide__ = True
        found = [
            each
            for each in self.attempts(subscription, event)
            if isinstance(each.outcome, DeadLetter)
            and reason in (None, each.outcome.reason)
            and attempts in (None, each.number)
            and _raised(each.outcome.failure, exception)
        ]
        claim = self._claim(
            "dead-lettered by", subscription, event, reason, exception=exception, attempts=attempts
        )
        self._require(found, times, claim)
        self._expected_dead.update(map(_delivery, found))

    def assert_no_dead_letters(self) -> None:
        """Claim that nothing failed for good, or that it was handled later."""
        __tracebackhide__ = True
        if dead := _failures(self.journal.dead, "dead letter", "where none was expected"):
            raise AssertionError("\n".join(dead))

    def expect(self, subscription: str, event_id: str) -> None:
        """Mark a dead letter as expected by the test."""
        self._expected_dead.add((event_id, subscription))

    def story(self) -> str:
        """Return every published event in order, with each attempt to deliver it."""
        return describe(self.journal)

    def leftovers(self) -> str:
        """Return what the test left behind and never claimed; empty if there is nothing."""
        dead = [each for each in self.journal.dead if _delivery(each) not in self._expected_dead]
        failed = [
            each
            for each in self.journal.open.values()
            if each and _delivery(each) not in self._expected_retries
        ]
        unexpected = "that the test does not expect (bus.assert_dead_lettered)"
        waiting = "waiting for a retry (`await bus.join()`, or bus.assert_retried)"
        lines = _failures(dead, "dead letter", unexpected)
        lines += _failures(failed, "failed delivery", waiting)
        if untouched := sum(last is None for last in self.journal.open.values()):
            lines.append(
                f"{counted(untouched, 'delivery')} without an outcome (`await bus.join()`)"
            )
        return "\n".join(lines)

    # The text of a failure

    def _require(self, found: Sequence[object], times: int | None, claim: str) -> None:
        __tracebackhide__ = True
        if len(found) == times or (times is None and found):
            return
        wanted = "at least once" if times is None else counted(times, "time")
        unfinished = counted(len(self.journal.open), "delivery")
        hint = f"{unfinished} without an outcome yet: `await bus.join()` first\n"
        raise AssertionError(
            f"{claim}: {counted(len(found), 'time')}, expected {wanted}\n"
            f"{hint if self.journal.open else ''}{describe(self.journal)}"
        )

    def _claim(
        self,
        verb: str,
        subscription: Claimed,
        event: Event[Any] | None,
        reason: str | None = None,
        *,
        exception: type[BaseException] | None = None,
        attempts: int | None = None,
    ) -> str:
        """Return a claim in words."""
        which = "any event" if event is None else describe_event(event)
        parts = [f"{which} {verb} {self._name(subscription)}"]
        parts += [reason] if reason else []
        parts += [f"after {exception.__name__}"] if exception else []
        parts += [f"at attempt {attempts}"] if attempts is not None else []
        return ", ".join(parts)

    def _name(self, subscription: Claimed) -> str:
        """Return the name of a subscription of this bus, or of one that was seen at work."""
        seen = (attempt.subscription for attempt in self.journal.attempts)
        known = dict.fromkeys([*self._known, *seen])
        if isinstance(subscription, str) and subscription in known:
            return subscription
        for each in self._known.values():
            if each.handler == subscription:
                return each.name
        raise UnknownSubscriptionError(
            f"no subscription {subscription!r}; there are: {', '.join(known) or 'none'}"
        )


def _matches(event: Event[Any], what: str | type[Event[Any]]) -> bool:
    if isinstance(what, type):
        return isinstance(event, what)
    return matches(pattern_of(what), event.type)


def _delivery(attempt: Attempt) -> DeliveryKey:
    return attempt.event_id, attempt.subscription


def _raised(failure: Failure, wanted: type[BaseException] | None) -> bool:
    """Return True for this exception or a subclass; a failure keeps only the exception's name."""
    if wanted is None:
        return True
    module, _, name = failure.exception_type.rpartition(".")
    found: Any = getattr(sys.modules.get(module or "builtins"), name, None)
    if isinstance(found, type):
        return issubclass(found, wanted)
    where = "" if wanted.__module__ == "builtins" else f"{wanted.__module__}."
    return failure.exception_type == where + wanted.__qualname__


def _failures(attempts: Sequence[Attempt], noun: str, what: str) -> list[str]:
    """Return a count, then each attempt with its handler's traceback; empty without attempts."""
    lines = [f"{counted(len(attempts), noun)} {what}:"] if attempts else []
    for each in attempts:
        ended = describe_outcome(each.outcome)
        lines.append(f"  {each.subscription}, {each.event_type}: attempt {each.number} {ended}")
        failure = consequences(each.outcome).failure
        if failure is not None and failure.traceback:
            lines.append(indented(failure.traceback))
    return lines
