"""Subscription: one subscriber: its handler, its patterns and its options."""

import contextlib
import functools
import inspect
import re
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from qt_events.delivery.retry import RetryPolicy
from qt_events.delivery.subscribing.starting import NOW, Start, checked_start
from qt_events.delivery.transacting.inbox import InboxOnBus, checked_inbox
from qt_events.errors import (
    DuplicateSubscriptionError,
    InvalidHandlerError,
    InvalidOptionError,
    InvalidPatternError,
    InvalidPolicyError,
)
from qt_events.events.event import Event
from qt_events.events.topics import bindable_pattern
from qt_events.limits import MAX_BATCH, MAX_PREFETCH, MAX_WITHIN, positive_int, seconds_up_to

EventHandler = Callable[[Any], Awaitable[object] | object]
Predicate = Callable[[Any], object]

MAX_CONCURRENCY = 10_000
#: In place of a pattern: it matches no event's type.
FATES = ""
#: Seconds for which a batch is gathered unless a subscription says otherwise.
WITHIN = 0.05
# A name becomes a part of queue names, which have 255 bytes in AMQP.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,199}")


@contextlib.contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextlib.asynccontextmanager
async def _nothing_async() -> AsyncIterator[None]:
    yield


# All functions that contextlib makes share these.
_MANAGERS = (_nothing.__code__, _nothing_async.__code__)
# Objects whose making runs no line of the function in them.
_UNRUN = (
    types.GeneratorType,
    types.AsyncGeneratorType,
    types.CoroutineType,
    types.FunctionType,
    types.MethodType,
    functools.partial,
    map,
    filter,
    type(_nothing()),
    type(_nothing_async()),
)


@dataclass(eq=False, slots=True)
class Subscription:
    """One subscriber. Its name is its identity, on RabbitMQ that of its queue.

    `patterns` grows and shrinks with `subscribe` and `unsubscribe`; the rest stays as it was made.

    Raises:
        InvalidHandlerError: `handler` or `when` cannot be called with one event, or the name is no
            name.
        InvalidOptionError, InvalidPolicyError: an option is out of its range; the text names it.
    """

    name: str
    handler: EventHandler
    patterns: tuple[str, ...] = ()
    #: Only events for which this is true are handled; the others are done at once.
    when: Predicate | None = None
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    #: Number of events, or batches, that one process handles at a time.
    concurrency: int = 1
    #: Every process gets each event, instead of one process of all.
    broadcast: bool = False
    #: Number of events that one process takes from the broker before they have an outcome; None
    #: leaves it to the backend. In memory there is no such number.
    prefetch: int | None = None
    #: Most events that the handler gets at a time, as a list; None: it gets one event, and no list.
    batch: int | None = None
    #: Seconds after its first event at which a batch is handled though it is not full.
    within: float = WITHIN
    #: The handler gets a RawEvent: no class and no check of its payload.
    raw: bool = False
    #: The event that it begins with, decided once: when it first comes to stand.
    start: Start = NOW
    #: Keeps an event that was handled from its handler.
    inbox: InboxOnBus | None = None
    #: Called with each event: the handler, or the inbox around it.
    called: EventHandler = field(init=False, repr=False)
    is_async: bool = field(init=False)
    #: A pattern was removed, so queued events must be matched again before they are handled.
    narrowed: bool = field(default=False, init=False)
    #: It gets fates, not events; see docs/fates.md.
    hears_fates: bool = field(default=False, init=False)
    #: What becomes of its events is told to those who listen to fates.
    tells_fates: bool = field(default=True, init=False)
    #: Live events wait in this process until the old ones are handled.
    is_held_back: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        validate_handler(self.handler)
        if not isinstance(self.name, str) or not NAME.fullmatch(self.name):
            raise InvalidHandlerError(
                f"{self.name!r} is no subscription name: "
                "use 1 to 200 letters, digits, '_', '.', ':' or '-'"
            )
        if self.when is not None:
            _validate_predicate(self.name, self.when)
        whose = f"subscription {self.name!r}"
        checked_policy(whose, self.retry)
        positive_int(f"{whose}: concurrency", self.concurrency, most=MAX_CONCURRENCY)
        self._check_batch(whose)
        if self.prefetch is not None:
            self._check_prefetch(whose, self.prefetch)
        for option in ("broadcast", "raw"):
            if not isinstance(value := getattr(self, option), bool):
                raise InvalidOptionError(f"{whose}: {option}={value!r} must be True or False")
        checked_start(whose, self.start, broadcast=self.broadcast)
        checked_inbox(whose, self.inbox, broadcast=self.broadcast, batch=self.batch)
        self.is_held_back = self.start != NOW
        self.is_async = is_async(self.handler)
        self.called = self._in_inbox(self.handler)

    def _in_inbox(self, handler: EventHandler) -> EventHandler:
        return handler if self.inbox is None else self.inbox.around(self.name, handler)

    def become(self, other: "Subscription") -> None:
        """Take over handler, predicate and policy; what lanes and queues know stays."""
        self.called = self._in_inbox(other.handler)
        self.handler, self.when, self.retry = other.handler, other.when, other.retry
        self.is_async = other.is_async

    @property
    def at_a_time(self) -> int:
        """Number of events that one process handles at a time."""
        return self.concurrency * (self.batch or 1)

    def _check_batch(self, whose: str) -> None:
        seconds_up_to(f"{whose}: within", self.within, MAX_WITHIN)
        if self.batch is not None:
            positive_int(f"{whose}: batch", self.batch, most=MAX_BATCH)
            positive_int(f"{whose}: batch * concurrency", self.at_a_time, most=MAX_PREFETCH)
        elif self.within != WITHIN:
            raise InvalidOptionError(
                f"{whose}: within={self.within!r} is for handlers of batches: give batch=, too"
            )

    def _check_prefetch(self, whose: str, prefetch: int) -> None:
        positive_int(f"{whose}: prefetch", prefetch, most=MAX_PREFETCH)
        if prefetch < self.at_a_time:
            raise InvalidOptionError(
                f"{whose}: with prefetch={prefetch} there are never {self.at_a_time} events at a "
                "time, as concurrency and batch allow: give at least as many"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionOptions:
    """Options as they were given; None stands for one that was left out.

    Subscription has the defaults and the checks.
    """

    when: Predicate | None = None
    retry: RetryPolicy | None = None
    concurrency: int | None = None
    broadcast: bool | None = None
    prefetch: int | None = None
    batch: int | None = None
    within: float | None = None
    raw: bool | None = None
    start: Start | None = None
    inbox: InboxOnBus | None = None

    def given(self) -> dict[str, Any]:
        """Return the options that were not left out, by name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def subscription(
        self, name: str, handler: EventHandler, retry: RetryPolicy | None = None
    ) -> Subscription:
        """Make a new subscription; `retry` is its policy if none was given.

        Raises:
            InvalidHandlerError, InvalidOptionError, InvalidPolicyError: see Subscription.
        """
        default = {} if retry is None else {"retry": retry}
        return Subscription(name, handler, **(default | self.given()))

    def must_agree(self, subscription: Subscription, handler: EventHandler) -> None:
        """Refuse another handler, or other options, than the subscription has.

        Raises:
            DuplicateSubscriptionError: handler or options differ; the text names the difference.
        """
        whose = f"the subscription {subscription.name!r}"
        if subscription.handler != handler:
            raise DuplicateSubscriptionError(
                f"{whose} belongs to {subscription.handler!r}: "
                f"give {handler!r} a name of its own with name="
            )
        for option, value in self.given().items():
            has = getattr(subscription, option)
            if has != value:
                raise DuplicateSubscriptionError(
                    f"{whose} has {option}={has!r} already, now {value!r}: "
                    "leave it out when adding a pattern, or take another name"
                )


#: Nothing was given.
NO_OPTIONS = SubscriptionOptions()


@dataclass(frozen=True, slots=True)
class Component:
    """Part of a program, described by what it publishes and what it hears. See docs/security.md.

    A function `components()` in an app's module, beside the `app` that `qt-events topology` is
    given, returns those of the app.
    """

    name: str
    #: Event types.
    publishes: tuple[str, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()


def checked_policy(whose: str, retry: object) -> RetryPolicy:
    """Return `retry` if it is a RetryPolicy; InvalidPolicyError otherwise."""
    if not isinstance(retry, RetryPolicy):
        raise InvalidPolicyError(f"{whose}: retry={retry!r} must be a RetryPolicy")
    return retry


def _validate_predicate(name: str, when: object) -> None:
    if not callable(when) or is_async(when) or _is_lazy(when) or not _takes_one_event(when):
        raise InvalidHandlerError(
            f"subscription {name!r}: when={when!r} must be a plain callable that takes the event, "
            "such as lambda event: event.payload.price > 3; "
            "what an async one, a generator or a class returns is true for every event"
        )


def pattern_of(event_type: object) -> str:
    """Return the topic pattern of a pattern, or of an event class with a type.

    Raises:
        InvalidPatternError: the argument is neither, or no queue can be bound by it.
    """
    if isinstance(event_type, type) and issubclass(event_type, Event):
        if not event_type.event_type:
            raise InvalidPatternError(
                f"{event_type.__name__} names no type: "
                "subscribe to a pattern such as '#', or to a class with one"
            )
        return event_type.event_type
    return bindable_pattern(event_type)


def unwrapped(handler: Any) -> Any:
    """Return what a partial calls in the end."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler


def is_async(handler: EventHandler) -> bool:
    """Return True if calling the handler gives a coroutine; it may be a partial or an object."""
    target = unwrapped(handler)
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(
        getattr(target, "__call__", None)  # noqa: B004
    )


def validate_handler(handler: object) -> None:
    """Raise InvalidHandlerError unless `handler(event)` is a possible call."""
    if not callable(handler):
        raise InvalidHandlerError(
            f"{handler!r} is no handler: it must be a callable that takes one event"
        )
    if _is_lazy(handler):
        raise InvalidHandlerError(
            f"{handler!r} is a generator, a context manager or a class: a call of it only makes "
            "one, and handles nothing; write a function without yield, or give an instance"
        )
    if not _takes_one_event(handler):
        raise InvalidHandlerError(
            f"{handler!r} cannot be called with one event; write def handler(event)"
        )


def _is_lazy(handler: object) -> bool:
    """Return True if a call makes an object, and runs no line of what was written.

    What a decorator does with a generator is seen when it is called: see `must_have_run`.
    """
    target = unwrapped(handler)
    call = getattr(target, "__call__", None)  # noqa: B004
    return isinstance(target, type) or any(map(_is_generator, (target, call)))


def _is_generator(function: object) -> bool:
    return (
        inspect.isgeneratorfunction(function)
        or inspect.isasyncgenfunction(function)
        or getattr(function, "__code__", None) in _MANAGERS
    )


def must_have_run(handler: object, result: object) -> None:
    """Raise InvalidHandlerError if a handler returned something that is still to be run."""
    if isinstance(result, _UNRUN):
        if isinstance(result, types.CoroutineType):
            # Else Python warns of it later, without the place.
            result.close()
        raise InvalidHandlerError(
            f"{handler!r} returned {result!r}, which nobody runs: the event was not "
            "handled; await it, iterate it or call it in the handler"
        )


def is_mock(target: object) -> bool:
    """Return True for a mock, which takes any call and has no name of its own."""
    return type(target).__module__ == "unittest.mock"


def _takes_one_event(function: Callable[..., object]) -> bool:
    if is_mock(unwrapped(function)):
        # Before Python 3.11.4 the signature of an AsyncMock is no signature.
        return True
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        return False
    except ValueError:
        # A builtin without a signature: a mistake shows when it is called.
        return True
    return True
