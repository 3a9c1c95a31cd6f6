"""Subscription: who wants which events, and how they are to be delivered to it."""

import functools
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from qt_events.errors import (
    DuplicateSubscriptionError,
    InvalidHandlerError,
    InvalidOptionError,
    InvalidPatternError,
    InvalidPolicyError,
    UnknownSubscriptionError,
)
from qt_events.events import Event
from qt_events.limits import positive_int
from qt_events.retry import RetryPolicy
from qt_events.routing import matches, validate_pattern

EventHandler = Callable[[Any], Awaitable[object] | object]
Predicate = Callable[[Any], object]

MAX_CONCURRENCY = 10_000
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:\-]{0,199}")  # it becomes a part of queue names: 255 bytes in AMQP


@dataclass(eq=False, slots=True)
class Subscription:
    """One subscriber: its name is its identity, on RabbitMQ that of its queue.

    `patterns` grows and shrinks with `subscribe` and `unsubscribe`; the rest stays as it was made.
    """

    name: str
    handler: EventHandler
    patterns: tuple[str, ...] = ()
    when: Predicate | None = None  #: only events for which this is true are handled; the others are done at once
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    concurrency: int = 1  #: how many events of this subscription one process handles at a time
    broadcast: bool = False  #: every process gets each event, instead of one process of all
    is_async: bool = field(init=False)

    def __post_init__(self) -> None:
        validate_handler(self.handler)
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            message = f"{self.name!r} is no subscription name: use 1 to 200 letters, digits, '_', '.', ':' or '-'"
            raise InvalidHandlerError(message)
        if self.when is not None:
            _validate_predicate(self.name, self.when)
        if not isinstance(self.retry, RetryPolicy):
            message = f"subscription {self.name!r}: retry={self.retry!r} must be a RetryPolicy"
            raise InvalidPolicyError(message)
        positive_int(f"subscription {self.name!r}: concurrency", self.concurrency, most=MAX_CONCURRENCY)
        if not isinstance(self.broadcast, bool):
            message = f"subscription {self.name!r}: broadcast={self.broadcast!r} must be True or False"
            raise InvalidOptionError(message)
        self.is_async = is_async(self.handler)

    def wants(self, event_type: str) -> bool:
        """Whether one of its patterns matches."""
        return any(matches(pattern, event_type) for pattern in self.patterns)


def _validate_predicate(name: str, when: object) -> None:
    if not callable(when) or is_async(when) or not _takes_one_event(when):
        message = (
            f"subscription {name!r}: when={when!r} must be a plain callable that takes the event, such as "
            "lambda event: event.payload.price > 3; an async one would be true for every event"
        )
        raise InvalidHandlerError(message)


class Subscriptions:
    """A bus's subscriptions by name: one handler a name, any number of patterns."""

    def __init__(self) -> None:
        self._by_name: dict[str, Subscription] = {}

    def __iter__(self) -> Iterator[Subscription]:
        return iter(tuple(self._by_name.values()))

    def __len__(self) -> int:
        return len(self._by_name)

    def get(self, name: str) -> Subscription | None:
        """The subscription of that name, if there is one."""
        return self._by_name.get(name)

    def add(self, pattern: str, handler: EventHandler, name: str, **options: Any) -> Subscription:
        """A new subscription, or another pattern for the one of that name and handler.

        Raises:
            DuplicateSubscriptionError: the name belongs to another handler, or was given other options.
        """
        options = {key: value for key, value in options.items() if value is not None}
        subscription = self._by_name.get(name)
        if subscription is None:
            subscription = Subscription(name, handler, **options)
        else:
            _must_agree(subscription, handler, options)
        if pattern not in subscription.patterns:
            subscription.patterns += (pattern,)
        self._by_name[name] = subscription
        return subscription

    def served(self, name: str) -> Subscription:
        """The subscription of that name. UnknownSubscriptionError if there is none (any more)."""
        subscription = self._by_name.get(name)
        if subscription is None:
            message = f"nobody serves the subscription {name!r} here: subscribe it first, then send back"
            raise UnknownSubscriptionError(message)
        return subscription

    def of(self, handler: EventHandler) -> Subscription | None:
        """The first subscription of this handler."""
        return next((subscription for subscription in self if subscription.handler == handler), None)

    def find(self, pattern: str, handler: EventHandler) -> Subscription | None:
        """The subscription through which this handler hears this pattern."""
        for subscription in self:
            if subscription.handler == handler and pattern in subscription.patterns:
                return subscription
        return None

    def remove(self, subscription: Subscription, pattern: str) -> bool:
        """Take the pattern away; True if that was the last one, and the subscription is gone with it."""
        subscription.patterns = tuple(p for p in subscription.patterns if p != pattern)
        if subscription.patterns:
            return False
        del self._by_name[subscription.name]
        return True


def _must_agree(subscription: Subscription, handler: EventHandler, options: dict[str, Any]) -> None:
    if subscription.handler != handler:
        message = (
            f"the subscription {subscription.name!r} belongs to {subscription.handler!r}: "
            f"give {handler!r} a name of its own with name="
        )
        raise DuplicateSubscriptionError(message)
    for key, value in options.items():
        if getattr(subscription, key) != value:
            message = (
                f"the subscription {subscription.name!r} has {key}={getattr(subscription, key)!r} already, "
                f"now {value!r}: leave it out when adding a pattern, or take another name"
            )
            raise DuplicateSubscriptionError(message)


def pattern_of(event_type: object) -> str:
    """The topic pattern that was meant: a pattern, or an event class with a type.

    Raises:
        InvalidPatternError: it is neither.
    """
    if isinstance(event_type, type) and issubclass(event_type, Event):
        if not event_type.event_type:
            message = f"{event_type.__name__} names no type: subscribe to a pattern such as '#', or to a class with one"
            raise InvalidPatternError(message)
        return event_type.event_type
    return validate_pattern(event_type)


def name_of(handler: EventHandler) -> str | None:
    """The name a handler brings along: `class_name.method`, `module.function`; None for lambdas and local functions."""
    target = _unwrapped(handler)
    owner = getattr(target, "__self__", None)
    if owner is not None and not inspect.ismodule(owner):
        owner_class = owner if isinstance(owner, type) else type(owner)
        return f"{_snake_case(owner_class.__name__)}.{target.__name__}"
    qualname = getattr(target, "__qualname__", None)
    if not isinstance(qualname, str):  # an object with __call__
        return _snake_case(type(target).__name__)
    return None if "<" in qualname else f"{target.__module__}.{qualname}"


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower().lstrip("_")


def _unwrapped(handler: Any) -> Any:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler


def is_async(handler: EventHandler) -> bool:
    """Whether calling it gives a coroutine: by what it is (partial, method, object, mock), not how it is written."""
    target = _unwrapped(handler)
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(getattr(target, "__call__", None))  # noqa: B004


def validate_handler(handler: object) -> None:
    """InvalidHandlerError unless `handler(event)` is a possible call."""
    if not callable(handler):
        message = f"{handler!r} is no handler: it must be a callable that takes one event"
        raise InvalidHandlerError(message)
    if not _takes_one_event(handler):
        message = f"{handler!r} cannot be called with one event; write def handler(event)"
        raise InvalidHandlerError(message)


def _takes_one_event(function: Callable[..., object]) -> bool:
    try:
        inspect.signature(function).bind(object())
    except TypeError:
        return False
    except ValueError:
        return True  # a builtin without a signature: it shows when it is called
    return True
